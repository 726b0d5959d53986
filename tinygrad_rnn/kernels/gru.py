"""The GRU whose reset comes after the product, over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units. `hs` (T + 1, B, H) holds the states, `hs[0]` the one before the sequence;
so `hs[t]` is h_{t-1}, what step t starts from, and `hs[t + 1]` is h_t. Gates are in the order r, z, n; what has an
axis of 3 has it for them: `gates` (T, 3, B, H) and, in `forward`, the weights, (3, D, H), (3, H, H) and (3, 1, H).

What makes it fast: one tanh serves r and z, for sigmoid(a) = 0.5 tanh(0.5 a) + 0.5, and the weights have the inner 0.5
already. The steps are taken in blocks. Forward, the input side is computed for a block before its steps (for one-hot
rows by look-ups). Going back, each of the four gradients of a step, by m and by the sums of r, z and n, is dh times a
factor that the cache gives. So the factors of a block are made before its steps, one multiplication a step makes the
gradients, and those of the weights are computed after them, for the block at once. Memory beyond input and output,
which is a part of `hs`: `gates` and `ms`, 4 arrays (T, B, H), copies of the weights, and some of the size of a
block.
"""

from __future__ import annotations

from typing import Any

from ..core.arrays import Array, namespace
from ..core.one_hot import Input
from ..core.rows import Rows
from ..core.states import State
from .backends import backend
from .caches import GRUCache, GRUWeights, check_call
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
    xs: Input, state: State, weights: GRUWeights, rows: Rows, begun: State | None
) -> tuple[Array, State, GRUCache]:
    """`xs` (T, B, D) and the state `(h,)`, h (B, H), to the outputs (T, B, H), the last state and the cache.

    `begun` is the state where a document begins; None where `rows.starts` is.
    """
    T, B, _ = xs.shape
    (h,) = state
    H, xp = weights.w_h.shape[0], namespace(h)
    hs, ms = xp.empty((T + 1, B, H), h.dtype), xp.empty((T, B, H), h.dtype)
    hs[0] = h
    h_prev = before_steps(hs, rows.starts)

    # 1. The weights gate by gate, the first two of which are sigmoids.
    own = backend(h)
    w_x, w_h = own.by_gate(weights.w_x, 3, 2), own.by_gate(weights.w_h, 3, 2)
    b = None if weights.b is None else own.by_gate(weights.b, 3, 2)
    by_gate = GRUWeights(w_x, w_h, b, xp.zeros(H, h.dtype) if weights.b_h is None else weights.b_h)

    gates = own.empty_gates(h, T, 3, B, H)

    def run(part: slice) -> None:
        own_begun = None if begun is None else begun[0][part]
        own_xs, own_hs, own_prev = xs[:, part], hs[:, part], h_prev[:, part]
        own_gates, own_ms = gates[:, :, part], ms[:, part]
        _forward_rows(own_xs, own_hs, own_prev, own_ms, own_gates, by_gate, rows.of_rows(part), own_begun)

    over_rows(run, B, weights.w_h)
    r, z, n = gates.swapaxes(0, 1)
    return hs[1:], (hs[T].copy(),), GRUCache(xs, h_prev, r, z, n, ms)


def _forward_rows(
    xs: Input,
    hs: Array,
    h_prev: Array,
    ms: Array,
    gates: Array,
    weights: GRUWeights,
    rows: Rows,
    begun: Array | None,
) -> None:
    """The steps of some rows: from `hs[0]` to the others, all `gates` and `ms`."""
    T, _, B, H = gates.shape
    w_x, w_h, b, b_h = weights
    assert b_h is not None  # `forward` has put zeros there
    project = input_side(xs, w_x, b)
    take_steps = backend(hs).gru_forward_steps(w_h, b_h, B)
    for block in blocks(T, block_steps(T, B, 4 * H, w_h)):  # of three gates and m
        # 2. x_t @ w_x + b, for the steps of a block at once; then the steps.
        project(block, gates[block])
        after = slice(block.start, block.stop + 1)
        take_steps(gates[block], hs[after], h_prev[block], ms[block], rows.of_steps(block), begun)


def backward(
    dys: Array, dstate: State, cache: GRUCache, weights: GRUWeights, rows: Rows, gradients: GRUWeights
) -> tuple[Array | None, State, State | None]:
    """`dys` (T, B, H) and the gradient of the last state to `(dxs, dstate, dbegun)`; adds to `gradients`.

    `dys` is 0 where a row has ended. `dxs` is None for one-hot rows, and `dbegun` where `rows.starts` is.
    """
    check_call(cache, dys, dstate, rows)
    xs, m = cache.x, cache.m
    (dh,) = dstate
    dxs = no_input_gradient(xs, m.dtype)
    dbegun = None if rows.starts is None else namespace(m).zeros(dh.shape, dh.dtype)

    def run(part: slice, *own: Any) -> tuple[Array]:
        steps = GRUCache(*(values[:, part] for values in cache))
        own_rows, own_dxs = rows.of_rows(part), of_rows(dxs, part)
        own_dbegun = None if dbegun is None else dbegun[part]
        return (
            _backward_rows(
                dys[:, part], dh[part].copy(), own_dbegun, steps, weights, own_rows, own_dxs, GRUWeights(*own)
            ),
        )

    (dh_prev,) = back_over_rows(run, m.shape[1], weights.w_h, gradients)
    return dxs, (dh_prev,), None if dbegun is None else (dbegun,)


def _backward_rows(
    dys: Array,
    dh: Array,
    dbegun: Array | None,
    cache: GRUCache,
    weights: GRUWeights,
    rows: Rows,
    dxs: Array | None,
    gradients: GRUWeights,
) -> Array:
    """The steps of some rows, back: gives the `dh` before the first one, sets `dxs` and adds to `dbegun`."""
    T, B, H = cache.m.shape
    dw_x, dw_h, db, db_h = gradients
    take_steps = backend(cache.m).gru_backward_steps(weights.w_h, B)
    project_back = input_gradient(dxs, weights.w_x)
    for block in reversed(blocks(T, block_steps(T, B, 4 * H, weights.w_h))):
        # 1. and 2. The steps, from the last one back.
        steps = GRUCache(*(values[block] for values in cache))
        das, dh = take_steps(steps, dys[block], dh, rows.of_steps(block), dbegun)

        # 3. Gradients of weights and inputs, for the steps of the block at once. The columns r, z, n of w_x belong to
        #    da^r_t, da^z_t and da^n_t, those of w_h to da^r_t, da^z_t and dm_t.
        add_gradient(dw_x, steps.x, das[:, :, H:])
        add_gradient(dw_h[:, 2 * H :], steps.h_prev, das[:, :, :H])
        add_gradient(dw_h[:, : 2 * H], steps.h_prev, das[:, :, H : 3 * H])
        add_sum(db, das[:, :, H:])
        add_sum(db_h, das[:, :, :H])
        project_back(block, das[:, :, H:])
    return dh


def step(x: Input, state: State, weights: GRUWeights) -> State:
    """One step at inference, compiled, which keeps nothing for a backward: at B = 1 a sixth of a token's time less."""
    take_step = backend(state[0]).gru_step
    assert take_step is not None
    return take_step(x, state, weights)


KERNEL = with_tables(Kernel(GRUWeights, forward, backward, step))
"""The kernel of a `GRUCell` whose reset comes after the product."""
