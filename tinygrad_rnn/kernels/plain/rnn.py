"""The steps of the simple recurrent network, operation by operation. Notation and shapes are those of `kernels.rnn`."""

from __future__ import annotations

from collections.abc import Callable

from ...core.arrays import Array, namespace
from ...core.rows import Rows
from ..starts import begin_step, begin_step_backward
from .products import multiplier


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
