"""The steps of the GRU on a GPU: `gru.cu`. What these functions take and give, those of `plain.gru` say."""

from __future__ import annotations

from collections.abc import Callable

import cupy

from ...core.arrays import Array
from ...core.rows import Rows
from ..caches import GRUCache
from ..starts import begin_step, begin_step_backward
from . import launch

Forward, Backward = launch.struct("gru", "Forward"), launch.struct("gru", "Backward")


def forward_steps(w_h: Array, b_h: Array, B: int) -> Callable[..., None]:
    """As in `plain.gru`, with gates as `empty_gates` makes them."""
    _, H, _ = w_h.shape
    run = launch.forward("gru", w_h.swapaxes(0, 1).reshape(H, 3 * H), B)

    def take_steps(gates: Array, hs: Array, h_prev: Array, ms: Array, rows: Rows, begun: Array | None) -> None:
        T, active, starts = len(gates), launch.flags(rows.active), launch.flags(rows.starts)
        if not gates.size:
            return
        begun = None if begun is None else cupy.ascontiguousarray(begun)
        if starts is not None and begun is not None:
            begin_step(h_prev[0], hs[0], begun, starts[0])
        run(Forward(gates, hs, ms, h_prev, b_h, begun, active, starts, T, B, H), T, h_prev)

    return take_steps


def backward_steps(w_h: Array, B: int) -> Callable[..., tuple[Array, Array]]:
    """As in `plain.gru`."""
    H = len(w_h)
    run = launch.backward("gru", w_h, B, shift=H)

    def take_steps(cache: GRUCache, dys: Array, dh: Array, rows: Rows, dbegun: Array | None) -> tuple[Array, Array]:
        _, h_prev, r, z, n, m = cache
        T, das = len(m), cupy.empty((len(m), B, 4 * H), m.dtype)
        if not das.size:
            return das, dh
        gates, active, starts = launch.gates_together(r, z, n), launch.flags(rows.active), launch.flags(rows.starts)
        h_prev, m, dys = map(cupy.ascontiguousarray, (h_prev, m, dys))
        run(Backward(gates, h_prev, m, dys, das, dh, dbegun, active, starts, T, B, H), T, das, dh)
        if starts is not None and dbegun is not None:
            begin_step_backward(dh, dbegun, starts[0])
        return das, dh

    return take_steps
