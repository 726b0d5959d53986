"""The steps of the LSTM, compiled. Notation and shapes are those of `kernels.lstm`.

Going back, no factors are made beforehand: all that a row needs at a step is computed there, from the cache.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.arrays import Array, Booleans
from ...core.one_hot import Input
from ...core.rows import Rows
from ...core.states import State
from ..caches import LSTMCache, LSTMWeights
from ..plain.products import empty_padded, product
from .door import HINT, Flags, In, Out, compiled
from .packed import Packed, multiply, pack, room_for_product
from .parts_of_numba import njit
from .primitives import all_running, begin_row, beginnings, clear, copy, row, sigmoids, tanh


def forward_steps(w_h: Array, p: Array | None, B: int) -> Callable[..., None]:
    """As in `kernels.plain.lstm`."""
    w, peepholes = pack(w_h), as_row(p, w_h)
    products = room_for_product(w, B)

    def take_steps(
        gates: Array, hs: Array, cs: Array, h_prev: Array, c_prev: Array, rows: Rows, begun: State | None
    ) -> None:
        active, starts = all_running(rows.active, len(gates), B), beginnings(rows.starts, B)
        first_h, first_c = (hs[0], cs[0]) if begun is None else begun
        _forward(gates, hs, cs, h_prev, c_prev, first_h, first_c, w, w_h.shape[2], peepholes, products, active, starts)

    return take_steps


def as_row(p: Array | None, like: Array) -> Array:
    """The peepholes (3H,), or (0,) where there are none: then loops over a part of them do nothing.

    Raises:
        ValueError: there are some, of another size; empty ones would be taken for none.
    """
    if p is None:
        return np.empty(0, like.dtype)
    size = 3 * like.shape[-2]
    if p.size != size:
        raise ValueError(f"compiled lstm: p has shape {p.shape}, expected {(size,)}. {HINT}")
    return p.reshape(-1)


@compiled("columns == H", "P == 4 * -(-H // W)", "Q == 3 * H or Q == 0", "S == T or S == 0")
def _forward(
    gates: Out[Array, "T 4 B H"],
    hs: Out[Array, "T+1 B H"],
    cs: Out[Array, "T+1 B H"],
    hs_prev: Out[Array, "T B H"],
    cs_prev: Out[Array, "T B H"],
    begun_h: In[Array, "B H"],
    begun_c: In[Array, "B H"],
    w: Packed[Array, "P H W"],
    columns: int,
    peepholes: In[Array, "Q"],
    products: Out[Array, "B P*W"],
    active: Flags[Booleans, "T B"],
    starts: Flags[Booleans, "S B"],
) -> None:
    (steps, _, B, _), width, one, begins = gates.shape, products.shape[1] // 4, gates.dtype.type(1), len(starts) > 0
    p = row(peepholes)
    for t in range(steps):
        if begins:
            for b in range(B):
                begin_row(row(hs_prev, t, b), row(hs, t, b), row(begun_h, b), starts[t, b])
                begin_row(row(cs_prev, t, b), row(cs, t, b), row(begun_c, b), starts[t, b])
        multiply(hs_prev[t], w, products)
        for b in range(B):
            h, c_prev, c = row(hs, t + 1, b), row(cs_prev, t, b), row(cs, t + 1, b)
            if not active[t, b]:  # past its end a row keeps its state
                copy(row(hs_prev, t, b), h)
                copy(c_prev, c)
                continue

            i, f, o, g = row(gates, t, 0, b), row(gates, t, 1, b), row(gates, t, 2, b), row(gates, t, 3, b)
            _advance(i, f, o, g, row(products, b), width, one, p, c_prev, c, h)


def step(x: Input, state: State, weights: LSTMWeights) -> State:
    """As `take_step` of a cell without peepholes: the state `h`, `c` (B, H) after `x` (B, D)."""
    (h, c), (w_x, w_h, b, _) = state, weights
    b = np.zeros(w_h.shape[1], h.dtype) if b is None else b
    new_h, new_c = np.empty(h.shape, h.dtype), np.empty(c.shape, c.dtype)
    _step(product(x, w_x), product(h, w_h), b, c, new_h, new_c)
    return new_h, new_c


@compiled()
def _step(
    gates: Out[Array, "B 4*H"],
    products: In[Array, "B 4*H"],
    bias: In[Array, "4*H"],
    c_prevs: In[Array, "B H"],
    hs: Out[Array, "B H"],
    cs: Out[Array, "B H"],
) -> None:
    """From `gates` (B, 4H), which begin as x @ w_x, `products`, h @ w_h, and `bias` (4H,) to `hs` and `cs` (B, H)."""
    (B, H), half, all_b = hs.shape, gates.dtype.type(0.5), row(bias)
    no_peepholes = all_b[:0]
    for b in range(B):
        a = row(gates, b)
        for j in range(4 * H):
            a[j] += all_b[j]
        i, f, o, g = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H :]
        _advance(i, f, o, g, row(products, b), H, half, no_peepholes, row(c_prevs, b), row(cs, b), row(hs, b))


@njit(fastmath={"contract"})
def _advance(
    i: Any, f: Any, o: Any, g: Any, others: Any, width: int, factor: Any, p: Any, c_prev: Any, c: Any, h: Any
) -> None:
    """The gates of a row, in place, then c_t = f * c_{t-1} + i * g and h_t = o * tanh(c_t).

    A gate is that of a sum with a part of `others`, which begins `width` after that of the gate before; `factor` is
    that of `sigmoids`. `p` are the peepholes (3H,), or (0,) where there are none.
    """
    H, Q = len(c), len(p) // 3
    for j in range(Q):  # i and f see the old memory, o the new one
        i[j] += p[j] * c_prev[j]
    for j in range(Q):
        f[j] += p[Q + j] * c_prev[j]
    sigmoids(i, others[:H], factor)
    sigmoids(f, others[width : width + H], factor)
    from_g = others[3 * width : 3 * width + H]
    for j in range(H):
        g[j] = tanh(g[j] + from_g[j])
    for j in range(len(c)):
        c[j] = f[j] * c_prev[j] + i[j] * g[j]
    for j in range(Q):
        o[j] += p[2 * Q + j] * c[j]
    sigmoids(o, others[2 * width : 2 * width + H], factor)
    for j in range(len(h)):
        h[j] = o[j] * tanh(c[j])


def backward_steps(w_h: Array, p: Array | None, B: int) -> Callable[..., tuple[Array, State]]:
    """As in `kernels.plain.lstm`."""
    w, peepholes = pack(w_h.T), as_row(p, w_h)
    products = room_for_product(w, B)

    def take_steps(
        cache: LSTMCache, dys: Array, dstate: State, rows: Rows, dbegun: State | None
    ) -> tuple[Array, State]:
        _, _, c_prev, i, f, o, g, c = cache
        dh, dc = dstate
        steps, _, H = c.shape
        das = empty_padded((steps, B, 4 * H), c.dtype)
        active, starts = all_running(rows.active, steps, B), beginnings(rows.starts, B)
        total_h, total_c = dstate if dbegun is None else dbegun
        totals, H = (total_h, total_c), len(w_h)
        _backward(das, i, f, o, g, c_prev, c, dys, dh, dc, *totals, w, H, peepholes, products, active, starts)
        return das, (dh, dc)

    return take_steps


@compiled("columns == H", "P == -(-H // W)", "Q == 3 * H or Q == 0", "S == T or S == 0")
def _backward(
    das: Out[Array, "T B 4*H"],
    i_s: In[Array, "T B H"],
    f_s: In[Array, "T B H"],
    o_s: In[Array, "T B H"],
    g_s: In[Array, "T B H"],
    cs_prev: In[Array, "T B H"],
    cs: In[Array, "T B H"],
    dys: In[Array, "T B H"],
    dhs: Out[Array, "B H"],
    dcs: Out[Array, "B H"],
    dbegun_h: Out[Array, "B H"],
    dbegun_c: Out[Array, "B H"],
    w: Packed[Array, "P 4*H W"],
    columns: int,
    peepholes: In[Array, "Q"],
    products: Out[Array, "B P*W"],
    active: Flags[Booleans, "T B"],
    starts: Flags[Booleans, "S B"],
) -> None:
    (steps, B, H), one, begins = cs.shape, das.dtype.type(1), len(starts) > 0
    p, Q = row(peepholes), len(peepholes) // 3
    tanh_c = np.empty(H, das.dtype)
    for t in range(steps - 1, -1, -1):
        for b in range(B):
            da = row(das, t, b)
            if not active[t, b]:
                clear(da)
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

            # da_t, then dc_{t-1} = dc * f; with peepholes, dc gets a part of da^o_t, and dc_{t-1} of da^i_t and da^f_t.
            da_i, da_f, da_o, da_g = da[:H], da[H : 2 * H], da[2 * H : 3 * H], da[3 * H :]
            for j in range(H):
                da_o[j] = dh[j] * tanh_c[j] * o[j] * (one - o[j])
            for j in range(Q):
                dc[j] += p[2 * Q + j] * da_o[j]
            for j in range(H):
                da_i[j] = dc[j] * g[j] * i[j] * (one - i[j])
            for j in range(H):
                da_f[j] = dc[j] * c_prev[j] * f[j] * (one - f[j])
            for j in range(H):
                da_g[j] = dc[j] * i[j] * (one - g[j] * g[j])
            for j in range(H):
                dc[j] *= f[j]
            for j in range(Q):
                dc[j] += p[j] * da_i[j]
            for j in range(Q):
                dc[j] += p[Q + j] * da_f[j]

        # dh_{t-1} = da_t @ w_h.T; through a row that has ended, dh goes straight, and dc too.
        multiply(das[t], w, products)
        for b in range(B):
            if active[t, b]:
                dh, from_a = row(dhs, b), row(products, b)
                for j in range(H):
                    dh[j] = from_a[j]
            if begins and starts[t, b]:
                dh, dc, total_h, total_c = row(dhs, b), row(dcs, b), row(dbegun_h, b), row(dbegun_c, b)
                for j in range(H):
                    total_h[j] += dh[j]
                for j in range(H):
                    total_c[j] += dc[j]
                clear(dh)
                clear(dc)
