"""The simple recurrent network over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units. `hs` (T + 1, B, H) holds the states, `hs[0]` the one before the sequence;
so `hs[t]` is what step t starts from and `hs[t + 1]` what it ends with.

What makes it fast: the input side is one product over all steps (for one-hot rows a look-up), written to where the
states will stand; each step then adds one product and applies the nonlinearity in place; the gradients of the weights
are one product each, over all steps, after the loop. Memory beyond input and output: `hs` and, going back, `das`
(T, B, H).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..arrays import Array, Booleans, Input, OneHotRows, as_rows, namespace
from .products import multiplied, multiplier


class RNNCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    h: Array


def forward(
    nonlinearity: str, xs: Input, h: Array, w_x: Array, w_h: Array, b: Array, active: Booleans | None
) -> tuple[Array, RNNCache]:
    """`xs` (T, B, D) and the state `h` (B, H) to the last state (B, H) and the cache, whose `h` are the outputs."""
    T, B, _ = xs.shape
    H, xp = w_h.shape[0], namespace(h)
    hs = xp.empty((T + 1, B, H), h.dtype)
    hs[0] = h

    # 1. x_t @ w_x + b, for all t.
    if isinstance(xs, OneHotRows):
        hs[1:] = xs @ (w_x + b)
    else:
        multiplier(w_x, T * B)(as_rows(xs), out=hs[1:].reshape(T * B, H))
        hs[1:] += b

    # 2. h_t = f(x_t @ w_x + b + h_{t-1} @ w_h).
    multiply, product = multiplier(w_h, B), xp.empty((B, H), h.dtype)
    for t in range(T):
        a = hs[t + 1]
        multiply(hs[t], out=product)
        a += product
        if nonlinearity == "tanh":
            xp.tanh(a, out=a)
        else:
            xp.maximum(a, 0, out=a)
        if active is not None:
            xp.copyto(a, hs[t], where=~active[t][:, None])  # past its end a row keeps its state

    return hs[T].copy(), RNNCache(xs, hs[:T], hs[1:])


def backward(
    nonlinearity: str, dys: Array, dh: Array, cache: RNNCache, w_x: Array, w_h: Array, active: Booleans | None
) -> tuple[Array | None, Array, Array, Array, Array]:
    """`dys` (T, B, H) and `dh` (B, H) to `(dxs, dh, dw_x, dw_h, db)`; `dxs` is None for one-hot rows."""
    xs, h_prevs, hs = cache
    T, B, H = hs.shape
    xp = namespace(hs)

    # 1. f'(a_t) from h_t, for all t, where da_t will stand: 1 - h_t^2, or 1 where the ReLU is on.
    das = xp.empty((T, B, H), hs.dtype)
    if nonlinearity == "tanh":
        xp.multiply(hs, hs, out=das)
        xp.subtract(1, das, out=das)
    else:
        xp.greater(hs, 0, out=das)
    if active is not None:
        das *= active[:, :, None]

    # 2. da_t = f'(a_t) * (dy_t + dh_t), then dh_{t-1} = da_t @ w_h.T. The transposed copy makes that product faster.
    multiply, dh, product = multiplier(xp.ascontiguousarray(w_h.T), B), dh.copy(), xp.empty((B, H), hs.dtype)
    for t in reversed(range(T)):
        dh += dys[t]
        da = das[t]
        da *= dh
        if active is None:
            multiply(da, out=dh)
        else:
            multiply(da, out=product)
            xp.copyto(dh, product, where=active[t][:, None])  # straight through, where the row has ended

    # 3. Gradients of weights and inputs, over all steps at once.
    da_rows = as_rows(das)
    dw_x = as_rows(xs).T @ da_rows
    dw_h = as_rows(h_prevs).T @ da_rows
    db = da_rows.sum(axis=0)
    dxs = None if isinstance(xs, OneHotRows) else multiplied(da_rows, w_x.T).reshape(xs.shape)
    return dxs, dh, dw_x, dw_h, db
