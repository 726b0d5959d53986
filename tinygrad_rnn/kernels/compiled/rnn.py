"""The steps of the simple recurrent network, compiled. Notation and shapes are those of `kernels.rnn`."""

from collections.abc import Callable

from ...core.arrays import Array
from ...core.rows import Rows
from ..plain import rnn as plain
from ..plain.products import empty_padded
from .door import Flags, In, Out, compiled
from .packed import Packed, multiply, pack, room_for_product
from .primitives import all_running, row, tanh


def forward_steps(nonlinearity: str, w_h: Array, B: int) -> Callable[..., None]:
    """As in `kernels.plain.rnn`."""
    w = pack(w_h)
    product = room_for_product(w, B)

    def take_steps(hs: Array, h_prev: Array, rows: Rows, begun: Array | None) -> None:
        if rows.starts is not None:
            return plain.forward_steps(nonlinearity, w_h, B)(hs, h_prev, rows, begun)
        _forward(hs, w, product, nonlinearity == "tanh", all_running(rows.active, len(hs) - 1, B))

    return take_steps


@compiled("P * W >= H")
def _forward(
    hs: Out[Array, "T+1 B H"],
    w: Packed[Array, "P H W"],
    product: Out[Array, "B P*W"],
    is_tanh: bool,
    active: Flags[Booleans, "T B"],
) -> None:
    (_, B, H), zero = hs.shape, hs.dtype.type(0)
    for t in range(len(hs) - 1):
        # h_t = f(x_t @ w_x + b + h_{t-1} @ w_h).
        multiply(hs[t], w, product)
        for b in range(B):
            h, from_h = row(hs, t + 1, b), row(product, b)
            if not active[t, b]:
                h[:] = row(hs, t, b)  # past its end a row keeps its state
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
        if rows.starts is not None:
            return plain.backward_steps(nonlinearity, w_h, B)(h, dys, dh, rows, dbegun)
        das = empty_padded(h.shape, h.dtype)
        _backward(das, h, dys, dh, w, product, nonlinearity == "tanh", all_running(rows.active, len(h), B))
        return das, dh

    return take_steps


@compiled("P * W >= H")
def _backward(
    das: Out[Array, "T B H"],
    hs: In[Array, "T B H"],
    dys: In[Array, "T B H"],
    dhs: Out[Array, "B H"],
    w: Packed[Array, "P H W"],
    product: Out[Array, "B P*W"],
    is_tanh: bool,
    active: Flags[Booleans, "T B"],
) -> None:
    (steps, B, H), zero, one = das.shape, das.dtype.type(0), das.dtype.type(1)
    for t in range(steps - 1, -1, -1):
        for b in range(B):
            da, h, dy, dh = row(das, t, b), row(hs, t, b), row(dys, t, b), row(dhs, b)
            if not active[t, b]:
                da[:] = 0
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
