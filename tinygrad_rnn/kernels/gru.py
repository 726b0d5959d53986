"""The GRU whose reset comes after the product, over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units; gates in the order r, z, n. `hs` (T + 1, B, H) holds the states, `hs[0]`
the one before the sequence; so `hs[t]` is what step t starts from and `hs[t + 1]` what it ends with.

What makes it fast: the input side is two products over all steps (for one-hot rows look-ups), of which one slab holds
r and z, so that one tanh serves both, and another n, so that both are contiguous; each step then adds two products and
works in place. Going back, each of the four gradients of a step is dh times a factor that the cache gives, so all
factors are made ahead, for some steps at once, few enough to stay in the cache, and one multiplication a step then
makes the gradients; those of the weights are one product each, over all steps, after the loop. Memory beyond input and
output: `hs`, `rzs` (T, B, 2H), `ns` and `ms` (T, B, H) and, going back, `das` (T, B, 4, H).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..arrays import Array, Booleans, Input, OneHotRows, as_rows, namespace
from .products import multiplied, multiplier

BLOCK = 1 << 15
"""Numbers in a (steps, B, H) part of a sequence, some ten of which stay in the cache of a core."""


class GRUCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    r: Array
    z: Array
    n: Array
    m: Array


def forward(
    xs: Input, h: Array, w_x: Array, w_h: Array, b: Array, b_h: Array, active: Booleans | None
) -> tuple[Array, Array, GRUCache]:
    """`xs` (T, B, D) and the state `h` (B, H) to the outputs (T, B, H), the last state (B, H) and the cache."""
    T, B, _ = xs.shape
    H, xp = w_h.shape[0], namespace(h)
    hs, ms = xp.empty((T + 1, B, H), h.dtype), xp.empty((T, B, H), h.dtype)
    hs[0] = h

    # 1. x_t @ w_x + b, for all t. As sigmoid(a) = 0.5 * tanh(0.5 * a) + 0.5, r and z take halved weights: to halve is
    #    exact, and cheaper here than at every step.
    rzs = _input_side(xs, 0.5 * w_x[:, : 2 * H], 0.5 * b[: 2 * H])
    ns = _input_side(xs, w_x[:, 2 * H :], b[2 * H :])

    multiply_rz, multiply_n = multiplier(0.5 * w_h[:, : 2 * H], B), multiplier(xp.ascontiguousarray(w_h[:, 2 * H :]), B)
    product = xp.empty((B, 2 * H), h.dtype)
    for t in range(T):
        # 2. r_t and z_t = 0.5 * tanh(0.5 * a) + 0.5.
        gates = rzs[t]
        multiply_rz(hs[t], out=product)
        gates += product
        xp.tanh(gates, out=gates)
        gates *= 0.5
        gates += 0.5
        r, z = gates[:, :H], gates[:, H:]

        # 3. m_t = h_{t-1} @ w_hn + b_h and n_t = tanh(x_t @ w_xn + b_n + r_t * m_t).
        m, n, h = ms[t], ns[t], hs[t + 1]
        multiply_n(hs[t], out=m)
        m += b_h
        xp.multiply(r, m, out=h)
        n += h
        xp.tanh(n, out=n)

        # 4. h_t = z_t * (h_{t-1} - n_t) + n_t.
        xp.subtract(hs[t], n, out=h)
        h *= z
        h += n
        if active is not None:
            xp.copyto(h, hs[t], where=~active[t][:, None])  # past its end a row keeps its state

    return hs[1:], hs[T].copy(), GRUCache(xs, hs[:T], rzs[:, :, :H], rzs[:, :, H:], ns, ms)


def _input_side(xs: Input, w: Array, b: Array) -> Array:
    """x_t @ w + b, for all t: (T, B, D) to (T, B, size of b), in memory of its own."""
    if isinstance(xs, OneHotRows):
        return xs @ (w + b)
    T, B, _ = xs.shape
    product = multiplied(as_rows(xs), w).reshape(T, B, b.size)
    product += b
    return product


def backward(
    dys: Array, dh: Array, cache: GRUCache, w_x: Array, w_h: Array, active: Booleans | None
) -> tuple[Array | None, Array, Array, Array, Array, Array]:
    """`dys` (T, B, H) and `dh` (B, H) to `(dxs, dh, dw_x, dw_h, db, db_h)`; `dxs` is None for one-hot rows."""
    xs, h_prevs, rs, zs, ns, ms = cache
    T, B, H = ms.shape
    xp = namespace(ms)

    # The gradients dm_t, da^r_t, da^z_t and da^n_t side by side. In this order the first three flow into h_{t-1} @ w_h,
    # if w_h has its block of n first, the last three into x_t @ w_x. The copy of w_h.T makes a step's product faster.
    das = xp.empty((T, B, 4, H), ms.dtype)
    multiply = multiplier(xp.ascontiguousarray(xp.roll(w_h, H, axis=1).T), B)
    dh, product = dh.copy(), xp.empty((B, H), dh.dtype)
    block = BLOCK // (B * H + 1) + 1
    for stop in range(T, 0, -block):
        # 1. For the steps of a block, from the last, what dh_t is to be multiplied by.
        start = max(stop - block, 0)
        _factors(das[start:stop], *(values[start:stop] for values in (h_prevs, rs, zs, ns, ms)))
        if active is not None:
            das[start:stop] *= active[start:stop, :, None, None]

        # 2. The gradients at step t, then dh_{t-1} = dh_t * z_t + (dm_t, da^r_t, da^z_t) @ w_h.T.
        for t in reversed(range(start, stop)):
            dh += dys[t]
            da = das[t]
            da *= dh[:, None]
            multiply(da.reshape(B, 4 * H)[:, : 3 * H], out=product)
            if active is None:
                dh *= zs[t]
                dh += product
            else:
                product += dh * zs[t]
                xp.copyto(dh, product, where=active[t][:, None])  # straight through, where the row has ended

    # 3. Gradients of weights and inputs, over all steps at once.
    rows = das.reshape(T * B, 4 * H)
    da_h, da_x = rows[:, : 3 * H], rows[:, H:]
    dw_x = as_rows(xs).T @ da_x
    dw_h = xp.roll(as_rows(h_prevs).T @ da_h, -H, axis=1)
    db = rows.sum(axis=0)
    dxs = None if isinstance(xs, OneHotRows) else multiplied(da_x, w_x.T).reshape(xs.shape)
    return dxs, dh, dw_x, dw_h, db[H:], db[:H]


def _factors(out: Array, h_prevs: Array, rs: Array, zs: Array, ns: Array, ms: Array) -> None:
    """What dh_t is to be multiplied by for dm_t, da^r_t, da^z_t and da^n_t, to `out` (steps, B, 4, H)."""
    new = 1 - zs  # the share of the new state
    da_n = (1 - ns * ns) * new
    dm = da_n * rs
    out[:, :, 0] = dm
    out[:, :, 1] = dm * ms * (1 - rs)
    out[:, :, 2] = (h_prevs - ns) * zs * new
    out[:, :, 3] = da_n
