"""The LSTM over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units. `hs` and `cs` (T + 1, B, H) hold the states, `hs[0]` and `cs[0]` those
before the sequence; so `hs[t]` is h_{t-1}, what step t starts from, and `hs[t + 1]` is h_t. Gates are in the order
i, f, o, g; what has an axis of 4 has it for them: `gates` (T, 4, B, H), the gradients `das` (steps, B, 4, H) and, in
`forward`, the weights, (4, D, H), (4, H, H) and (4, 1, H), and the peepholes (3, 1, H). These and the bias are None
where the cell has none.

What makes it fast: a gate at a step is (B, H) without gaps, and one tanh serves all four, for sigmoid(a) =
0.5 tanh(0.5 a) + 0.5, and the weights have the inner 0.5 already. In `das` the gates lie beside the units, for the
products take (B, 4H). The steps are taken in blocks. Forward, the input side of a block is computed before its steps
(for one-hot rows by look-ups). Going back, the factors, which need no later step, are computed before the steps of a
block, and the gradients of the weights after them. Memory beyond input and output, which is a part of `hs`: `cs` and
`gates`, 5 arrays (T, B, H), copies of the weights, and some of the size of a block.
"""

from __future__ import annotations

from typing import Any

from ..core.arrays import Array, namespace
from ..core.one_hot import Input
from ..core.rows import Rows
from ..core.states import State
from .backends import backend
from .caches import LSTMCache, LSTMWeights, check_call
from .coupled import with_coupled_gates
from .kernel import Kernel
from .products import (
    add_gradient,
    add_sum,
    back_over_rows,
    block_steps,
    blocks,
    input_gradient,
    input_side,
    no_input_gradient,
    of_rows,
    over_rows,
)
from .starts import before_steps
from .tables import with_tables


def forward(
    xs: Input, state: State, weights: LSTMWeights, rows: Rows, begun: State | None
) -> tuple[Array, State, LSTMCache]:
    """`xs` (T, B, D) and the state `(h, c)`, each (B, H), to the outputs (T, B, H), the last state and the cache.

    `begun` is the state where a document begins; None where `rows.starts` is.
    """
    T, B, _ = xs.shape
    h, c = state
    H, xp, starts = weights.w_h.shape[0], namespace(h), rows.starts
    hs, cs = xp.empty((T + 1, B, H), h.dtype), xp.empty((T + 1, B, H), h.dtype)
    hs[0], cs[0] = h, c
    h_prev, c_prev = before_steps(hs, starts), before_steps(cs, starts)

    # 1. The weights gate by gate, the first three of which are sigmoids.
    own = backend(h)
    by_gate = LSTMWeights(
        own.by_gate(weights.w_x, 4, 3),
        own.by_gate(weights.w_h, 4, 3),
        None if weights.b is None else own.by_gate(weights.b, 4, 3),
        None if weights.p is None else own.by_gate(weights.p, 3, 3),
    )

    gates = own.empty_gates(h, T, 4, B, H)

    def run(part: slice) -> None:
        own_hs, own_cs, own_h_prev, own_c_prev = hs[:, part], cs[:, part], h_prev[:, part], c_prev[:, part]
        own_begun = None if begun is None else tuple(array[part] for array in begun)
        own_xs, own_gates, own_rows = xs[:, part], gates[:, :, part], rows.of_rows(part)
        _forward_rows(own_xs, own_hs, own_cs, own_h_prev, own_c_prev, own_gates, by_gate, own_rows, own_begun)

    over_rows(run, B, weights.w_h)
    i, f, o, g = gates.swapaxes(0, 1)
    return hs[1:], (hs[T].copy(), cs[T].copy()), LSTMCache(xs, h_prev, c_prev, i, f, o, g, cs[1:])


def _forward_rows(
    xs: Input,
    hs: Array,
    cs: Array,
    h_prev: Array,
    c_prev: Array,
    gates: Array,
    weights: LSTMWeights,
    rows: Rows,
    begun: State | None,
) -> None:
    """The steps of some rows: from `hs[0]` and `cs[0]` to the others, and the `gates` of those that run."""
    T, _, B, H = gates.shape
    project = input_side(xs, weights.w_x, weights.b)
    take_steps = backend(hs).lstm_forward_steps(weights.w_h, weights.p, B)
    for block in blocks(T, block_steps(T, B, 4 * H, weights.w_h)):
        # 2. x_t @ w_x + b, for the steps of a block at once; then the steps.
        project(block, gates[block])
        after = slice(block.start, block.stop + 1)
        take_steps(gates[block], hs[after], cs[after], h_prev[block], c_prev[block], rows.of_steps(block), begun)


def backward(
    dys: Array, dstate: State, cache: LSTMCache, weights: LSTMWeights, rows: Rows, gradients: LSTMWeights
) -> tuple[Array | None, State, State | None]:
    """`dys` (T, B, H) and the gradient of the last state to `(dxs, dstate, dbegun)`; adds to `gradients`.

    `dys` is 0 where a row has ended. `dxs` is None for one-hot rows, and `dbegun` where `rows.starts` is.
    """
    check_call(cache, dys, dstate, rows)
    xs, c = cache.x, cache.c
    B, xp = c.shape[1], namespace(c)
    dxs = no_input_gradient(xs, c.dtype)
    dbegun = None if rows.starts is None else tuple(xp.zeros(d.shape, d.dtype) for d in dstate)

    def run(part: slice, *own: Any) -> State:
        steps = LSTMCache(*(values[:, part] for values in cache))
        own_dstate = tuple(d[part].copy() for d in dstate)
        own_dbegun = None if dbegun is None else tuple(d[part] for d in dbegun)
        own_rows, own_dxs = rows.of_rows(part), of_rows(dxs, part)
        return _backward_rows(
            dys[:, part], own_dstate, own_dbegun, steps, weights, own_rows, own_dxs, LSTMWeights(*own)
        )

    dh, dc = back_over_rows(run, B, weights.w_h, gradients)
    return dxs, (dh, dc), dbegun


def _backward_rows(
    dys: Array,
    dstate: State,
    dbegun: State | None,
    cache: LSTMCache,
    weights: LSTMWeights,
    rows: Rows,
    dxs: Array | None,
    gradients: LSTMWeights,
) -> State:
    """The steps of some rows, back: gives `dstate` before the first one, sets `dxs` and adds to `dbegun`."""
    T, B, H = cache.c.shape
    take_steps = backend(cache.c).lstm_backward_steps(weights.w_h, weights.p, B)
    project_back = input_gradient(dxs, weights.w_x)
    for block in reversed(blocks(T, block_steps(T, B, 4 * H, weights.w_h))):
        # 1. and 2. The steps, from the last one back.
        steps = LSTMCache(*(values[block] for values in cache))
        das, dstate = take_steps(steps, dys[block], dstate, rows.of_steps(block), dbegun)

        # 3. Gradients of weights and inputs, for the steps of the block at once.
        add_gradient(gradients.w_x, steps.x, das)
        add_gradient(gradients.w_h, steps.h_prev, das)
        add_sum(gradients.b, das)
        if gradients.p is not None:
            _add_peepholes(gradients.p, das, steps)
        project_back(block, das)
    return dstate


def _add_peepholes(dp: Array, das: Array, cache: LSTMCache) -> None:
    """`dp` (3H,) += da^i_t c_{t-1}, da^f_t c_{t-1} and da^o_t c_t of some steps; `das` is (steps, B, 4H)."""
    H = cache.c.shape[2]
    for k, c in enumerate((cache.c_prev, cache.c_prev, cache.c)):
        own = slice(k * H, (k + 1) * H)
        dp[own] += (das[:, :, own] * c).sum(axis=(0, 1))


def step(x: Input, state: State, weights: LSTMWeights) -> State:
    """One step at inference, compiled, which keeps nothing for a backward: at B = 1 a sixth of a token's time less."""
    take_step = backend(state[0]).lstm_step
    assert take_step is not None
    return take_step(x, state, weights)


KERNEL = with_tables(Kernel(LSTMWeights, forward, backward, step))
"""The kernel of `LSTMCell`."""
PEEPHOLES = with_tables(Kernel(LSTMWeights, forward, backward, None))
"""That of one with peepholes. It has no compiled step at inference, so that of the other takes no argument for them."""
COUPLED = with_tables(with_coupled_gates(Kernel(LSTMWeights, forward, backward, None)))
"""That of one with coupled gates, with peepholes or without."""
