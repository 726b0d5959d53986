"""The steps of the simple recurrent network on a GPU: `rnn.cu`. `plain.rnn` says what these functions take and give."""

from __future__ import annotations

from collections.abc import Callable

import cupy

from ...core.arrays import Array
from ...core.rows import Rows
from ..starts import begin_step, begin_step_backward
from . import launch

Forward, Backward = launch.struct("rnn", "Forward"), launch.struct("rnn", "Backward")


def forward_steps(nonlinearity: str, w_h: Array, B: int) -> Callable[..., None]:
    """As in `plain.rnn`."""
    H, relu, run = len(w_h), int(nonlinearity == "relu"), launch.forward("rnn", w_h, B)

    def take_steps(hs: Array, h_prev: Array, rows: Rows, begun: Array | None) -> None:
        T, active, starts = len(h_prev), launch.flags(rows.active), launch.flags(rows.starts)
        if not h_prev.size:
            return
        begun = None if begun is None else cupy.ascontiguousarray(begun)
        if starts is not None and begun is not None:
            begin_step(h_prev[0], hs[0], begun, starts[0])
        run(Forward(hs, h_prev, begun, active, starts, T, B, H, relu), T, h_prev)

    return take_steps


def backward_steps(nonlinearity: str, w_h: Array, B: int) -> Callable[..., tuple[Array, Array]]:
    """As in `plain.rnn`."""
    H, relu, run = len(w_h), int(nonlinearity == "relu"), launch.backward("rnn", w_h, B)

    def take_steps(h: Array, dys: Array, dh: Array, rows: Rows, dbegun: Array | None) -> tuple[Array, Array]:
        T, das = len(h), cupy.empty((len(h), B, H), h.dtype)
        if not das.size:
            return das, dh
        active, starts = launch.flags(rows.active), launch.flags(rows.starts)
        h, dys = cupy.ascontiguousarray(h), cupy.ascontiguousarray(dys)
        run(Backward(h, dys, das, dh, dbegun, active, starts, T, B, H, relu), T, das, dh)
        if starts is not None and dbegun is not None:
            begin_step_backward(dh, dbegun, starts[0])
        return das, dh

    return take_steps
