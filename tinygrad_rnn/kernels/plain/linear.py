"""The linear recurrence, operation by operation: h_t = a_t * h_{t-1} + b_t, unit by unit.

It is a loop over the steps. Cumulative sums of logarithms in its place are in float32 wrong by 2e-3 after 16,384 steps;
quotients of cumulative products are not finite after 256.
"""

from __future__ import annotations

from ...core.arrays import Array, namespace
from ...core.rows import Rows
from ..starts import begin_step, begin_step_backward


def forward_steps(a: Array, b: Array, hs: Array, h_prev: Array, rows: Rows, begun: Array | None) -> None:
    """From `hs[0]` (B, N), set the states `hs[1:]` (steps, B, N).

    `a` and `b` are (steps, B, N). `h_prev` is as `before_steps` gave it, and filled where it is no view of `hs`.
    """
    xp, (_, active, starts) = namespace(hs), rows
    for t in range(len(b)):
        if starts is not None and begun is not None:
            begin_step(h_prev[t], hs[t], begun, starts[t])
        h = hs[t + 1]
        xp.multiply(a[t], h_prev[t], out=h)
        h += b[t]
        if active is not None:
            xp.copyto(h, h_prev[t], where=~active[t][:, None])  # past its end a row keeps its state


def backward_steps(a: Array, dhs: Array, dh: Array, rows: Rows, dbegun: Array | None) -> Array:
    """From the last of some steps back, add to `dhs` (steps, B, N) what reaches each state from the steps after it.

    At first `dhs` holds the gradients w.r.t. the outputs of the states, 0 past a row's end; at last all that reaches
    them: db_t = dh_t and da_t = dh_t * h_{t-1}. Gives `dh` before the first step, for which it may use the memory of
    that given.
    """
    xp, (_, active, starts) = namespace(dhs), rows
    for t in reversed(range(len(dhs))):
        if active is None:
            dhs[t] += dh
            xp.multiply(a[t], dhs[t], out=dh)
        else:
            running = active[t][:, None]  # through a row that has ended, dh goes straight
            dhs[t] += xp.where(running, dh, 0)
            xp.copyto(dh, a[t] * dhs[t], where=running)
        if starts is not None and dbegun is not None:
            begin_step_backward(dh, dbegun, starts[t])
    return dh
