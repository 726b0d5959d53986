"""The simple recurrent network over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units. `hs` (T + 1, B, H) holds the states, `hs[0]` the one before the sequence;
so `hs[t]` is h_{t-1}, what step t starts from, and `hs[t + 1]` is h_t.

What makes it fast: the steps are taken in blocks. Forward, the input side of a block is one product (for one-hot rows a
look-up), written to where the states will stand; each step then adds one product and applies the nonlinearity in place.
Going back, the gradients of the weights are one product each, for a block at once. Memory beyond input and output,
which is a part of `hs`: copies of the weights, and some of the size of a block.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..core.arrays import Array, namespace
from ..core.one_hot import Input
from ..core.rows import Rows
from ..core.states import State
from .backends import backend
from .caches import RNNCache, RNNWeights, check_call
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
    nonlinearity: str, xs: Input, state: State, weights: RNNWeights, rows: Rows, begun: State | None
) -> tuple[Array, State, RNNCache]:
    """`xs` (T, B, D) and the state `(h,)`, h (B, H), to the outputs (T, B, H), the last state and the cache.

    `nonlinearity` is "tanh" or "relu"; `begun` is the state where a document begins, None where `rows.starts` is.
    """
    (T, B, _), H = xs.shape, weights.w_h.shape[0]
    (h,) = state
    hs = namespace(h).empty((T + 1, B, H), h.dtype)
    hs[0] = h
    h_prev = before_steps(hs, rows.starts)

    def run(part: slice) -> None:
        own_begun = None if begun is None else begun[0][part]
        own_xs, own_hs, own_prev = xs[:, part], hs[:, part], h_prev[:, part]
        _forward_rows(nonlinearity, own_xs, own_hs, own_prev, weights, rows.of_rows(part), own_begun)

    over_rows(run, B, weights.w_h)
    return hs[1:], (hs[T].copy(),), RNNCache(xs, h_prev, hs[1:])


def _forward_rows(
    nonlinearity: str, xs: Input, hs: Array, h_prev: Array, weights: RNNWeights, rows: Rows, begun: Array | None
) -> None:
    """The steps of some rows: from `hs[0]` to the others."""
    (T, B, _), (w_x, w_h, b) = xs.shape, weights
    project = input_side(xs, w_x[None], None if b is None else b[None, None])
    take_steps = backend(hs).rnn_forward_steps(nonlinearity, w_h, B)
    for block in blocks(T, block_steps(T, B, w_h.shape[0], w_h)):
        # 1. x_t @ w_x + b, for the steps of a block, where h_t will stand; then the steps.
        project(block, hs[1:][block, None])
        take_steps(hs[block.start : block.stop + 1], h_prev[block], rows.of_steps(block), begun)


def backward(
    nonlinearity: str,
    dys: Array,
    dstate: State,
    cache: RNNCache,
    weights: RNNWeights,
    rows: Rows,
    gradients: RNNWeights,
) -> tuple[Array | None, State, State | None]:
    """`dys` (T, B, H) and the gradient of the last state to `(dxs, dstate, dbegun)`; adds to `gradients`.

    `dys` is 0 where a row has ended. `dxs` is None for one-hot rows, and `dbegun` where `rows.starts` is.
    """
    check_call(cache, dys, dstate, rows)
    xs, h = cache.x, cache.h
    (dh,) = dstate
    dxs = no_input_gradient(xs, h.dtype)
    dbegun = None if rows.starts is None else namespace(h).zeros(dh.shape, dh.dtype)

    def run(part: slice, *own: Any) -> tuple[Array]:
        steps = RNNCache(*(values[:, part] for values in cache))
        own_rows, own_dxs = rows.of_rows(part), of_rows(dxs, part)
        own_dbegun = None if dbegun is None else dbegun[part]
        own_dh, own_gradients = dh[part].copy(), RNNWeights(*own)
        return (
            _backward_rows(
                nonlinearity, dys[:, part], own_dh, own_dbegun, steps, weights, own_rows, own_dxs, own_gradients
            ),
        )

    (dh_prev,) = back_over_rows(run, h.shape[1], weights.w_h, gradients)
    return dxs, (dh_prev,), None if dbegun is None else (dbegun,)


def _backward_rows(
    nonlinearity: str,
    dys: Array,
    dh: Array,
    dbegun: Array | None,
    cache: RNNCache,
    weights: RNNWeights,
    rows: Rows,
    dxs: Array | None,
    gradients: RNNWeights,
) -> Array:
    """The steps of some rows, back: gives the `dh` before the first one, sets `dxs` and adds to `dbegun`."""
    xs, h_prev, h = cache
    T, B, H = h.shape
    take_steps = backend(h).rnn_backward_steps(nonlinearity, weights.w_h, B)
    project_back = input_gradient(dxs, weights.w_x)
    for block in reversed(blocks(T, block_steps(T, B, H, weights.w_h))):
        # 1. and 2. The steps, from the last one back.
        das, dh = take_steps(h[block], dys[block], dh, rows.of_steps(block), dbegun)

        # 3. Gradients of weights and inputs, for the steps of the block at once.
        add_gradient(gradients.w_x, xs[block], das)
        add_gradient(gradients.w_h, h_prev[block], das)
        add_sum(gradients.b, das)
        project_back(block, das)
    return dh


def _kernel(nonlinearity: str) -> Kernel:
    return with_tables(Kernel(RNNWeights, partial(forward, nonlinearity), partial(backward, nonlinearity), None))


TANH, RELU = _kernel("tanh"), _kernel("relu")
"""The kernels of an `RNNCell`."""
