"""A decoder that attends to a memory at each step, and feeds the result to the next step."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from ..core.arrays import Array, Integers, namespace, no_gradient, select
from ..core.one_hot import OneHotRows
from ..core.roles import Feedforward, Recurrent
from ..core.rows import WHOLE, Rows
from ..core.states import State, begin, begin_backward, tree_map
from ..layers.attention.base import Attention, PreparedMemory
from .attention_decoder_base import AttentionDecoderBase, width_after


class InputFeedingStep(NamedTuple):
    """The cache of one step of the recurrence."""

    decoder: Any
    """The cache of the recurrent layer."""
    attention: Any
    """The cache of the attention, with a time axis of size 1."""
    combine: Any
    """The cache of `combine`."""
    a: Array
    """(B, A), which is fed to the next step."""


class InputFeedingDecoderCache(NamedTuple):
    """The cache of `InputFeedingDecoder`, for a step, or for a sequence (T, ...)."""

    embedding: Any
    """The cache of the embedding."""
    steps: Any
    """An `InputFeedingStep`, or a tuple of them."""
    prepared: PreparedMemory
    """The memory that all steps attend to, and its keys."""
    weights: Array
    """(B, S) or (T, B, S), the attention weights."""
    output: tuple[Any, ...]
    """The caches of the output layers."""
    rows: Rows
    """Where rows end, and documents begin."""


class InputFeedingDecoder(AttentionDecoderBase):
    r"""A decoder that attends to a memory at each step, and feeds the result to the next step.

    Forward, with :math:`m_s` the memory and :math:`\alpha_t` the attention weights of the query :math:`h_t`:

    .. math::
        (h_t, s_t) &= \mathrm{decoder}([\mathrm{embedding}(x_t), a_{t-1}], s_{t-1}) \\
        c_t &= \sum_s \alpha_{ts} m_s \\
        a_t &= \tanh(\mathrm{combine}([h_t, c_t])), \qquad y_t = \mathrm{output}(a_t)

    Backward, where :math:`da_t` is the sum of the gradients from step :math:`t + 1` and from :math:`dy_t`, :math:`dq_t`
    what the attention sends back to its query, and :math:`dm'_s` the gradient w.r.t. the memory in the final state,
    which contains it too:

    .. math::
        [dh_t, dc_t] &= \mathrm{combine}'^\top (da_t \odot (1 - a_t^2)), \qquad dh_t \mathrel{+}= dq_t \\
        [de_t, da_{t-1}] &= \mathrm{decoder}'^\top dh_t, \qquad dx_t = \mathrm{embedding}'^\top de_t \\
        dm_s &= dm'_s + \sum_t (\text{what the attention sends back to } m_s)

    So each step knows where the steps before it attended, which helps it to skip nothing and to repeat nothing. This
    costs time: the steps attend one after the other, in small products, while `AttentionDecoder` computes all at once.
    What depends only on the memory, such as the keys of `AdditiveAttention`, is computed once per sequence; `step`
    computes it at each call. Embedding and output layers run on all steps at once.

    Args:
        embedding: a `Feedforward`, such as an `Embedding`, which gives E features.
        decoder: a causal `Recurrent`, such as a cell or a `Sequential` of cells, which takes E + A features and gives
            H. It runs step by step, even if it has a kernel.
        attention: takes queries of H features and a memory of M; with `DotAttention`, M is H.
        combine: a `Feedforward` such as `Linear(H + M, A)`.
        output: `Feedforward` layers in a row, the first for A features, such as `Linear(A, V)`. Without any, the output
            is :math:`a_t`.

    The state is `(state of decoder, a (B, A), memory (B, S, M), lengths (B,))`. `attach` sets the last two, and
    `EncoderDecoder` calls it; in the initial state the memory is empty, S = 0, and the context is 0. Where a document
    begins, the row keeps its memory. Parameters are those of `embedding`, `decoder`, `attention`, `combine` and
    `output.0`, `output.1`, ...

    Raises:
        TypeError: an argument is of the wrong class; in `forward`, the embedding gives one-hot rows.
        ValueError: a size does not fit its neighbour, `decoder` takes ids or is not causal, or a size of `decoder` or
            the `out_size` of `combine` is None.

    References:
        Luong, Pham and Manning, *Effective Approaches to Attention-based Neural Machine Translation*, 2015.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> decoder = InputFeedingDecoder(
        ...     Embedding(9, 3, rng=rng),
        ...     LSTMCell(3 + 6, 4, rng=rng),
        ...     GeneralAttention(4, 5, rng=rng),
        ...     Linear(4 + 5, 6, rng=rng),
        ...     Linear(6, 9, rng=rng),
        ... )
        >>> state = decoder.attach(None, np.ones((7, 2, 5), np.float32), lengths=np.array([7, 3]))
        >>> ys, (lstm, a, memory, lengths) = decoder(np.array([[0, 0], [3, 8]]), state)
        >>> ys.shape, a.shape, memory.shape
        ((2, 2, 9), (2, 6), (2, 7, 5))
    """

    def __init__(
        self,
        embedding: Feedforward,
        decoder: Recurrent,
        attention: Attention,
        combine: Feedforward,
        *output: Feedforward,
    ) -> None:
        name = type(self).__name__
        for part, layer in (("embedding", embedding), ("combine", combine)):
            if not isinstance(layer, Feedforward):
                raise TypeError(f"{name}: {part} must be a Feedforward, not {layer!r}")
        self.embedding = embedding
        super().__init__(decoder, attention)
        if decoder.takes_ids:
            raise ValueError(f"{name}: decoder, {decoder!r}, takes ids, but gets the vectors of the embedding")
        joined = self.query_size + self.memory_size
        if combine.in_size not in (None, joined):
            raise ValueError(
                f"{name}: combine, {combine!r}, takes {combine.in_size} features, but {joined} come from {decoder!r} "
                f"and {attention!r} together"
            )
        if decoder.in_size is None or combine.out_size is None:
            raise ValueError(f"{name}: {decoder!r} must have an in_size, and {combine!r} an out_size")
        self.embedding_size = decoder.in_size - combine.out_size
        width = embedding.out_size or (None if embedding.takes_ids else embedding.in_size)
        if width not in (None, self.embedding_size):
            raise ValueError(
                f"{name}: decoder, {decoder!r}, takes {decoder.in_size} features, but {width} come from {embedding!r} "
                f"and {combine.out_size} from {combine!r}"
            )
        self.combine, self.output, self.feedback_sizes = combine, output, (combine.out_size,)
        self.takes_ids = embedding.takes_ids
        self.in_size = self.embedding_size if width is None else embedding.in_size
        self.out_size = width_after(name, output, combine.out_size, f"combine, {combine!r}")

    def unroll_forward(
        self, xs: Any, state: State, *, rows: Rows, training: bool
    ) -> tuple[Any, State, InputFeedingDecoderCache]:
        """Run the recurrence step by step, and everything else on all steps at once."""
        inner, a, *source = state
        carried, prepared = (inner, a), self._prepare(*source)
        spec = self.state_spec[:2]
        es, embedding = self._embed(xs, training)
        T, xp = xs.shape[0], namespace(a)
        as_, weights, steps = xp.empty((T, *a.shape), a.dtype), xp.empty((T, *source[0].shape[:2]), a.dtype), []
        for t in range(T):
            if rows.starts is not None:
                carried = begin(spec, carried, rows.starts[t])
            after, weights[t], step = self._feed(es[t], carried, prepared, training)
            carried = after if rows.active is None else tree_map(partial(select, rows.active[t]), after, carried)
            as_[t] = carried[1]
            steps.append(step)
        ys, output = self._output_forward(as_, training)
        return (
            ys,
            (*carried, *source),
            InputFeedingDecoderCache(embedding, tuple(steps), prepared, weights, output, rows),
        )

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        """Last step first. A row that has ended passes the gradient w.r.t. its state through unchanged."""
        dinner, da, dmemory_after, _ = dstate
        (_, active, starts), spec = cache.rows, self.state_spec[:2]
        das = self._output_backward(dys, cache.output)
        xp = namespace(das)
        des = xp.empty((*das.shape[:2], self.embedding_size), das.dtype)
        dmemory, dkeys = xp.zeros_like(cache.prepared.memory), xp.zeros_like(cache.prepared.keys)
        for t in reversed(range(len(cache.steps))):
            dcarried = (dinner, da + das[t])
            running = dcarried if active is None else tree_map(lambda d, t=t: select(active[t], d, 0), dcarried)
            des[t], before, dmemory_t, dkeys_t = self._feed_backward(running, cache.steps[t])
            before = before if active is None else tree_map(partial(select, active[t]), before, dcarried)
            dinner, da = before if starts is None else begin_backward(spec, before, starts[t])
            dmemory += dmemory_t
            dkeys += dkeys_t
        dmemory = dmemory_after + self._prepare_backward(dmemory, dkeys, cache.prepared)
        return self.embedding.backward(des, cache.embedding), (dinner, da, dmemory, None)

    def step_forward(
        self, x: Any, state: State, *, training: bool = True
    ) -> tuple[Any, State, InputFeedingDecoderCache]:
        inner, a, *source = state
        e, embedding = self._embed(x, training)
        prepared = self._prepare(*source)
        carried, weights, step = self._feed(e, (inner, a), prepared, training)
        y, output = self._output_forward(carried[1], training)
        return y, (*carried, *source), InputFeedingDecoderCache(embedding, step, prepared, weights, output, WHOLE)

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dinner, da, dmemory_after, _ = dstate
        dcarried = (dinner, da + self._output_backward(dy, cache.output))
        de, dbefore, dmemory, dkeys = self._feed_backward(dcarried, cache.steps)
        dmemory = dmemory_after + self._prepare_backward(dmemory, dkeys, cache.prepared)
        return self.embedding.backward(de, cache.embedding), (*dbefore, dmemory, None)

    def _embed(self, xs: Any, training: bool) -> tuple[Any, Any]:
        es, cache = self.embedding.forward(xs, training=training)
        if isinstance(es, OneHotRows):
            raise TypeError(
                f"{self!r}: the embedding gives {es!r}, which is never made dense, so nothing can be put beside it. "
                "Take an Embedding, or put a Linear after it"
            )
        return es, cache

    def _prepare(self, memory: Array, lengths: Integers) -> PreparedMemory:
        """The memory (B, S, M) of a state, prepared for all steps."""
        return self.attention.prepare(memory.swapaxes(0, 1), lengths)

    def _prepare_backward(self, dmemory: Array, dkeys: Array, prepared: PreparedMemory) -> Array:
        """The gradient w.r.t. the memory, (B, S, M) as in the state."""
        return self.attention.prepare_backward(dmemory, dkeys, prepared).swapaxes(0, 1)

    def _feed(
        self, e: Array, carried: State, prepared: PreparedMemory, training: bool
    ) -> tuple[State, Array, InputFeedingStep]:
        """One step of the recurrence, from `e` (B, E): what is carried on, the weights (B, S), and the cache."""
        inner, a = carried
        xp = namespace(a)
        h, inner, decoder = self.decoder.step_forward(xp.concatenate((e, a), axis=1), inner, training=training)
        contexts, weights, attention = self.attention.look(h[None], prepared)
        combined, combine = self.combine.forward(xp.concatenate((h, contexts[0]), axis=1), training=training)
        a = xp.tanh(combined)
        return (inner, a), weights[0], InputFeedingStep(decoder, attention, combine, a)

    def _feed_backward(self, dcarried: State, cache: InputFeedingStep) -> tuple[Array, State, Array, Array]:
        """Back through `_feed`: the gradients w.r.t. `e`, `carried`, the memory and its keys."""
        dinner, da = dcarried
        decoder, attention, combine, a = cache
        djoined = self.combine.backward(da * (1 - a * a), combine)
        dh, dcontext = djoined[:, : self.query_size], djoined[:, self.query_size :]
        no_dweights = no_gradient(attention.weights)
        dqueries, dmemory, dkeys = self.attention.look_backward(dcontext[None], no_dweights, attention)
        dx, dinner = self.decoder.step_backward(dh + dqueries[0], dinner, decoder)
        return dx[:, : self.embedding_size], (dinner, dx[:, self.embedding_size :]), dmemory, dkeys
