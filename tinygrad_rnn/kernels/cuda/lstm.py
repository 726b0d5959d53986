"""The steps of the LSTM on a GPU: `lstm.cu`. What these functions take and give, those of `plain.lstm` say."""

from __future__ import annotations

from collections.abc import Callable

import cupy

from ...core.arrays import Array
from ...core.rows import Rows
from ...core.states import State
from ..caches import LSTMCache
from ..starts import begin_step, begin_step_backward
from . import launch

Forward, Backward = launch.struct("lstm", "Forward"), launch.struct("lstm", "Backward")


def forward_steps(w_h: Array, p: Array | None, B: int) -> Callable[..., None]:
    """As in `plain.lstm`, with gates as `empty_gates` makes them."""
    _, H, _ = w_h.shape
    run = launch.forward("lstm", w_h.swapaxes(0, 1).reshape(H, 4 * H), B)
    p = None if p is None else cupy.ascontiguousarray(p)

    def take_steps(
        gates: Array, hs: Array, cs: Array, h_prev: Array, c_prev: Array, rows: Rows, begun: State | None
    ) -> None:
        T, active, starts = len(gates), launch.flags(rows.active), launch.flags(rows.starts)
        if not gates.size:
            return
        begun_h, begun_c = (None, None) if begun is None else map(cupy.ascontiguousarray, begun)
        if starts is not None and begun is not None:
            begin_step(h_prev[0], hs[0], begun[0], starts[0])
            begin_step(c_prev[0], cs[0], begun[1], starts[0])
        run(Forward(gates, hs, cs, h_prev, c_prev, p, begun_h, begun_c, active, starts, T, B, H), T, h_prev)

    return take_steps


def backward_steps(w_h: Array, p: Array | None, B: int) -> Callable[..., tuple[Array, State]]:
    """As in `plain.lstm`."""
    H, run = len(w_h), launch.backward("lstm", w_h, B)
    p = None if p is None else cupy.ascontiguousarray(p)

    def take_steps(
        cache: LSTMCache, dys: Array, dstate: State, rows: Rows, dbegun: State | None
    ) -> tuple[Array, State]:
        _, _, c_prev, i, f, o, g, c = cache
        T, (dh, dc), das = len(c), dstate, cupy.empty((len(c), B, 4 * H), c.dtype)
        if not das.size:
            return das, dstate
        gates, active, starts = launch.gates_together(i, f, o, g), launch.flags(rows.active), launch.flags(rows.starts)
        c_prev, c, dys = map(cupy.ascontiguousarray, (c_prev, c, dys))
        to_begun = (None, None) if dbegun is None else dbegun
        run(Backward(gates, c_prev, c, p, dys, das, dh, dc, *to_begun, active, starts, T, B, H), T, das, dh)
        if starts is not None and dbegun is not None:
            begin_step_backward(dh, dbegun[0], starts[0])
            begin_step_backward(dc, dbegun[1], starts[0])
        return das, (dh, dc)

    return take_steps
