"""From a sequence to one vector a row: what classifies a series, or predicts one number of it."""

from __future__ import annotations

from typing import Any, NamedTuple, final

from ..core.arrays import Array, Float, Integer, Integers, no_gradient
from ..core.blas import with_one_blas_thread
from ..core.checks import check_bool, check_cache, check_choice
from ..core.layer import Layer
from ..core.one_hot import OneHotRows
from ..core.roles import Feedforward, Recurrent, given_or_zeros
from ..core.states import State, StateSpec, leaves
from ..layers.pooling.base import Pool
from ..layers.pooling.plain import LastPool, MaxPool, MeanPool
from .attention_decoder_base import width_after
from .bidirectional import Bidirectional
from .sequential import Sequential


class ManyToOneCache(NamedTuple):
    """The caches of the parts."""

    encoder: Any
    pool: Any
    layers: tuple[Any, ...]
    """The cache of each layer after the pool."""
    no_dy: Array
    """Zeros for an absent `dy`, in the memory of one number."""


class ManyToOne(Layer):
    r"""Many to one: an encoder reads a sequence, its outputs are pooled to one vector a row, and layers follow.

    Forward and backward, with the outputs h of all steps, and the final state s:

    .. math::
        (h, s) &= \mathrm{encoder}(x, s_0), \qquad y = \mathrm{layers}(\mathrm{pool}(h)) \\
        dh &= \mathrm{pool}'^\top \mathrm{layers}'^\top dy, \qquad (dx, ds_0) = \mathrm{encoder}'^\top (dh, ds)

    In a row, only the steps within its length count. The pooled vector of a row without steps is 0.

    Args:
        encoder: any `Recurrent`, such as a cell or a `Sequential`.
        layers: `Feedforward` layers in a row, such as `Dropout` and a `Linear` for the classes; may be none.
        pool: `"last"`, the last output of each row; `"mean"` or `"max"` over its steps, each feature by itself; or a
            layer, such as an `AttentionPool`. Where the encoder is, or ends in, a `Bidirectional`, `"last"` takes what
            each of its halves gives after the whole row: the forward one at the last step, the backward one at the
            first.

    The state is that of the encoder. With `"last"` and a causal encoder, `step` predicts after each step of a stream.
    Parameters are those of `encoder`, `layers.0`, `layers.1`, ... and `pool`.

    Raises:
        TypeError: an argument is of the wrong class.
        ValueError: a size does not fit its neighbour, `pool` is none of these, or for `"last"` no step holds the whole
            row: the two halves of a `Bidirectional` are added, or layers follow it in the encoder.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> encoder = Bidirectional(GRUCell(3, 4, rng=rng), GRUCell(3, 4, rng=rng))
        >>> model = ManyToOne(encoder, Linear(8, 2, rng=rng), pool="max")
        >>> logits, state = model(np.ones((7, 5, 3), np.float32), lengths=np.array([7, 2, 0, 4, 6]))
        >>> logits.shape
        (5, 2)
    """

    def __init__(self, encoder: Recurrent, *layers: Feedforward, pool: str | Pool = "last") -> None:
        if not isinstance(encoder, Recurrent):
            raise TypeError(f"ManyToOne: encoder must be a Recurrent, such as a cell or a Sequential, not {encoder!r}")
        if not isinstance(pool, Pool):
            if not isinstance(pool, str):
                raise TypeError(f'ManyToOne: pool must be "last", "mean", "max" or a Pool, not {pool!r}')
            check_choice("ManyToOne", "pool", pool, "last", "mean", "max")
        elif None not in (pool.in_size, encoder.out_size) and pool.in_size != encoder.out_size:
            raise ValueError(
                f"ManyToOne: pool, {pool!r}, takes {pool.in_size} features, but {encoder.out_size} come from "
                f"{encoder!r}"
            )
        self.encoder, self.layers, self.pool = encoder, layers, pool
        self._backward_from = _read_from_the_end(encoder) if pool == "last" else None
        self.takes_ids, self.in_size = encoder.takes_ids, encoder.in_size
        width, source = encoder.out_size, repr(encoder)
        if isinstance(pool, Pool):
            width, source = pool.out_size or width, repr(pool)
        self.out_size = width_after("ManyToOne", layers, width, source, "layers")

    @property
    def state_spec(self) -> StateSpec:
        """The declaration of the state, which is that of the encoder."""
        return self.encoder.state_spec

    def initial_state(self, batch: int) -> State:
        """The state before the first step, which is that of the encoder."""
        return self.encoder.initial_state(batch)

    @with_one_blas_thread
    def forward(
        self,
        xs: Any,
        state: State | None = None,
        *,
        lengths: Integer[Integers, " B"] | None = None,
        training: bool = True,
    ) -> tuple[Float[Array, "B K"], State, ManyToOneCache]:
        """Read a sequence, or a chunk of one that continues from `state`, and give one vector a row.

        Args:
            xs: (T, B, D), or ids (T, B).
            state: the state before the sequence; None, for all or a part of it, is `initial_state`.
            lengths: (B,), steps of each row, 0 to T.
            training: False at inference, where layers such as dropout do nothing.

        Returns:
            y (B, K), the final state of the encoder, and the cache for `backward`.

        Raises:
            ValueError: a shape, an id or a length does not fit.
            TypeError: a dtype or device differs from the parameters', or the encoder gives one-hot rows.
        """
        check_bool(self, "training", training)
        ys, state, encoder = self.encoder.forward(xs, state, lengths=lengths, training=training)
        if isinstance(ys, OneHotRows):
            raise TypeError(
                f"{self!r}: the encoder gives {ys!r}, which is never made dense, so it cannot be pooled. Put an "
                "Embedding in its place, or a Linear after it"
            )
        y, pool = self._pooling().pool_forward(ys, rows=encoder.rows, training=training)
        caches = []
        for layer in self.layers:
            y, cache = layer.forward(y, training=training)
            caches.append(cache)
        return y, state, ManyToOneCache(encoder, pool, tuple(caches), no_gradient(y))

    @with_one_blas_thread
    def backward(self, dy: Any, dstate: Any, cache: ManyToOneCache) -> tuple[Any, State]:
        """Back through the layers, the pool and the encoder; adds to the parameters' gradients.

        Args:
            dy: (B, K), the gradient of the loss w.r.t. `y`; None is zeros.
            dstate: the gradient of the loss w.r.t. the final state; None is zeros.
            cache: the one that `forward` gave.

        Returns:
            The gradients w.r.t. `xs` (None for ids) and w.r.t. the state before the sequence.

        Raises:
            ValueError: `dy` or `dstate` differs in shape from what `forward` gave.
            TypeError: it differs in dtype or device.
        """
        check_cache(self, cache, ManyToOneCache)
        dy = given_or_zeros(self, "dy", dy, cache.no_dy)
        for layer, inner in zip(self.layers[::-1], cache.layers[::-1], strict=True):
            dy = layer.backward(dy, inner)
        dys = self._pooling().pool_backward(dy, cache.pool)
        return self.encoder.backward(dys, dstate, cache.encoder)

    @final
    def __call__(
        self, xs: Any, state: State | None = None, *, lengths: Integer[Integers, " B"] | None = None
    ) -> tuple[Float[Array, "B K"], State]:
        """`(y, state)` at inference: `forward` with `training=False`, without the cache."""
        y, state, _ = self.forward(xs, state, lengths=lengths, training=False)
        return y, state

    def step(self, x: Any, state: State | None) -> tuple[Float[Array, "B K"], State]:
        """One step of a stream at inference: map `x` to `(y, state)`, where y is for all steps so far.

        Args:
            x: (B, D), or ids (B,).
            state: the state before the step; None is `initial_state`.

        Raises:
            ValueError: a shape or id does not fit, `pool` is not `"last"`, or the encoder is not causal.
            TypeError: a dtype or device differs from the parameters'.
        """
        if self.pool != "last":
            raise ValueError(
                f'{self!r} has no step: only with pool="last" is it enough to know the state. Call forward, or pool '
                "the outputs of `encoder.step` as they come, and apply `layers`"
            )
        y, state = self.encoder.step(x, state)
        for layer in self.layers:
            y = layer(y)
        return y, state

    def _pooling(self) -> Pool:
        """The layer that pools."""
        if isinstance(self.pool, Pool):
            return self.pool
        if self.pool == "last":
            return LastPool(self._backward_from)
        return MeanPool() if self.pool == "mean" else MaxPool()


def _read_from_the_end(encoder: Recurrent) -> int | None:
    """The first of the features that are read backward, if any are, so that the whole row is known at its first step.

    Raises:
        ValueError: no step holds the whole row.
    """
    reader, follows = encoder, False
    while type(reader) is Sequential and not reader.causal:
        readers = [layer for layer in reader.layers if isinstance(layer, Recurrent) and _reads_on(layer)]
        follows = follows or readers[-1] is not reader.layers[-1]
        reader = readers[-1]
    if reader.causal:
        return None
    if type(reader) is Bidirectional and reader.merge == "concat" and not follows:
        halves = reader.forward_cell, reader.backward_cell
        if all(half.causal and _reads_on(half) for half in halves):
            return reader.forward_cell.out_size
    raise ValueError(
        f'ManyToOne: with pool="last", no output of the encoder, {encoder!r}, holds the whole row, for it reads '
        'backward too. Let it end in a Bidirectional with merge="concat" and give what follows as layers of ManyToOne, '
        'or take another pool, such as "mean"'
    )


def _reads_on(layer: Recurrent) -> bool:
    """Whether an output depends on more than its own step."""
    return bool(leaves(layer.state_spec)) or not layer.causal
