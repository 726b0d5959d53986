"""`Attention`, the base class of attention layers: each query takes a weighted mean of a memory."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple, final

from ...core.arrays import Array, Bool, Booleans, Float, Integer, Integers, namespace, no_gradient
from ...core.checks import check_array, check_cache, check_device
from ...core.layer import Layer
from ...core.one_hot import as_rows
from ...core.roles import given_or_zeros
from ...core.rows import Rows, make_rows


class PreparedMemory(NamedTuple):
    """A memory prepared for `Attention.look`: everything that does not depend on the queries."""

    memory: Float[Array, "S B M"]
    """The memory, 0 in the padding."""
    keys: Float[Array, "S B K"]
    """The form of the memory from which scores are computed."""
    inner: Any
    """The cache of `keys`."""
    active: Bool[Booleans, "S B"] | None
    """True where there is no padding; None without lengths."""


class AttentionCache(NamedTuple):
    """What `Attention.forward` keeps."""

    prepared: PreparedMemory
    """The memory that the queries attended to."""
    weights: Float[Array, "T B S"]
    """The attention weights, 0 in the padding."""
    inner: Any
    """The cache of `scores`."""
    no_dcontext: Float[Array, "T B M"]
    """Zeros for an absent `dcontext`, in the memory of one number."""


class Attention(Layer):
    r"""Each query of a sequence attends to all of a memory: it gets the mean of the memory, weighted by its scores.

    `forward` and `backward` of this class do what all attentions share; a subclass writes `scores` and
    `scores_backward`, which say how well a query fits an entry of the memory. Scores are computed from keys, which
    depend only on the memory: `keys` makes them, and unless a subclass overrides it they are the memory itself.
    Forward, for queries :math:`q_t` and a memory of vectors :math:`m_s`, in each row of the batch:

    .. math::
        k_s &= \mathrm{key}(m_s), \qquad e_{ts} = \mathrm{score}(q_t, k_s) \\
        \alpha_{ts} &= \frac{e^{e_{ts} - \mu_t}}{\sum_u e^{e_{tu} - \mu_t}}, \qquad \mu_t = \max_s e_{ts} \\
        c_t &= \sum_s \alpha_{ts} m_s

    Backward, where :math:`dc_t` and :math:`d\alpha_{ts}` are the upstream gradients, and `scores_backward` gives
    :math:`dq_t` and :math:`dk_s`:

    .. math::
        da_{ts} &= d\alpha_{ts} + dc_t\, m_s^\top \\
        de_{ts} &= \alpha_{ts} \Bigl(da_{ts} - \sum_u \alpha_{tu}\, da_{tu}\Bigr) \\
        dm_s &= \mathrm{key}'^\top dk_s + \sum_t \alpha_{ts}\, dc_t

    The memory is usually the output of an encoder, and `lengths` are the lengths of its rows. Entries past a row's end
    have weight and gradient 0, and their content never matters. In a row of length 0 all weights and the context are 0.

    A decoder that attends to one memory step by step, as `InputFeedingDecoder` does, calls the parts of `forward` and
    `backward`: `prepare` and `prepare_backward` once, `look` and `look_backward` at each step.
    """

    query_size: int | None = None
    """Q, features of a query; None means as many as the memory has."""
    memory_size: int | None = None
    """M, features of the memory, and so of the context; None takes any number."""

    def keys(self, memory: Any) -> tuple[Any, Any]:
        """Map `memory` (S, B, M), 0 in the padding, to `(keys, cache)`, keys (S, B, K); by default keys are memory."""
        return memory, None

    def keys_backward(self, dkeys: Any, cache: Any) -> Any:
        """Map `dkeys` (S, B, K) to `dmemory` (S, B, M); add to the parameters' gradients."""
        return dkeys

    @abstractmethod
    def scores(self, queries: Any, keys: Any) -> tuple[Any, Any]:
        """Map `queries` (T, B, Q) and `keys` (S, B, K) to `(scores, cache)`, scores (T, B, S).

        Scores of the padding may be any numbers.
        """

    @abstractmethod
    def scores_backward(self, dscores: Any, cache: Any) -> tuple[Any, Any]:
        """Map `dscores` (T, B, S), 0 in the padding, to `(dqueries, dkeys)`; add to the parameters' gradients."""

    def forward(
        self,
        queries: Float[Array, "T B Q"],
        memory: Float[Array, "S B M"],
        *,
        lengths: Integer[Integers, " B"] | None = None,
        training: bool = True,
    ) -> tuple[Float[Array, "T B M"], Float[Array, "T B S"], AttentionCache]:
        """Attend to `memory` with each of `queries`.

        Args:
            queries: (T, B, Q).
            memory: (S, B, M).
            lengths: (B,), the length of each row of the memory, 0 to S.
            training: not used here; a subclass may use it, for example for dropout of the weights.

        Returns:
            The context (T, B, M), the weights (T, B, S), and the cache for `backward`.

        Raises:
            ValueError: a shape or a length does not fit.
            TypeError: a dtype or device differs from the parameters', or between memory and queries.
        """
        self._check_inputs(queries, memory)
        return self.look(queries, self.prepare(memory, lengths))

    def prepare(self, memory: Float[Array, "S B M"], lengths: Integer[Integers, " B"] | None) -> PreparedMemory:
        """The part of `forward` that needs no queries; of the arguments, only `lengths` are checked."""
        rows = make_rows(self, lengths, None, memory.shape[0], memory.shape[1], memory)
        memory = rows.clear(memory)
        return PreparedMemory(memory, *self.keys(memory), rows.active)

    def look(
        self, queries: Float[Array, "T B Q"], prepared: PreparedMemory
    ) -> tuple[Float[Array, "T B M"], Float[Array, "T B S"], AttentionCache]:
        """The rest of `forward`: `queries` attend to the memory that `prepare` gave."""
        scores, inner = self.scores(queries, prepared.keys)
        weights = masked_softmax(scores, prepared.active)
        context = product(weights, prepared.memory)
        return context, weights, AttentionCache(prepared, weights, inner, no_gradient(context))

    def backward(
        self, dcontext: Any, dweights: Any, cache: AttentionCache
    ) -> tuple[Float[Array, "T B Q"], Float[Array, "S B M"]]:
        """Back to queries and memory; adds to the parameters' gradients.

        Args:
            dcontext: (T, B, M), the gradient of the loss w.r.t. the context; None is zeros.
            dweights: (T, B, S), the gradient w.r.t. the weights; None is zeros, where the loss does not use them.
            cache: the one that `forward` gave.

        Returns:
            The gradients w.r.t. `queries` and `memory`.

        Raises:
            ValueError: `dcontext` or `dweights` differs in shape from what `forward` gave.
            TypeError: it differs in dtype or device.
        """
        check_cache(self, cache, AttentionCache)
        dcontext = given_or_zeros(self, "dcontext", dcontext, cache.no_dcontext)
        dweights = given_or_zeros(self, "dweights", dweights, no_gradient(cache.weights))
        dqueries, dmemory, dkeys = self.look_backward(dcontext, dweights, cache)
        return dqueries, self.prepare_backward(dmemory, dkeys, cache.prepared)

    def look_backward(
        self, dcontext: Float[Array, "T B M"], dweights: Float[Array, "T B S"], cache: AttentionCache
    ) -> tuple[Float[Array, "T B Q"], Float[Array, "S B M"], Float[Array, "S B K"]]:
        """Back through `look`, without None: the gradients w.r.t. the queries, the memory and its keys."""
        (memory, _, _, active), weights, inner, _ = cache
        dweights = Rows(active=active).clear(dweights.swapaxes(0, 2)).swapaxes(0, 2)
        da = dweights + product(dcontext, memory.swapaxes(0, 2))
        dscores = weights * (da - (weights * da).sum(axis=-1, keepdims=True))
        dqueries, dkeys = self.scores_backward(dscores, inner)
        return dqueries, product(weights.swapaxes(0, 2), dcontext), dkeys

    def prepare_backward(
        self, dmemory: Float[Array, "S B M"], dkeys: Float[Array, "S B K"], prepared: PreparedMemory
    ) -> Float[Array, "S B M"]:
        """Back through `prepare`, with the sums over all calls of `look_backward`: the gradient w.r.t. the memory."""
        total: Array = dmemory + self.keys_backward(dkeys, prepared.inner)
        return total

    @final
    def __call__(
        self,
        queries: Float[Array, "T B Q"],
        memory: Float[Array, "S B M"],
        *,
        lengths: Integer[Integers, " B"] | None = None,
    ) -> tuple[Float[Array, "T B M"], Float[Array, "T B S"]]:
        """`(context, weights)` at inference: `forward` with `training=False`, without the cache."""
        context, weights, _ = self.forward(queries, memory, lengths=lengths, training=False)
        return context, weights

    def _check_inputs(self, queries: Any, memory: Any) -> None:
        like = self._like()
        for name, x, axes, size in (
            ("queries", queries, "(T, B, Q)", self.query_size),
            ("memory", memory, "(S, B, M)", self.memory_size),
        ):
            check_array(self, name, x, like)
            if x.ndim != 3:
                raise ValueError(f"{self!r}: {name} has shape {x.shape}, expected {axes}")
            if size not in (None, x.shape[-1]):
                raise ValueError(f"{self!r}: {name} has shape {x.shape}, but its last axis must have size {size}")
        check_device(self, "memory", memory, queries)
        if memory.dtype != queries.dtype:
            raise TypeError(
                f"{self!r}: memory is {memory.dtype}, but queries {queries.dtype}. Convert it, "
                f"memory.astype('{queries.dtype}')"
            )
        if memory.shape[1] != queries.shape[1]:
            raise ValueError(
                f"{self!r}: memory has shape {memory.shape}, but queries {queries.shape}; their second axis, the rows "
                "of the batch, must be the same"
            )


def product(a: Float[Array, "T B K"], b: Float[Array, "K B N"]) -> Float[Array, "T B N"]:
    """A matrix product for each row of the batch, the middle axis. The transpose of `a` here is `a.swapaxes(0, 2)`."""
    c: Array = (a.swapaxes(0, 1) @ b.swapaxes(0, 1)).swapaxes(0, 1)
    return c


def rows_product(x: Float[Array, "T B K"], w: Float[Array, "K N"]) -> Float[Array, "T B N"]:
    """`x @ w` as one product of all rows: of three axes it would be T small ones."""
    c: Array = (as_rows(x) @ w).reshape(*x.shape[:-1], w.shape[-1])
    return c


def masked_softmax(scores: Float[Array, "T B S"], active: Bool[Booleans, "S B"] | None) -> Float[Array, "T B S"]:
    """The softmax over the active entries, 0 elsewhere; all 0 where none is active."""
    xp = namespace(scores)
    if active is not None:
        scores = xp.where(active.T, scores, -math.inf)
    if scores.shape[-1]:
        # Without an active entry the maximum is -inf. It is replaced by 0, because -inf minus -inf is NaN.
        peak = scores.max(axis=-1, keepdims=True)
        scores = scores - xp.where(peak == -math.inf, 0, peak)
    weights: Array = xp.exp(scores)
    weights /= xp.maximum(weights.sum(axis=-1, keepdims=True), 1)  # the sum is at least 1, or 0 if none is active
    return weights
