"""The simple recurrent network over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units. `hs` (T + 1, B, H) holds the states, `hs[0]` the one before the sequence;
so `hs[t]` is h_{t-1}, what step t starts from, and `hs[t + 1]` is h_t.

What makes it fast: the steps are taken in blocks. Forward, the input side of a block is one product (for one-hot rows a
look-up), written to where the states will stand; each step then adds one product and applies the nonlinearity in place.
Going back, the gradients of the weights are one product each, for a block at once. Memory beyond input and output,
which is a part of `hs`: copies of the weights, and some of the size of a block.
"""

from __future__ import annotations

from ..core.arrays import Array, Booleans, namespace
from ..core.one_hot import Input
from .backends import backend
from .caches import RNNCache
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
)


def forward(
    nonlinearity: str, xs: Input, h: Array, w_x: Array, w_h: Array, b: Array, active: Booleans | None
) -> tuple[Array, RNNCache]:
    """`xs` (T, B, D) and the state `h` (B, H) to the last state (B, H) and the cache, whose `h` are the outputs.

    `nonlinearity` is "tanh" or "relu", `w_x` (D, H), `w_h` (H, H) and `b` (H,); `active` (T, B) is True where a row
    runs, None where all do.
    """
    (T, B, _), H = xs.shape, w_h.shape[0]
    hs = namespace(h).empty((T + 1, B, H), h.dtype)
    hs[0] = h

    def run(rows: slice) -> None:
        _forward_rows(nonlinearity, xs[:, rows], hs[:, rows], w_x, w_h, b, of_rows(active, rows))

    over_rows(run, B, w_h)
    return hs[T].copy(), RNNCache(xs, hs[:T], hs[1:])


def _forward_rows(
    nonlinearity: str, xs: Input, hs: Array, w_x: Array, w_h: Array, b: Array, active: Booleans | None
) -> None:
    """The steps of some rows: from `hs[0]` to the others."""
    (T, B, _), H = xs.shape, w_h.shape[0]
    project = input_side(xs, w_x[None], b[None, None])
    take_steps = backend(hs).rnn_forward_steps(nonlinearity, w_h, B)
    for block in blocks(T, block_steps(T, B, H)):
        # 1. x_t @ w_x + b, for the steps of a block, where h_t will stand; then the steps.
        project(block, hs[1:][block, None])
        take_steps(hs[block.start : block.stop + 1], of_steps(active, block))


def backward(
    nonlinearity: str,
    dys: Array,
    dh: Array,
    cache: RNNCache,
    w_x: Array,
    w_h: Array,
    active: Booleans | None,
    dw_x: Array,
    dw_h: Array,
    db: Array,
) -> tuple[Array | None, Array]:
    """`dys` (T, B, H) and `dh` (B, H) to `(dxs, dh)`, dxs None for one-hot rows; adds to `dw_x`, `dw_h` and `db`.

    `dys` is 0 where a row has ended. Weights and `active` are as in `forward`.
    """
    xs, h = cache.x, cache.h
    dxs = no_input_gradient(xs, h.dtype)

    def run(rows: slice, *gradients: Array) -> tuple[Array]:
        part = RNNCache(*(values[:, rows] for values in cache))
        own_active, own_dxs = of_rows(active, rows), of_rows(dxs, rows)
        return (_backward_rows(nonlinearity, dys[:, rows], dh[rows], part, w_x, w_h, own_active, own_dxs, *gradients),)

    (dh,) = back_over_rows(run, h.shape[1], w_h, (dw_x, dw_h, db))
    return dxs, dh


def _backward_rows(
    nonlinearity: str,
    dys: Array,
    dh: Array,
    cache: RNNCache,
    w_x: Array,
    w_h: Array,
    active: Booleans | None,
    dxs: Array | None,
    dw_x: Array,
    dw_h: Array,
    db: Array,
) -> Array:
    """The steps of some rows, back: gives the `dh` before the first one, and sets `dxs`."""
    xs, h_prev, h = cache
    T, B, H = h.shape
    take_steps, dh = backend(h).rnn_backward_steps(nonlinearity, w_h, B), dh.copy()
    project_back = input_gradient(dxs, w_x)
    for block in reversed(blocks(T, block_steps(T, B, H))):
        # 1. and 2. The steps, from the last one back.
        das, dh = take_steps(h[block], dys[block], dh, of_steps(active, block))

        # 3. Gradients of weights and inputs, for the steps of the block at once.
        add_gradient(dw_x, xs[block], das)
        add_gradient(dw_h, h_prev[block], das)
        add_sum(db, das)
        project_back(block, das)
    return dh
