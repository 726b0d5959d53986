"""The linear recurrence, compiled. Notation and shapes are those of `kernels.plain.linear`."""

from ...core.arrays import Array, Booleans
from ...core.rows import Rows
from .door import Flags, In, Out, compiled
from .primitives import all_running, begin_row, beginnings, clear, copy, row


def forward_steps(a: Array, b: Array, hs: Array, h_prev: Array, rows: Rows, begun: Array | None) -> None:
    """As in `kernels.plain.linear`."""
    steps, B = b.shape[:2]
    active, starts = all_running(rows.active, steps, B), beginnings(rows.starts, B)
    _forward(hs, h_prev, hs[0] if begun is None else begun, a, b, active, starts)


@compiled("S == T or S == 0")
def _forward(
    hs: Out[Array, "T+1 B H"],
    hs_prev: Out[Array, "T B H"],
    begun: In[Array, "B H"],
    factors: In[Array, "T B H"],
    added: In[Array, "T B H"],
    active: Flags[Booleans, "T B"],
    starts: Flags[Booleans, "S B"],
) -> None:
    (steps, B, H), begins = hs_prev.shape, len(starts) > 0
    for t in range(steps):
        for b in range(B):
            before, h = row(hs_prev, t, b), row(hs, t + 1, b)
            if begins:
                begin_row(before, row(hs, t, b), row(begun, b), starts[t, b])
            if active[t, b]:
                factor, own = row(factors, t, b), row(added, t, b)
                for j in range(H):
                    h[j] = factor[j] * before[j] + own[j]
            else:
                copy(before, h)  # past its end a row keeps its state


def backward_steps(a: Array, dhs: Array, dh: Array, rows: Rows, dbegun: Array | None) -> Array:
    """As in `kernels.plain.linear`."""
    steps, B = dhs.shape[:2]
    active, starts = all_running(rows.active, steps, B), beginnings(rows.starts, B)
    _backward(dhs, dh, dh if dbegun is None else dbegun, a, active, starts)
    return dh


@compiled("S == T or S == 0")
def _backward(
    dhs: Out[Array, "T B H"],
    dh: Out[Array, "B H"],
    dbegun: Out[Array, "B H"],
    factors: In[Array, "T B H"],
    active: Flags[Booleans, "T B"],
    starts: Flags[Booleans, "S B"],
) -> None:
    (steps, B, H), begins = dhs.shape, len(starts) > 0
    for t in range(steps - 1, -1, -1):
        for b in range(B):
            back = row(dh, b)
            if active[t, b]:  # through a row that has ended, dh goes straight
                whole, factor = row(dhs, t, b), row(factors, t, b)
                for j in range(H):
                    whole[j] += back[j]
                for j in range(H):
                    back[j] = factor[j] * whole[j]
            if begins and starts[t, b]:
                total = row(dbegun, b)
                for j in range(H):
                    total[j] += back[j]
                clear(back)
