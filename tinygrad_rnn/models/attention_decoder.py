"""A decoder that attends to a memory after its recurrence."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.arrays import Array, namespace
from ..core.roles import Feedforward, Recurrent
from ..core.rows import WHOLE, Rows
from ..core.states import State
from ..layers.attention.base import Attention
from .attention_decoder_base import AttentionDecoderBase, width_after


class AttentionDecoderCache(NamedTuple):
    """The cache of `AttentionDecoder`; for one step, all fields but the first have a time axis of size 1."""

    decoder: Any
    """The cache of the recurrent layer."""
    attention: Any
    """The cache of the attention."""
    weights: Array
    """(T, B, S), the attention weights."""
    output: tuple[Any, ...]
    """The caches of the output layers."""
    rows: Rows
    """Where rows end, and documents begin."""


class AttentionDecoder(AttentionDecoderBase):
    r"""A decoder that attends to a memory with each of its outputs: recurrence first, then attention.

    Forward, with :math:`m_s` the memory and :math:`\alpha_t` the attention weights of the query :math:`h_t`:

    .. math::
        (h_t, s_t) &= \mathrm{decoder}(x_t, s_{t-1}) \\
        c_t &= \sum_s \alpha_{ts} m_s \\
        y_t &= \mathrm{output}([h_t, c_t])

    Backward, where :math:`dq_t` is what the attention sends back to its query, and :math:`dm'_s` the gradient w.r.t.
    the memory in the final state, which contains it too:

    .. math::
        [dh_t, dc_t] &= \mathrm{output}'^\top dy_t, \qquad dh_t \mathrel{+}= dq_t \\
        dm_s &= dm'_s + \sum_t (\text{what the attention sends back to } m_s)

    The context does not go into the recurrence, so all steps attend at once, in a few large products. For a decoder in
    which each step knows the contexts before it, see `InputFeedingDecoder`.

    Args:
        decoder: a causal `Recurrent`, such as `Sequential(Embedding(...), LSTMCell(...))`, with H output features.
        attention: takes queries of H features and a memory of M; with `DotAttention`, M is H.
        output: `Feedforward` layers in a row, the first for H + M features. Luong et al. use `Linear(H + M, A)`,
            `Tanh()` and `Linear(A, V)`. Without any, the output is :math:`[h_t, c_t]`.

    The state is `(state of decoder, memory (B, S, M), lengths (B,))`. `attach` sets the last two, and `EncoderDecoder`
    calls it; in the initial state the memory is empty, S = 0, and the context is 0. Where a document begins, the row
    keeps its memory. Parameters are those of `decoder`, `attention` and `output.0`, `output.1`, ...

    Raises:
        TypeError: an argument is of the wrong class.
        ValueError: a size does not fit its neighbour, or `decoder` is not causal or has no `out_size`.

    References:
        Luong, Pham and Manning, *Effective Approaches to Attention-based Neural Machine Translation*, 2015.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> attention = GeneralAttention(4, 5, rng=rng)
        >>> decoder = AttentionDecoder(RNNCell(3, 4, rng=rng), attention, Linear(4 + 5, 6, rng=rng))
        >>> state = decoder.attach(None, np.ones((7, 2, 5), np.float32), lengths=np.array([7, 3]))
        >>> ys, state = decoder(np.ones((8, 2, 3), np.float32), state)
        >>> ys.shape, state[1].shape
        ((8, 2, 6), (2, 7, 5))
    """

    def __init__(self, decoder: Recurrent, attention: Attention, *output: Feedforward) -> None:
        super().__init__(decoder, attention)
        self.output = output
        self.takes_ids, self.in_size = decoder.takes_ids, decoder.in_size
        source = f"{decoder!r} and {attention!r} together"
        self.out_size = width_after(type(self).__name__, output, self.query_size + self.memory_size, source)

    def unroll_forward(
        self, xs: Any, state: State, *, rows: Rows, training: bool
    ) -> tuple[Any, State, AttentionDecoderCache]:
        before, *source = state
        hs, after, cache = self.decoder.unroll_forward(xs, before, rows=rows, training=training)
        ys, (attention, weights, output) = self._look(rows.clear(hs), source, training)
        return ys, (after, *source), AttentionDecoderCache(cache, attention, weights, output, rows)

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dafter, dmemory_after, _ = dstate
        dhs, dmemory = self._look_backward(dys, cache)
        dxs, dbefore = self.decoder.unroll_backward(cache.rows.clear(dhs), dafter, cache.decoder)
        return dxs, (dbefore, dmemory_after + dmemory, None)

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, AttentionDecoderCache]:
        before, *source = state
        h, after, cache = self.decoder.step_forward(x, before, training=training)
        ys, (attention, weights, output) = self._look(h[None], source, training)
        return ys[0], (after, *source), AttentionDecoderCache(cache, attention, weights, output, WHOLE)

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dafter, dmemory_after, _ = dstate
        dhs, dmemory = self._look_backward(dy[None], cache)
        dx, dbefore = self.decoder.step_backward(dhs[0], dafter, cache.decoder)
        return dx, (dbefore, dmemory_after + dmemory, None)

    def _look(self, hs: Array, source: list[Any], training: bool) -> tuple[Array, tuple[Any, ...]]:
        """The part after the recurrence: map `hs` (T, B, H) to `ys` and the caches of this part."""
        memory, lengths = source
        contexts, weights, attention = self.attention.forward(
            hs, memory.swapaxes(0, 1), lengths=lengths, training=training
        )
        ys, output = self._output_forward(namespace(hs).concatenate((hs, contexts), axis=-1), training)
        return ys, (attention, weights, output)

    def _look_backward(self, dys: Array, cache: AttentionDecoderCache) -> tuple[Array, Array]:
        """Map `dys` to the gradients w.r.t. `hs` and the memory, (B, S, M) as in the state."""
        djoined = self._output_backward(dys, cache.output)
        dhs, dcontexts = djoined[..., : self.query_size], djoined[..., self.query_size :]
        dqueries, dmemory = self.attention.backward(dcontexts, None, cache.attention)
        return dhs + dqueries, dmemory.swapaxes(0, 1)
