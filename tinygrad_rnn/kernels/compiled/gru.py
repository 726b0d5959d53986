"""The steps of the GRU, compiled. Notation and shapes are those of `kernels.gru`.

Going back, no factors are made beforehand: all that a row needs at a step is computed there, from the cache.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.arrays import Array, Booleans
from ...core.one_hot import Input
from ...core.rows import Rows
from ...core.states import State
from ..caches import GRUCache, GRUWeights
from ..plain.products import empty_padded, product
from .door import Flags, In, Out, compiled
from .packed import Packed, multiply, pack, room_for_product
from .parts_of_numba import njit
from .primitives import all_running, begin_row, beginnings, clear, copy, row, sigmoids, tanh


def forward_steps(w_h: Array, b_h: Array, B: int) -> Callable[..., None]:
    """As in `kernels.plain.gru`."""
    w = pack(w_h)
    products = room_for_product(w, B)

    def take_steps(gates: Array, hs: Array, h_prev: Array, ms: Array, rows: Rows, begun: Array | None) -> None:
        active, starts = all_running(rows.active, len(gates), B), beginnings(rows.starts, B)
        first = hs[0] if begun is None else begun
        _forward(gates, hs, h_prev, first, ms, w, w_h.shape[2], b_h, products, active, starts)

    return take_steps


@compiled("columns == H", "P == 3 * -(-H // W)", "S == T or S == 0")
def _forward(
    gates: Out[Array, "T 3 B H"],
    hs: Out[Array, "T+1 B H"],
    hs_prev: Out[Array, "T B H"],
    begun: In[Array, "B H"],
    ms: Out[Array, "T B H"],
    w: Packed[Array, "P H W"],
    columns: int,
    bias: In[Array, "H"],
    products: Out[Array, "B P*W"],
    active: Flags[Booleans, "T B"],
    starts: Flags[Booleans, "S B"],
) -> None:
    (steps, _, B, H), width, one, begins = gates.shape, products.shape[1] // 3, gates.dtype.type(1), len(starts) > 0
    b_h = row(bias)
    for t in range(steps):
        if begins:
            for b in range(B):
                begin_row(row(hs_prev, t, b), row(hs, t, b), row(begun, b), starts[t, b])
        multiply(hs_prev[t], w, products)
        for b in range(B):
            h_prev, h, m = row(hs_prev, t, b), row(hs, t + 1, b), row(ms, t, b)
            if not active[t, b]:  # past its end a row keeps its state
                copy(h_prev, h)
                clear(m)
                continue

            from_h = row(products, b)
            from_n = from_h[2 * width : 2 * width + H]
            for j in range(H):
                m[j] = from_n[j] + b_h[j]
            r, z, n = row(gates, t, 0, b), row(gates, t, 1, b), row(gates, t, 2, b)
            _advance(r, z, n, m, from_h[:H], from_h[width : width + H], one, h_prev, h)


def step(x: Input, state: State, weights: GRUWeights) -> State:
    """As `take_step` of the cell: the state `h` (B, H) after `x` (B, D)."""
    (h_prev,), (w_x, w_h, b, b_h) = state, weights
    h = np.empty(h_prev.shape, h_prev.dtype)
    b = np.zeros(w_h.shape[1], h.dtype) if b is None else b
    b_h = np.zeros(len(w_h), h.dtype) if b_h is None else b_h
    _step(product(x, w_x), product(h_prev, w_h), b, b_h, h_prev, h)
    return (h,)


@compiled()
def _step(
    gates: Out[Array, "B 3*H"],
    products: Out[Array, "B 3*H"],
    bias: In[Array, "3*H"],
    bias_h: In[Array, "H"],
    hs_prev: In[Array, "B H"],
    hs: Out[Array, "B H"],
) -> None:
    """From `gates` (B, 3H), which begin as x @ w_x, `products` (B, 3H), h @ w_h, and the biases to `hs` (B, H)."""
    (B, H), half, all_b, b_h = hs.shape, gates.dtype.type(0.5), row(bias), row(bias_h)
    for b in range(B):
        a, from_h = row(gates, b), row(products, b)
        m = from_h[2 * H :]
        for j in range(3 * H):
            a[j] += all_b[j]
        for j in range(H):
            m[j] += b_h[j]
        _advance(a[:H], a[H : 2 * H], a[2 * H :], m, from_h[:H], from_h[H : 2 * H], half, row(hs_prev, b), row(hs, b))


@njit(fastmath={"contract"})
def _advance(r: Any, z: Any, n: Any, m: Any, from_r: Any, from_z: Any, factor: Any, h_prev: Any, h: Any) -> None:
    """The gates of a row, in place, with n_t = tanh(n + r_t * m_t); then h_t = (1 - z_t) * n_t + z_t * h_{t-1}.

    Where z_t is 1, h_t is h_{t-1} to the bit, which z_t * (h_{t-1} - n_t) + n_t is not. What is in `r` and `z` is a
    part of the sum that a gate is of, what is in `from_r` and `from_z` the rest; `factor` is that of `sigmoids`.
    """
    sigmoids(r, from_r, factor)
    sigmoids(z, from_z, factor)
    for j in range(len(n)):
        n[j] = tanh(n[j] + r[j] * m[j])
    one = h.dtype.type(1)
    for j in range(len(h)):
        h[j] = (one - z[j]) * n[j] + z[j] * h_prev[j]


def backward_steps(w_h: Array, B: int) -> Callable[..., tuple[Array, Array]]:
    """As in `kernels.plain.gru`."""
    H = len(w_h)
    w = pack(np.roll(w_h, H, axis=1).T)  # its columns of n first
    products = room_for_product(w, B)

    def take_steps(cache: GRUCache, dys: Array, dh: Array, rows: Rows, dbegun: Array | None) -> tuple[Array, Array]:
        _, h_prev, r, z, n, m = cache
        steps = len(m)
        das = empty_padded((steps, B, 4 * H), m.dtype)
        active, starts = all_running(rows.active, steps, B), beginnings(rows.starts, B)
        total = dh if dbegun is None else dbegun
        _backward(das, h_prev, r, z, n, m, dys, dh, total, w, len(w_h), products, active, starts)
        return das, dh

    return take_steps


@compiled("columns == H", "P == -(-H // W)", "S == T or S == 0")
def _backward(
    das: Out[Array, "T B 4*H"],
    hs_prev: In[Array, "T B H"],
    rs: In[Array, "T B H"],
    zs: In[Array, "T B H"],
    ns: In[Array, "T B H"],
    ms: In[Array, "T B H"],
    dys: In[Array, "T B H"],
    dhs: Out[Array, "B H"],
    dbegun: Out[Array, "B H"],
    w: Packed[Array, "P 3*H W"],
    columns: int,
    products: Out[Array, "B P*W"],
    active: Flags[Booleans, "T B"],
    starts: Flags[Booleans, "S B"],
) -> None:
    (steps, B, H), one, begins = ms.shape, das.dtype.type(1), len(starts) > 0
    for t in range(steps - 1, -1, -1):
        for b in range(B):
            da = row(das, t, b)
            if not active[t, b]:
                clear(da)
                continue

            # dh: all that reaches h_t. Then dm_t, da^r_t, da^z_t and da^n_t, and the part dh * z of dh_{t-1}.
            r, z, n, m = row(rs, t, b), row(zs, t, b), row(ns, t, b), row(ms, t, b)
            h_prev, dy, dh = row(hs_prev, t, b), row(dys, t, b), row(dhs, b)
            dm, da_r, da_z, da_n = da[:H], da[H : 2 * H], da[2 * H : 3 * H], da[3 * H :]
            for j in range(H):
                dh[j] += dy[j]
            for j in range(H):
                da_n[j] = dh[j] * (one - z[j]) * (one - n[j] * n[j])
            for j in range(H):
                dm[j] = da_n[j] * r[j]
            for j in range(H):
                da_r[j] = dm[j] * m[j] * (one - r[j])
            for j in range(H):
                da_z[j] = dh[j] * (h_prev[j] - n[j]) * z[j] * (one - z[j])
            for j in range(H):
                dh[j] *= z[j]

        # dh_{t-1} = dh * z_t + (dm_t, da^r_t, da^z_t) @ w_h.T; through a row that has ended, dh goes straight.
        multiply(das[t][:, : 3 * H], w, products)
        for b in range(B):
            if active[t, b]:
                dh, from_a = row(dhs, b), row(products, b)
                for j in range(H):
                    dh[j] += from_a[j]
            if begins and starts[t, b]:
                dh, total = row(dhs, b), row(dbegun, b)
                for j in range(H):
                    total[j] += dh[j]
                clear(dh)
