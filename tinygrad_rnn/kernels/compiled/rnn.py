"""The steps of the simple recurrent network, compiled. Notation and shapes are those of `kernels.rnn`."""

from collections.abc import Callable

from ...core.arrays import Array, Booleans
from ...core.rows import Rows
from ..plain.products import empty_padded
from .door import Flags, In, Out, compiled
from .packed import Packed, multiply, pack, room_for_product
from .primitives import all_running, begin_row, beginnings, clear, copy, row, tanh


def forward_steps(nonlinearity: str, w_h: Array, B: int) -> Callable[..., None]:
    """As in `kernels.plain.rnn`."""
    w = pack(w_h)
    product = room_for_product(w, B)

    def take_steps(hs: Array, h_prev: Array, rows: Rows, begun: Array | None) -> None:
        active, starts = all_running(rows.active, len(h_prev), B), beginnings(rows.starts, B)
        first = hs[0] if begun is None else begun
        _forward(hs, h_prev, first, w, w_h.shape[1], product, nonlinearity == "tanh", active, starts)

    return take_steps


@compiled("columns == H", "P == -(-H // W)", "S == T or S == 0")
def _forward(
    hs: Out[Array, "T+1 B H"],
    hs_prev: Out[Array, "T B H"],
    begun: In[Array, "B H"],
    w: Packed[Array, "P H W"],
    columns: int,
    product: Out[Array, "B P*W"],
    is_tanh: bool,
    active: Flags[Booleans, "T B"],
    starts: Flags[Booleans, "S B"],
) -> None:
    (steps, B, H), zero, begins = hs_prev.shape, hs.dtype.type(0), len(starts) > 0
    for t in range(steps):
        if begins:
            for b in range(B):
                begin_row(row(hs_prev, t, b), row(hs, t, b), row(begun, b), starts[t, b])

        # h_t = f(x_t @ w_x + b + h_{t-1} @ w_h).
        multiply(hs_prev[t], w, product)
        for b in range(B):
            h, from_h = row(hs, t + 1, b), row(product, b)
            if not active[t, b]:
                copy(row(hs_prev, t, b), h)  # past its end a row keeps its state
            elif is_tanh:
                for j in range(H):
                    h[j] = tanh(h[j] + from_h[j])
            else:
                for j in range(H):
                    a = h[j] + from_h[j]
                    h[j] = a if not a < zero else zero  # and NaN stays


def backward_steps(nonlinearity: str, w_h: Array, B: int) -> Callable[..., tuple[Array, Array]]:
    """As in `kernels.plain.rnn`."""
    w = pack(w_h.T)
    product = room_for_product(w, B)

    def take_steps(h: Array, dys: Array, dh: Array, rows: Rows, dbegun: Array | None) -> tuple[Array, Array]:
        das = empty_padded(h.shape, h.dtype)
        active, starts = all_running(rows.active, len(h), B), beginnings(rows.starts, B)
        total = dh if dbegun is None else dbegun
        _backward(das, h, dys, dh, total, w, len(w_h), product, nonlinearity == "tanh", active, starts)
        return das, dh

    return take_steps


@compiled("columns == H", "P == -(-H // W)", "S == T or S == 0")
def _backward(
    das: Out[Array, "T B H"],
    hs: In[Array, "T B H"],
    dys: In[Array, "T B H"],
    dhs: Out[Array, "B H"],
    dbegun: Out[Array, "B H"],
    w: Packed[Array, "P H W"],
    columns: int,
    product: Out[Array, "B P*W"],
    is_tanh: bool,
    active: Flags[Booleans, "T B"],
    starts: Flags[Booleans, "S B"],
) -> None:
    (steps, B, H), zero, one, begins = das.shape, das.dtype.type(0), das.dtype.type(1), len(starts) > 0
    for t in range(steps - 1, -1, -1):
        for b in range(B):
            da, h, dy, dh = row(das, t, b), row(hs, t, b), row(dys, t, b), row(dhs, b)
            if not active[t, b]:
                clear(da)
                continue

            # dh: all that reaches h_t. Then da_t = f'(a_t) * dh, f'(a_t) being 1 - h_t^2, or 1 where the ReLU is on.
            for j in range(H):
                dh[j] += dy[j]
            if is_tanh:
                for j in range(H):
                    da[j] = (one - h[j] * h[j]) * dh[j]
            else:
                for j in range(H):
                    da[j] = dh[j] * (one if h[j] > 0 else zero)  # and NaN stays

        # dh_{t-1} = da_t @ w_h.T; through a row that has ended, dh goes straight.
        multiply(das[t], w, product)
        for b in range(B):
            if active[t, b]:
                dh, from_a = row(dhs, b), row(product, b)
                for j in range(H):
                    dh[j] = from_a[j]
            if begins and starts[t, b]:
                dh, total = row(dhs, b), row(dbegun, b)
                for j in range(H):
                    total[j] += dh[j]
                clear(dh)
