"""The LSTM over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units. `hs` and `cs` (T + 1, B, H) hold the states, `hs[0]` and `cs[0]` those
before the sequence; so `hs[t]` is what step t starts from and `hs[t + 1]` what it ends with. Gates are in the order
i, f, o, g; what has an axis of 4 has it for them: the weights, (4, D, H) and (4, H, H), and `gates` (T, 4, B, H).

What makes it fast: a gate at a step is a block (B, H) without gaps, and one tanh serves all four, for sigmoid(a) =
0.5 tanh(0.5 a) + 0.5, and the weights have the inner 0.5 already. A step makes four products with square weights, which
BLAS does faster than one with all four side by side (see `multiplier`). The input side is computed for all steps at
once (for one-hot rows by look-ups); going back, so is what does not depend on later steps, and, after the loop, the
gradients of the weights. Memory beyond input and output: 5 arrays (T, B, H) and, going back, 5 more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..arrays import Array, Booleans, Input, OneHotRows, as_rows, namespace
from .products import multiplier


class LSTMCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    c_prev: Array
    i: Array
    f: Array
    o: Array
    g: Array
    c: Array


def forward(
    xs: Input, h: Array, c: Array, w_x: Array, w_h: Array, b: Array, active: Booleans | None
) -> tuple[Array, Array, Array, LSTMCache]:
    """`xs` (T, B, D) and the state `h`, `c` (B, H) to the outputs (T, B, H), the last `h` and `c`, and the cache."""
    T, B, _ = xs.shape
    H, xp = w_h.shape[0], namespace(h)
    hs, cs = xp.empty((T + 1, B, H), h.dtype), xp.empty((T + 1, B, H), h.dtype)
    hs[0], cs[0] = h, c

    # 1. The weights gate by gate, those of the sigmoids halved, which rounds nothing.
    w_x, w_h, b = (w.reshape(-1, 4, H).swapaxes(0, 1).copy() for w in (w_x, w_h, b))
    for w in (w_x, w_h, b):
        w[:3] *= 0.5

    # 2. x_t @ w_x + b, for all t.
    gates = xp.empty((T, 4, B, H), h.dtype)
    for k in range(4):
        if isinstance(xs, OneHotRows):
            gates[:, k] = xs @ (w_x[k] + b[k])
        else:
            xp.add((as_rows(xs) @ w_x[k]).reshape(T, B, H), b[k], out=gates[:, k])

    # 3. The gates of x_t @ w_x + b + h_{t-1} @ w_h, then c_t = f * c_{t-1} + i * g and h_t = o * tanh(c_t).
    multiply, products, product = multiplier(w_h, B), xp.empty((4, B, H), h.dtype), xp.empty((B, H), h.dtype)
    for t in range(T):
        a, h, c = gates[t], hs[t + 1], cs[t + 1]
        i, f, o, g = a
        multiply(hs[t], out=products)
        a += products
        xp.tanh(a, out=a)
        sigmoids = a[:3]
        sigmoids *= 0.5
        sigmoids += 0.5
        xp.multiply(f, cs[t], out=c)
        xp.multiply(i, g, out=product)
        c += product
        xp.tanh(c, out=product)
        xp.multiply(o, product, out=h)
        if active is not None:
            ended = ~active[t][:, None]  # past its end a row keeps its state
            xp.copyto(h, hs[t], where=ended)
            xp.copyto(c, cs[t], where=ended)

    i, f, o, g = gates.swapaxes(0, 1)
    return hs[1:], hs[T].copy(), cs[T].copy(), LSTMCache(xs, hs[:T], cs[:T], i, f, o, g, cs[1:])


def backward(
    dys: Array, dh: Array, dc: Array, cache: LSTMCache, w_x: Array, w_h: Array, active: Booleans | None
) -> tuple[Array | None, Array, Array, Array, Array, Array]:
    """`dys` (T, B, H), `dh` and `dc` (B, H) to `(dxs, dh, dc, dw_x, dw_h, db)`; `dxs` is None for one-hot rows."""
    xs, h_prevs, c_prevs, i, f, o, g, cs = cache
    T, B, H = cs.shape
    xp = namespace(cs)

    # 1. For all t, what dc_t (for o: dh_t) is multiplied by to give da_t; for i it is g * i * (1 - i).
    slopes, tanh_c = xp.empty((T, 4, B, H), cs.dtype), xp.tanh(cs)
    i_slope, f_slope, o_slope, g_slope = slopes.swapaxes(0, 1)
    for slope, gate, partner in ((i_slope, i, g), (f_slope, f, c_prevs), (o_slope, o, tanh_c)):
        xp.subtract(1, gate, out=slope)
        slope *= gate
        slope *= partner
    xp.multiply(g, g, out=g_slope)
    xp.subtract(1, g_slope, out=g_slope)
    g_slope *= i

    # 2. What dh_t is multiplied by to go on to dc_t: o * (1 - tanh(c_t)^2), where tanh(c_t) stood.
    dc_dh = xp.multiply(tanh_c, tanh_c, out=tanh_c)
    xp.subtract(1, dc_dh, out=dc_dh)
    dc_dh *= o
    if active is not None:
        slopes *= active[:, None, :, None]
        dc_dh *= active[:, :, None]

    # 3. da_t, then dc_{t-1} = dc_t * f and dh_{t-1} = da_t @ w_h.T. The transposed copy makes that product faster. da_t
    # takes the memory of its slopes, with its gates side by side, as the products after the loop need them.
    das, multiply = slopes.reshape(T, B, 4, H), multiplier(w_h.reshape(H, 4, H).transpose(1, 2, 0).copy(), B)
    dh, dc, product = dh.copy(), dc.copy(), xp.empty((B, H), cs.dtype)
    da = xp.empty((4, B, H), cs.dtype)
    products = xp.empty((4, B, H), cs.dtype)
    for t in reversed(range(T)):
        dh += dys[t]
        xp.multiply(dh, dc_dh[t], out=product)
        dc += product
        xp.multiply(slopes[t, :2], dc, out=da[:2])
        xp.multiply(slopes[t, 2], dh, out=da[2])
        xp.multiply(slopes[t, 3], dc, out=da[3])
        das[t] = da.swapaxes(0, 1)
        multiply(da, out=products)
        if active is None:
            dc *= f[t]
            products.sum(axis=0, out=dh)
        else:
            running = active[t][:, None]  # straight through, where the row has ended
            xp.copyto(dc, dc * f[t], where=running)
            xp.copyto(dh, products.sum(axis=0, out=product), where=running)

    # 4. Gradients of weights and inputs, over all steps at once.
    da_rows = das.reshape(T * B, 4 * H)
    dw_x = as_rows(xs).T @ da_rows
    dw_h = as_rows(h_prevs).T @ da_rows
    db = xp.ones(T * B, cs.dtype) @ da_rows
    dxs = None if isinstance(xs, OneHotRows) else (da_rows @ w_x.T).reshape(xs.shape)
    return dxs, dh, dc, dw_x, dw_h, db
