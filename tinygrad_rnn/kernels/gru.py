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

from ..core.arrays import Array, Booleans, namespace
from ..core.one_hot import Input
from .backends import backend
from .caches import GRUCache
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
    of_steps,
    over_rows,
    product,
)


def forward(
    xs: Input, h: Array, w_x: Array, w_h: Array, b: Array, b_h: Array, active: Booleans | None
) -> tuple[Array, Array, GRUCache]:
    """`xs` (T, B, D) and the state `h` (B, H) to the outputs (T, B, H), the last state (B, H) and the cache.

    `w_x` is (D, 3H), `w_h` (H, 3H), `b` (3H,) and `b_h` (H,); `active` (T, B) is True where a row runs, None where all
    do.
    """
    T, B, _ = xs.shape
    H, xp = w_h.shape[0], namespace(h)
    hs, ms = xp.empty((T + 1, B, H), h.dtype), xp.empty((T, B, H), h.dtype)
    hs[0] = h

    # 1. The weights gate by gate, those of the sigmoids halved, which rounds nothing.
    w_x, w_h, b = (w.reshape(-1, 3, H).swapaxes(0, 1).copy() for w in (w_x, w_h, b))
    for w in (w_x, w_h, b):
        w[:2] *= 0.5

    gates = xp.empty((T, 3, B, H), h.dtype)

    def run(rows: slice) -> None:
        _forward_rows(xs[:, rows], hs[:, rows], gates[:, :, rows], ms[:, rows], w_x, w_h, b, b_h, of_rows(active, rows))

    over_rows(run, B, w_h)
    r, z, n = gates.swapaxes(0, 1)
    return hs[1:], hs[T].copy(), GRUCache(xs, hs[:T], r, z, n, ms)


def _forward_rows(
    xs: Input,
    hs: Array,
    gates: Array,
    ms: Array,
    w_x: Array,
    w_h: Array,
    b: Array,
    b_h: Array,
    active: Booleans | None,
) -> None:
    """The steps of some rows: from `hs[0]` to the others, all `gates` and `ms`."""
    T, _, B, H = gates.shape
    project, take_steps = input_side(xs, w_x, b), backend(hs).gru_forward_steps(w_h, b_h, B)
    for block in blocks(T, block_steps(T, B, 4 * H)):  # of three gates and m
        # 2. x_t @ w_x + b, for the steps of a block at once; then the steps.
        project(block, gates[block])
        take_steps(gates[block], hs[block.start : block.stop + 1], ms[block], of_steps(active, block))


def step(x: Input, h: Array, w_x: Array, w_h: Array, b: Array, b_h: Array) -> Array:
    """One step in use, with nothing kept: `x` (B, D) and the state `h` (B, H) to the next one.

    The gates are side by side in `a` (B, 3H), as in `w_x` (D, 3H), `w_h` (H, 3H) and `b` (3H,); `b_h` is (H,).
    """
    H, xp = w_h.shape[0], namespace(h)
    a = product(x, w_x)
    a += b
    from_h = product(h, w_h)
    sigmoids, n, m = a[:, : 2 * H], a[:, 2 * H :], from_h[:, 2 * H :]
    sigmoids += from_h[:, : 2 * H]
    sigmoids *= 0.5
    xp.tanh(sigmoids, out=sigmoids)
    sigmoids *= 0.5
    sigmoids += 0.5
    r, z = a[:, :H], a[:, H : 2 * H]
    m += b_h
    m *= r
    n += m
    xp.tanh(n, out=n)
    h = h - n
    h *= z
    h += n
    return h


def backward(
    dys: Array,
    dh: Array,
    cache: GRUCache,
    w_x: Array,
    w_h: Array,
    active: Booleans | None,
    dw_x: Array,
    dw_h: Array,
    db: Array,
    db_h: Array,
) -> tuple[Array | None, Array]:
    """`dys` (T, B, H) and `dh` (B, H) to `(dxs, dh)`, dxs None for one-hot rows; adds to the four gradients.

    `dys` is 0 where a row has ended. Weights and `active` are as in `forward`.
    """
    xs, m = cache.x, cache.m
    dxs = no_input_gradient(xs, m.dtype)

    def run(rows: slice, *gradients: Array) -> tuple[Array]:
        part = GRUCache(*(values[:, rows] for values in cache))
        own_active, own_dxs = of_rows(active, rows), of_rows(dxs, rows)
        return (_backward_rows(dys[:, rows], dh[rows], part, w_x, w_h, own_active, own_dxs, *gradients),)

    (dh,) = back_over_rows(run, m.shape[1], w_h, (dw_x, dw_h, db, db_h))
    return dxs, dh


def _backward_rows(
    dys: Array,
    dh: Array,
    cache: GRUCache,
    w_x: Array,
    w_h: Array,
    active: Booleans | None,
    dxs: Array | None,
    dw_x: Array,
    dw_h: Array,
    db: Array,
    db_h: Array,
) -> Array:
    """The steps of some rows, back: gives the `dh` before the first one, and sets `dxs`."""
    xs, h_prev, m = cache.x, cache.h_prev, cache.m
    T, B, H = m.shape
    take_steps, dh = backend(m).gru_backward_steps(w_h, B), dh.copy()
    project_back = input_gradient(dxs, w_x)
    for block in reversed(blocks(T, block_steps(T, B, 4 * H))):
        # 1. and 2. The steps, from the last one back.
        part = GRUCache(*(values[block] for values in cache))
        das, dh = take_steps(part, dys[block], dh, of_steps(active, block))

        # 3. Gradients of weights and inputs, for the steps of the block at once. The columns r, z, n of w_x belong to
        #    da^r_t, da^z_t and da^n_t, those of w_h to da^r_t, da^z_t and dm_t.
        add_gradient(dw_x, xs[block], das[:, :, H:])
        add_gradient(dw_h[:, 2 * H :], h_prev[block], das[:, :, :H])
        add_gradient(dw_h[:, : 2 * H], h_prev[block], das[:, :, H : 3 * H])
        add_sum(db, das[:, :, H:])
        add_sum(db_h, das[:, :, :H])
        project_back(block, das[:, :, H:])
    return dh
