"""The LSTM over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units. `hs` and `cs` (T + 1, B, H) hold the states, `hs[0]` and `cs[0]` those
before the sequence; so `hs[t]` is h_{t-1}, what step t starts from, and `hs[t + 1]` is h_t. Gates are in the order
i, f, o, g; what has an axis of 4 has it for them: `gates` (T, 4, B, H), the gradients `das` (steps, B, 4, H) and, in
`forward`, the weights, (4, D, H), (4, H, H) and (4, 1, H).

What makes it fast: a gate at a step is (B, H) without gaps, and one tanh serves all four, for sigmoid(a) =
0.5 tanh(0.5 a) + 0.5, and the weights have the inner 0.5 already. In `das` the gates lie beside the units, for the
products take (B, 4H). The steps are taken in blocks. Forward, the input side of a block is computed before its steps
(for one-hot rows by look-ups). Going back, the factors, which need no later step, are computed before the steps of a
block, and the gradients of the weights after them. Memory beyond input and output, which is a part of `hs`: `cs` and
`gates`, 5 arrays (T, B, H), copies of the weights, and some of the size of a block.
"""

from __future__ import annotations

from ..core.arrays import Array, Booleans, namespace
from ..core.one_hot import Input
from .backends import backend
from .caches import LSTMCache
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
    xs: Input, h: Array, c: Array, w_x: Array, w_h: Array, b: Array, active: Booleans | None
) -> tuple[Array, Array, Array, LSTMCache]:
    """`xs` (T, B, D) and the state `h`, `c` (B, H) to the outputs (T, B, H), the last `h` and `c`, and the cache.

    `w_x` is (D, 4H), `w_h` (H, 4H) and `b` (4H,); `active` (T, B) is True where a row runs, None where all do.
    """
    T, B, _ = xs.shape
    H, xp = w_h.shape[0], namespace(h)
    hs, cs = xp.empty((T + 1, B, H), h.dtype), xp.empty((T + 1, B, H), h.dtype)
    hs[0], cs[0] = h, c

    # 1. The weights gate by gate, those of the sigmoids halved, which rounds nothing.
    w_x, w_h, b = (w.reshape(-1, 4, H).swapaxes(0, 1).copy() for w in (w_x, w_h, b))
    for w in (w_x, w_h, b):
        w[:3] *= 0.5

    gates = xp.empty((T, 4, B, H), h.dtype)

    def run(rows: slice) -> None:
        _forward_rows(xs[:, rows], hs[:, rows], cs[:, rows], gates[:, :, rows], w_x, w_h, b, of_rows(active, rows))

    over_rows(run, B, w_h)
    i, f, o, g = gates.swapaxes(0, 1)
    return hs[1:], hs[T].copy(), cs[T].copy(), LSTMCache(xs, hs[:T], cs[:T], i, f, o, g, cs[1:])


def _forward_rows(
    xs: Input, hs: Array, cs: Array, gates: Array, w_x: Array, w_h: Array, b: Array, active: Booleans | None
) -> None:
    """The steps of some rows: from `hs[0]` and `cs[0]` to the others, and the `gates` of those that run."""
    T, _, B, H = gates.shape
    project, take_steps = input_side(xs, w_x, b), backend(hs).lstm_forward_steps(w_h, B)
    for block in blocks(T, block_steps(T, B, 4 * H)):
        # 2. x_t @ w_x + b, for the steps of a block at once; then the steps.
        project(block, gates[block])
        with_first = slice(block.start, block.stop + 1)
        take_steps(gates[block], hs[with_first], cs[with_first], of_steps(active, block))


def step(x: Input, h: Array, c: Array, w_x: Array, w_h: Array, b: Array) -> tuple[Array, Array]:
    """One step in use, with nothing kept: `x` (B, D) and the state `h`, `c` (B, H) to the next `h` and `c`.

    The gates are side by side in `a` (B, 4H), as in `w_x` (D, 4H), `w_h` (H, 4H) and `b` (4H,).
    """
    H, xp = w_h.shape[0], namespace(h)
    a = product(x, w_x)
    a += product(h, w_h)
    a += b
    sigmoids = a[:, : 3 * H]
    sigmoids *= 0.5
    xp.tanh(a, out=a)
    sigmoids *= 0.5
    sigmoids += 0.5
    i, f, o, g = a[:, :H], a[:, H : 2 * H], a[:, 2 * H : 3 * H], a[:, 3 * H :]
    c = f * c
    i *= g
    c += i
    h = xp.tanh(c)
    h *= o
    return h, c


def backward(
    dys: Array,
    dh: Array,
    dc: Array,
    cache: LSTMCache,
    w_x: Array,
    w_h: Array,
    active: Booleans | None,
    dw_x: Array,
    dw_h: Array,
    db: Array,
) -> tuple[Array | None, Array, Array]:
    """`dys` (T, B, H), `dh` and `dc` (B, H) to `(dxs, dh, dc)`; adds to `dw_x`, `dw_h` and `db`.

    `dys` is 0 where a row has ended. Weights and `active` are as in `forward`. `dxs` is None for one-hot rows.
    """
    xs, c = cache.x, cache.c
    dxs = no_input_gradient(xs, c.dtype)

    def run(rows: slice, *gradients: Array) -> tuple[Array, Array]:
        part = LSTMCache(*(values[:, rows] for values in cache))
        own_active, own_dxs = of_rows(active, rows), of_rows(dxs, rows)
        return _backward_rows(dys[:, rows], dh[rows], dc[rows], part, w_x, w_h, own_active, own_dxs, *gradients)

    dh, dc = back_over_rows(run, c.shape[1], w_h, (dw_x, dw_h, db))
    return dxs, dh, dc


def _backward_rows(
    dys: Array,
    dh: Array,
    dc: Array,
    cache: LSTMCache,
    w_x: Array,
    w_h: Array,
    active: Booleans | None,
    dxs: Array | None,
    dw_x: Array,
    dw_h: Array,
    db: Array,
) -> tuple[Array, Array]:
    """The steps of some rows, back: gives `dh` and `dc` before the first one, and sets `dxs`."""
    xs, h_prev, c = cache.x, cache.h_prev, cache.c
    T, B, H = c.shape
    take_steps, dh, dc = backend(c).lstm_backward_steps(w_h, B), dh.copy(), dc.copy()
    project_back = input_gradient(dxs, w_x)
    for block in reversed(blocks(T, block_steps(T, B, 4 * H))):
        # 1. and 2. The steps, from the last one back.
        part = LSTMCache(*(values[block] for values in cache))
        das, dh, dc = take_steps(part, dys[block], dh, dc, of_steps(active, block))

        # 3. Gradients of weights and inputs, for the steps of the block at once.
        add_gradient(dw_x, xs[block], das)
        add_gradient(dw_h, h_prev[block], das)
        add_sum(db, das)
        project_back(block, das)
    return dh, dc
