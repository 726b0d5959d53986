"""The steps of the LSTM, compiled. Notation and shapes are those of `kernels.lstm`.

Going back, no factors are made beforehand: all that a row needs at a step is computed there, from the cache.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from ...core.arrays import Array
from ...core.one_hot import Input
from ...core.rows import Rows
from ...core.states import State
from ..caches import LSTMCache, LSTMWeights
from ..plain import lstm as plain
from ..plain.products import empty_padded
from ..products import product
from .compiler import Flags, In1, In2, In3, Out2, Out3, Out4, compiled
from .primitives import all_running, multiply, pack, room_for_product, row, tanh


def forward_steps(w_h: Array, B: int) -> Callable[..., None]:
    """As in `kernels.plain.lstm`."""
    w = pack(w_h)
    products = room_for_product(w, B)

    def take_steps(
        gates: Array, hs: Array, cs: Array, h_prev: Array, c_prev: Array, rows: Rows, begun: State | None
    ) -> None:
        if rows.starts is not None:
            return plain.forward_steps(w_h, B)(gates, hs, cs, h_prev, c_prev, rows, begun)
        _forward(gates, hs, cs, w, products, all_running(rows.active, len(gates), B))

    return take_steps


@compiled
def _forward(gates: Out4, hs: Out3, cs: Out3, w: In3, products: Out2, active: Flags) -> None:
    steps, _, B, H = gates.shape
    width = products.shape[1] // 4
    half = gates.dtype.type(0.5)
    for t in range(steps):
        multiply(hs[t], w, products)
        for b in range(B):
            h, c_prev, c = row(hs, t + 1, b), row(cs, t, b), row(cs, t + 1, b)
            if not active[t, b]:  # past its end a row keeps its state
                h[:] = row(hs, t, b)
                c[:] = c_prev
                continue

            # The gates of x_t @ w_x + b + h_{t-1} @ w_h.
            for k in range(4):
                gate, from_h = row(gates, t, k, b), row(products, b)[k * width : k * width + H]
                if k < 3:
                    for j in range(H):
                        gate[j] = half * tanh(gate[j] + from_h[j]) + half
                else:
                    for j in range(H):
                        gate[j] = tanh(gate[j] + from_h[j])

            i, f, o, g = row(gates, t, 0, b), row(gates, t, 1, b), row(gates, t, 2, b), row(gates, t, 3, b)
            _states(i, f, o, g, c_prev, c, h)


def step(x: Input, state: State, weights: LSTMWeights) -> State:
    """As `take_step` of the cell: the state `h`, `c` (B, H) after `x` (B, D)."""
    (h, c), (w_x, w_h, b) = state, weights
    a = product(x, w_x)
    a += product(h, w_h)
    h, c_prev, c = np.empty(h.shape, h.dtype), c, np.empty(c.shape, c.dtype)
    _step(a, b, c_prev, h, c)
    return h, c


@compiled
def _step(gates: Out2, bias: In1, c_prevs: In2, hs: Out2, cs: Out2) -> None:
    """From `gates` (B, 4H), which begin as x @ w_x + h @ w_h, `bias` (4H,) and `c_prevs` (B, H) to `hs` and `cs`."""
    (B, H), half = hs.shape, gates.dtype.type(0.5)
    for n in range(B):
        a, b = row(gates, n), row(bias)
        for j in range(3 * H):
            a[j] = half * tanh(half * (a[j] + b[j])) + half
        i, f, o, g, b_g = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H :], b[3 * H :]
        for j in range(H):
            g[j] = tanh(g[j] + b_g[j])
        _states(i, f, o, g, row(c_prevs, n), row(cs, n), row(hs, n))


@numba.njit(fastmath={"contract"})
def _states(i: Any, f: Any, o: Any, g: Any, c_prev: Any, c: Any, h: Any) -> None:
    """c_t = f * c_{t-1} + i * g and h_t = o * tanh(c_t)."""
    for j in range(len(c)):
        c[j] = f[j] * c_prev[j] + i[j] * g[j]
    for j in range(len(h)):
        h[j] = o[j] * tanh(c[j])


def backward_steps(w_h: Array, B: int) -> Callable[..., tuple[Array, State]]:
    """As in `kernels.plain.lstm`."""
    w = pack(w_h.T)
    products = room_for_product(w, B)

    def take_steps(
        cache: LSTMCache, dys: Array, dstate: State, rows: Rows, dbegun: State | None
    ) -> tuple[Array, State]:
        if rows.starts is not None:
            return plain.backward_steps(w_h, B)(cache, dys, dstate, rows, dbegun)
        _, _, c_prev, i, f, o, g, c = cache
        dh, dc = dstate
        steps, _, H = c.shape
        das = empty_padded((steps, B, 4 * H), c.dtype)
        _backward(das, i, f, o, g, c_prev, c, dys, dh, dc, w, products, all_running(rows.active, steps, B))
        return das, (dh, dc)

    return take_steps


@compiled
def _backward(
    das: Out3,
    i_s: In3,
    f_s: In3,
    o_s: In3,
    g_s: In3,
    cs_prev: In3,
    cs: In3,
    dys: In3,
    dhs: Out2,
    dcs: Out2,
    w: In3,
    products: Out2,
    active: Flags,
) -> None:
    (steps, B, H), one = cs.shape, das.dtype.type(1)
    tanh_c = np.empty(H, das.dtype)
    for t in range(steps - 1, -1, -1):
        for b in range(B):
            da = row(das, t, b)
            if not active[t, b]:
                da[:] = 0
                continue

            # dh and dc: all that reaches h_t and c_t.
            i, f, o, g = row(i_s, t, b), row(f_s, t, b), row(o_s, t, b), row(g_s, t, b)
            c_prev, c, dy, dh, dc = row(cs_prev, t, b), row(cs, t, b), row(dys, t, b), row(dhs, b), row(dcs, b)
            for j in range(H):
                tanh_c[j] = tanh(c[j])
            for j in range(H):
                dh[j] += dy[j]
            for j in range(H):
                dc[j] += dh[j] * o[j] * (one - tanh_c[j] * tanh_c[j])

            # da_t, then dc_{t-1} = dc * f.
            da_i, da_f, da_o, da_g = da[:H], da[H : 2 * H], da[2 * H : 3 * H], da[3 * H :]
            for j in range(H):
                da_i[j] = dc[j] * g[j] * i[j] * (one - i[j])
            for j in range(H):
                da_f[j] = dc[j] * c_prev[j] * f[j] * (one - f[j])
            for j in range(H):
                da_o[j] = dh[j] * tanh_c[j] * o[j] * (one - o[j])
            for j in range(H):
                da_g[j] = dc[j] * i[j] * (one - g[j] * g[j])
            for j in range(H):
                dc[j] *= f[j]

        # dh_{t-1} = da_t @ w_h.T; through a row that has ended, dh goes straight, and dc too.
        multiply(das[t], w, products)
        for b in range(B):
            if active[t, b]:
                dh, from_a = row(dhs, b), row(products, b)
                for j in range(H):
                    dh[j] = from_a[j]
