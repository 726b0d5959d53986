"""Cells whose units do not see each other's states, over a whole sequence, forward and back.

Only the inputs are multiplied with a matrix, so all products are those of a block of steps; what is left for the steps
is a loop over numbers. A cell brings its own two functions, of a block of steps each way; what is the same for all is
here.

Notation: T steps, B rows, D inputs, H units. `hs` (T + 1, B, H) holds the states, `hs[0]` the one before the sequence;
so `hs[t]` is h_{t-1}, what step t starts from, and `hs[t + 1]` is h_t. `gates` (T, G, B, H) are x_t @ w_x + b, block by
block of the columns, until the cell's function has made of them what a backward needs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ..core.arrays import Array, namespace
from ..core.one_hot import Input
from ..core.rows import Rows
from ..core.states import State
from .backends import backend
from .caches import check_call
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


class Elementwise(NamedTuple):
    """What is a cell's own."""

    weights: Callable[..., Any]
    """A `NamedTuple`: `w_x` (D, G*H), `b` (G*H,), and what else there is, of numbers of a unit."""
    cache: Callable[..., Any]
    """A `NamedTuple`: `(x, h_prev, *gates, *kept)`."""
    gates: int
    kept: int
    """How many more arrays (T, B, H) the cache has."""
    forward: Callable[..., None]
    """`(gates, kept, hs, h_prev, weights, rows, begun)`: sets `hs[1:]`, `gates` and `kept` of a block of steps."""
    backward: Callable[..., tuple[Array, Array]]
    """`(steps, dys, dh, weights, rows, dbegun, gradients)` to `(das, dh)`: of a block, `das` being (steps, B, G*H).

    It adds to the gradients of what is neither `w_x` nor `b`.
    """
    outputs: Callable[..., Array] | None = None
    """`(hs[1:], cache)` to the outputs; None where they are the states."""


def forward(
    own: Elementwise, xs: Input, state: State, weights: Any, rows: Rows, begun: State | None
) -> tuple[Array, State, Any]:
    """`xs` (T, B, D) and the state `(h,)`, h (B, H), to the outputs (T, B, H), the last state and the cache.

    `begun` is the state where a document begins; None where `rows.starts` is.
    """
    (T, B, _), (h,) = xs.shape, state
    H = h.shape[1]
    hs = namespace(h).empty((T + 1, B, H), h.dtype)
    hs[0] = h
    h_prev = before_steps(hs, rows.starts)
    serves = backend(h)
    w_x, b = (serves.by_gate(w, own.gates, 0) for w in (weights.w_x, weights.b))
    gates = serves.empty_gates(h, T, own.gates, B, H)
    kept = namespace(h).empty((T, own.kept, B, H), h.dtype)

    def run(part: slice) -> None:
        own_begun, own_rows = None if begun is None else begun[0][part], rows.of_rows(part)
        own_gates, own_kept, own_hs, own_prev = gates[:, :, part], kept[:, :, part], hs[:, part], h_prev[:, part]
        project = input_side(xs[:, part], w_x, b)
        for block in _blocks(own, own_prev):
            project(block, own_gates[block])
            states = own_hs[block.start : block.stop + 1], own_prev[block]
            document = own_rows.of_steps(block), own_begun
            own.forward(own_gates[block], own_kept[block], *states, weights, *document)

    over_rows(run, B, weights.w_x)
    cache = own.cache(xs, h_prev, *gates.swapaxes(0, 1), *kept.swapaxes(0, 1))
    return hs[1:] if own.outputs is None else own.outputs(hs[1:], cache), (hs[T].copy(),), cache


def backward(
    own: Elementwise, dys: Array, dstate: State, cache: Any, weights: Any, rows: Rows, gradients: Any
) -> tuple[Array | None, State, State | None]:
    """`dys` (T, B, H) and the gradient of the last state to `(dxs, dstate, dbegun)`; adds to `gradients`.

    `dys` is 0 where a row has ended. `dxs` is None for one-hot rows, and `dbegun` where `rows.starts` is.
    """
    check_call(cache, dys, dstate, rows)
    (dh,) = dstate
    dxs = no_input_gradient(cache.x, dys.dtype)
    dbegun = None if rows.starts is None else namespace(dh).zeros(dh.shape, dh.dtype)

    def run(part: slice, *own_gradients: Array) -> tuple[Array]:
        steps, totals = type(cache)(*(values[:, part] for values in cache)), type(gradients)(*own_gradients)
        own_dys, own_rows, own_dh = dys[:, part], rows.of_rows(part), dh[part].copy()
        own_dbegun = None if dbegun is None else dbegun[part]
        project_back = input_gradient(of_rows(dxs, part), weights.w_x)
        for block in reversed(_blocks(own, own_dys)):
            of_block = type(cache)(*(values[block] for values in steps))
            das, own_dh = own.backward(
                of_block, own_dys[block], own_dh, weights, own_rows.of_steps(block), own_dbegun, totals
            )
            add_gradient(totals.w_x, of_block.x, das)
            add_sum(totals.b, das)
            project_back(block, das)
        return (own_dh,)

    (dh_prev,) = back_over_rows(run, dys.shape[1], weights.w_x, gradients)
    return dxs, (dh_prev,), None if dbegun is None else (dbegun,)


def _blocks(own: Elementwise, states: Array) -> list[slice]:
    """The steps of `states` (T, B, H) in blocks, each with a row of all gates and the state."""
    T, B, H = states.shape
    return blocks(T, block_steps(T, B, (own.gates + 1) * H, states))


def kernel(own: Elementwise) -> Kernel:
    """The kernel of a cell."""
    return with_tables(Kernel(own.weights, partial(forward, own), partial(backward, own), None))
