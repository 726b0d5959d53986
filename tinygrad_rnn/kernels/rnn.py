"""The simple recurrent network over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units. `hs` (T + 1, B, H) holds the states, `hs[0]` the one before the sequence;
so `hs[t]` is h_{t-1}, what step t starts from, and `hs[t + 1]` is h_t.

What makes it fast: the steps are taken in blocks. Forward, the input side of a block is one product (for one-hot rows a
look-up), written to where the states will stand; each step then adds one product and applies the nonlinearity in place.
Going back, the gradients of the weights are one product each, for a block at once. Memory beyond input and output,
which is a part of `hs`: copies of the weights, and some of the size of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ..core.arrays import Array, namespace
from ..core.one_hot import Input
from ..core.rows import Rows
from ..core.states import State
from .compiling import compiled_version
from .documents import before_steps, begin_step, begin_step_backward
from .kernel import Kernel
from .products import (
    add_gradient,
    add_sum,
    back_over_rows,
    block_steps,
    blocks,
    input_gradient,
    input_side,
    multiplier,
    no_input_gradient,
    of_rows,
    over_rows,
)
from .tables import with_tables


class RNNCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    h: Array


class RNNWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, H)."""
    w_h: Array
    """(H, H)."""
    b: Array
    """(H,)."""


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
    project = input_side(xs, w_x[None], b[None, None])
    take_steps = compiled_version(forward_steps, hs)(nonlinearity, w_h, B)
    for block in blocks(T, block_steps(T, B, w_h.shape[0])):
        # 1. x_t @ w_x + b, for the steps of a block, where h_t will stand; then the steps.
        project(block, hs[1:][block, None])
        take_steps(hs[block.start : block.stop + 1], h_prev[block], rows.of_steps(block), begun)


def forward_steps(nonlinearity: str, w_h: Array, B: int) -> Callable[..., None]:
    """`take_steps(hs, h_prev, rows, begun)`: from `hs[0]` on; the others begin as x_t @ w_x + b.

    `h_prev` is as `before_steps` gave it.
    """
    multiply, xp = multiplier(w_h, B), namespace(w_h)
    product = xp.empty((B, len(w_h)), w_h.dtype)

    def take_steps(hs: Array, h_prev: Array, rows: Rows, begun: Array | None) -> None:
        _, active, starts = rows
        # 2. h_t = f(x_t @ w_x + b + h_{t-1} @ w_h).
        for t in range(len(h_prev)):
            if starts is not None and begun is not None:
                begin_step(h_prev[t], hs[t], begun, starts[t])
            a = hs[t + 1]
            multiply(h_prev[t], out=product)
            a += product
            if nonlinearity == "tanh":
                xp.tanh(a, out=a)
            else:
                xp.maximum(a, 0, out=a)
            if active is not None:
                xp.copyto(a, h_prev[t], where=~active[t][:, None])  # past its end a row keeps its state

    return take_steps


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
    xs, h = cache.x, cache.h
    (dh,) = dstate
    dxs = no_input_gradient(xs, h.dtype)
    dbegun = None if rows.starts is None else namespace(h).zeros_like(dh)

    def run(part: slice, *own: Array) -> tuple[Array]:
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
    take_steps = compiled_version(backward_steps, h)(nonlinearity, weights.w_h, B)
    project_back = input_gradient(dxs, weights.w_x)
    for block in reversed(blocks(T, block_steps(T, B, H))):
        # 1. and 2. The steps, from the last one back.
        das, dh = take_steps(h[block], dys[block], dh, rows.of_steps(block), dbegun)

        # 3. Gradients of weights and inputs, for the steps of the block at once.
        add_gradient(gradients.w_x, xs[block], das)
        add_gradient(gradients.w_h, h_prev[block], das)
        add_sum(gradients.b, das)
        project_back(block, das)
    return dh


def backward_steps(nonlinearity: str, w_h: Array, B: int) -> Callable[..., tuple[Array, Array]]:
    """`take_steps(h, dys, dh, rows, dbegun)`: from the last of some steps back.

    It gives da_t of each (steps, B, H) and `dh` before the first, for which it may use the memory of that given.
    """
    multiply, xp = multiplier(w_h.T, B), namespace(w_h)
    product = xp.empty((B, len(w_h)), w_h.dtype)

    def take_steps(h: Array, dys: Array, dh: Array, rows: Rows, dbegun: Array | None) -> tuple[Array, Array]:
        _, active, starts = rows
        # 1. f'(a_t) from h_t, for all the steps, where da_t will stand: 1 - h_t^2, or 1 where the ReLU is on.
        if nonlinearity == "tanh":
            das = xp.multiply(h, h)
            xp.subtract(1, das, out=das)
        else:
            das = (h > 0).astype(h.dtype)

        # 2. da_t = f'(a_t) * (dy_t + dh_t), then dh_{t-1} = da_t @ w_h.T.
        for t in reversed(range(len(das))):
            dh += dys[t]
            da = das[t]
            if active is None:
                da *= dh
                multiply(da, out=dh)
            else:
                running = active[t][:, None]  # through a row that has ended, dh goes straight
                da *= xp.where(running, dh, 0)
                multiply(da, out=product)
                xp.copyto(dh, product, where=running)
            if starts is not None and dbegun is not None:
                begin_step_backward(dh, dbegun, starts[t])
        return das, dh

    return take_steps


def _kernel(nonlinearity: str) -> Kernel:
    return with_tables(
        Kernel(RNNWeights, partial(forward, nonlinearity), partial(backward, nonlinearity), lambda array: None)
    )


TANH, RELU = _kernel("tanh"), _kernel("relu")
"""The kernels of an `RNNCell`."""
