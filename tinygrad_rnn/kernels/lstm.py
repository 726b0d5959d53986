"""The LSTM over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units. `hs` and `cs` (T + 1, B, H) hold the states, `hs[0]` and `cs[0]` those
before the sequence; so `hs[t]` is h_{t-1}, what step t starts from, and `hs[t + 1]` is h_t. Gates are in the order
i, f, o, g; what has an axis of 4 has it for them: `gates` (T, 4, B, H), the gradients `das` (steps, B, 4, H) and, in
`forward`, the weights, (4, D, H), (4, H, H) and (4, 1, H).

What makes it fast: a gate at a step is (B, H) without gaps, and one tanh serves all four, for sigmoid(a) =
0.5 tanh(0.5 a) + 0.5, and the weights have the inner 0.5 already. In `das` the gates lie beside the units, for the
products take (B, 4H). The steps are taken in blocks. Forward, the input side of a block is computed before its steps
(for one-hot rows by look-ups). Going back, the factors, which need no later step, are computed before the steps of a
block, and the gradients of the weights after them. Memory beyond input and output, which is a part of `hs`: `cs` and
`gates`, 5 arrays (T, B, H), copies of the weights, and some of the size of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..core.arrays import Array, Booleans, namespace
from ..core.one_hot import Input
from .compiling import compiled_version
from .products import (
    add_gradient,
    add_sum,
    back_over_rows,
    block_steps,
    blocks,
    input_gradient,
    input_side,
    multiplier,
    no_input_gradient,
    of_rows,
    of_steps,
    over_rows,
    product,
)


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
    """`xs` (T, B, D) and the state `h`, `c` (B, H) to the outputs (T, B, H), the last `h` and `c`, and the cache.

    `w_x` is (D, 4H), `w_h` (H, 4H) and `b` (4H,); `active` (T, B) is True where a row runs, None where all do.
    """
    T, B, _ = xs.shape
    H, xp = w_h.shape[0], namespace(h)
    hs, cs = xp.empty((T + 1, B, H), h.dtype), xp.empty((T + 1, B, H), h.dtype)
    hs[0], cs[0] = h, c

    # 1. The weights gate by gate, those of the sigmoids halved, which rounds nothing.
    w_x, w_h, b = (w.reshape(-1, 4, H).swapaxes(0, 1).copy() for w in (w_x, w_h, b))
    for w in (w_x, w_h, b):
        w[:3] *= 0.5

    gates = xp.empty((T, 4, B, H), h.dtype)

    def run(rows: slice) -> None:
        _forward_rows(xs[:, rows], hs[:, rows], cs[:, rows], gates[:, :, rows], w_x, w_h, b, of_rows(active, rows))

    over_rows(run, B, w_h)
    i, f, o, g = gates.swapaxes(0, 1)
    return hs[1:], hs[T].copy(), cs[T].copy(), LSTMCache(xs, hs[:T], cs[:T], i, f, o, g, cs[1:])


def _forward_rows(
    xs: Input, hs: Array, cs: Array, gates: Array, w_x: Array, w_h: Array, b: Array, active: Booleans | None
) -> None:
    """The steps of some rows: from `hs[0]` and `cs[0]` to the others, and the `gates` of those that run."""
    T, _, B, H = gates.shape
    project, take_steps = input_side(xs, w_x, b), compiled_version(forward_steps, hs)(w_h, B)
    for block in blocks(T, block_steps(T, B, 4 * H)):
        # 2. x_t @ w_x + b, for the steps of a block at once; then the steps.
        project(block, gates[block])
        with_first = slice(block.start, block.stop + 1)
        take_steps(gates[block], hs[with_first], cs[with_first], of_steps(active, block))


def forward_steps(w_h: Array, B: int) -> Callable[..., None]:
    """`take_steps(gates, hs, cs, active)`: from `hs[0]` and `cs[0]` on; `gates` begin as x_t @ w_x + b."""
    multiply, xp = multiplier(w_h, B), namespace(w_h)
    from_h, part = xp.empty((4, B, w_h.shape[1]), w_h.dtype), xp.empty((B, w_h.shape[1]), w_h.dtype)

    def take_steps(gates: Array, hs: Array, cs: Array, active: Booleans | None) -> None:
        # 3. The gates of x_t @ w_x + b + h_{t-1} @ w_h, then c_t = f * c_{t-1} + i * g and h_t = o * tanh(c_t).
        for t, a in enumerate(gates):
            h, c = hs[t + 1], cs[t + 1]
            i, f, o, g = a
            multiply(hs[t], out=from_h)
            a += from_h
            xp.tanh(a, out=a)
            sigmoids = a[:3]
            sigmoids *= 0.5
            sigmoids += 0.5
            xp.multiply(f, cs[t], out=c)
            xp.multiply(i, g, out=part)
            c += part
            xp.tanh(c, out=part)
            xp.multiply(o, part, out=h)
            if active is not None:
                ended = ~active[t][:, None]  # past its end a row keeps its state
                xp.copyto(h, hs[t], where=ended)
                xp.copyto(c, cs[t], where=ended)

    return take_steps


def step(x: Input, h: Array, c: Array, w_x: Array, w_h: Array, b: Array) -> tuple[Array, Array]:
    """One step in use, with nothing kept: `x` (B, D) and the state `h`, `c` (B, H) to the next `h` and `c`.

    The gates are side by side in `a` (B, 4H), as in `w_x` (D, 4H), `w_h` (H, 4H) and `b` (4H,).
    """
    H, xp = w_h.shape[0], namespace(h)
    a = product(x, w_x)
    a += product(h, w_h)
    a += b
    sigmoids = a[:, : 3 * H]
    sigmoids *= 0.5
    xp.tanh(a, out=a)
    sigmoids *= 0.5
    sigmoids += 0.5
    i, f, o, g = a[:, :H], a[:, H : 2 * H], a[:, 2 * H : 3 * H], a[:, 3 * H :]
    c = f * c
    i *= g
    c += i
    h = xp.tanh(c)
    h *= o
    return h, c


def backward(
    dys: Array,
    dh: Array,
    dc: Array,
    cache: LSTMCache,
    w_x: Array,
    w_h: Array,
    active: Booleans | None,
    dw_x: Array,
    dw_h: Array,
    db: Array,
) -> tuple[Array | None, Array, Array]:
    """`dys` (T, B, H), `dh` and `dc` (B, H) to `(dxs, dh, dc)`; adds to `dw_x`, `dw_h` and `db`.

    `dys` is 0 where a row has ended. Weights and `active` are as in `forward`. `dxs` is None for one-hot rows.
    """
    xs, c = cache.x, cache.c
    dxs = no_input_gradient(xs, c.dtype)

    def run(rows: slice, *gradients: Array) -> tuple[Array, Array]:
        part = LSTMCache(*(values[:, rows] for values in cache))
        own_active, own_dxs = of_rows(active, rows), of_rows(dxs, rows)
        return _backward_rows(dys[:, rows], dh[rows], dc[rows], part, w_x, w_h, own_active, own_dxs, *gradients)

    dh, dc = back_over_rows(run, c.shape[1], w_h, (dw_x, dw_h, db))
    return dxs, dh, dc


def _backward_rows(
    dys: Array,
    dh: Array,
    dc: Array,
    cache: LSTMCache,
    w_x: Array,
    w_h: Array,
    active: Booleans | None,
    dxs: Array | None,
    dw_x: Array,
    dw_h: Array,
    db: Array,
) -> tuple[Array, Array]:
    """The steps of some rows, back: gives `dh` and `dc` before the first one, and sets `dxs`."""
    xs, h_prev, c = cache.x, cache.h_prev, cache.c
    T, B, H = c.shape
    take_steps, dh, dc = compiled_version(backward_steps, c)(w_h, B), dh.copy(), dc.copy()
    project_back = input_gradient(dxs, w_x)
    for block in reversed(blocks(T, block_steps(T, B, 4 * H))):
        # 1. and 2. The steps, from the last one back.
        part = LSTMCache(*(values[block] for values in cache))
        das, dh, dc = take_steps(part, dys[block], dh, dc, of_steps(active, block))

        # 3. Gradients of weights and inputs, for the steps of the block at once.
        add_gradient(dw_x, xs[block], das)
        add_gradient(dw_h, h_prev[block], das)
        add_sum(db, das)
        project_back(block, das)
    return dh, dc


def backward_steps(w_h: Array, B: int) -> Callable[..., tuple[Array, Array, Array]]:
    """`take_steps(cache, dys, dh, dc, active)`: from the last of some steps back.

    It gives da_t of each (steps, B, 4H) and `dh` and `dc` before the first, for which it may use the memory of those
    given.
    """
    multiply, xp = multiplier(w_h.T, B), namespace(w_h)
    part = xp.empty((B, w_h.shape[0]), w_h.dtype)

    def take_steps(
        cache: LSTMCache, dys: Array, dh: Array, dc: Array, active: Booleans | None
    ) -> tuple[Array, Array, Array]:
        _, _, c_prev, i, f, o, g, c = cache
        steps, B, H = c.shape

        # 1. The factors of all the steps: `das`, which times dc (for o: times dh) is da_t, made in the same place; and
        #    `dc_dhs` (steps, B, H), which times dh is what dc gets from it. Here dh and dc are all that reaches h_t and
        #    c_t, once dys[t] and that part are added; at the end of a step, dh_{t-1} and dc_{t-1}.
        das, dc_dhs = _factors(i, f, o, g, c_prev, c)

        # 2. da_t, then dc_{t-1} = dc * f and dh_{t-1} = da_t @ w_h.T.
        for t in reversed(range(steps)):
            da = das[t]
            dh += dys[t]
            if active is not None:
                running, kept = active[t][:, None], (dh, dc)
                dh, dc = xp.where(running, dh, 0), xp.where(running, dc, 0)
            xp.multiply(dh, dc_dhs[t], out=part)
            dc += part
            da[:, :2] *= dc[:, None]
            da[:, 2] *= dh
            da[:, 3] *= dc
            dc *= f[t]
            multiply(da.reshape(B, 4 * H), out=dh)
            if active is not None:  # through a row that has ended, both go straight
                dh, dc = xp.where(running, dh, kept[0]), xp.where(running, dc, kept[1])
        return das.reshape(steps, B, 4 * H), dh, dc

    return take_steps


def _factors(i: Array, f: Array, o: Array, g: Array, c_prev: Array, c: Array) -> tuple[Array, Array]:
    """The factors of da_t (steps, B, 4, H), and o (1 - tanh^2 c), by which dh enters dc (steps, B, H)."""
    (steps, B, H), xp = c.shape, namespace(c)
    das, tanh_c, slope = xp.empty((steps, B, 4, H), c.dtype), xp.tanh(c), xp.empty_like(c)
    for k, (gate, partner) in enumerate(((i, g), (f, c_prev), (o, tanh_c))):
        xp.subtract(1, gate, out=slope)
        slope *= gate
        xp.multiply(slope, partner, out=das[:, :, k])
    xp.multiply(g, g, out=slope)
    xp.subtract(1, slope, out=slope)
    xp.multiply(slope, i, out=das[:, :, 3])
    dc_dhs = xp.multiply(tanh_c, tanh_c, out=tanh_c)
    xp.subtract(1, dc_dhs, out=dc_dhs)
    dc_dhs *= o
    return das, dc_dhs
