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
`gates`, 5 arrays (T, B, H), copies of the weights, and some of the size of a few blocks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..arrays import Array, Booleans, Input, namespace
from .products import add_gradient, add_sum, block_steps, blocks, helper, input_gradient, input_side, multiplier


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

    steps = block_steps(T, B, 4 * H)
    project, multiply = input_side(xs, w_x, b), multiplier(w_h, B)
    gates, from_h, part = xp.empty((T, 4, B, H), h.dtype), xp.empty((4, B, H), h.dtype), xp.empty((B, H), h.dtype)
    with helper(xs, steps, w_x, w_h) as aside:
        # 2. x_t @ w_x + b, for the steps of a block at once.
        for block, _ in aside.ahead(lambda block: project(block, gates[block]), blocks(T, steps)):
            # 3. The gates of x_t @ w_x + b + h_{t-1} @ w_h, then c_t = f * c_{t-1} + i * g and h_t = o * tanh(c_t).
            for t in range(block.start, block.stop):
                a, h, c = gates[t], hs[t + 1], cs[t + 1]
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

    i, f, o, g = gates.swapaxes(0, 1)
    return hs[1:], hs[T].copy(), cs[T].copy(), LSTMCache(xs, hs[:T], cs[:T], i, f, o, g, cs[1:])


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

    Weights and `active` are as in `forward`. `dxs` is None for one-hot rows.
    """
    xs, h_prev, c_prev, i, f, o, g, c = cache
    T, B, H = c.shape
    xp = namespace(c)
    steps = block_steps(T, B, 4 * H)
    dxs, fill_dxs = input_gradient(xs, w_x)
    multiply, dh, dc, part = multiplier(w_h.T, B), dh.copy(), dc.copy(), xp.empty((B, H), c.dtype)

    def factors(block: slice) -> tuple[Array, Array]:
        return _factors(*(values[block] for values in (i, f, o, g, c_prev, c)))

    def add_gradients(block: slice, das: Array) -> None:
        add_gradient(dw_x, xs[block], das)
        add_gradient(dw_h, h_prev[block], das)
        add_sum(db, das)

    with helper(xs, steps, w_x, w_h) as aside:
        # 1. The factors of the steps of a block: `das`, which times dc (for o: times dh) is da_t, made in the same
        #    place; and `dc_dhs` (steps, B, H), which times dh is what dc gets from it. Here dh and dc are all that
        #    reaches h_t and c_t, once dys[t] and that part are added; at the end of a step, dh_{t-1} and dc_{t-1}.
        for block, (das, dc_dhs) in aside.ahead(factors, reversed(blocks(T, steps))):
            # 2. da_t, then dc_{t-1} = dc * f and dh_{t-1} = da_t @ w_h.T.
            for t in reversed(range(block.start, block.stop)):
                da = das[t - block.start]
                dh += dys[t]
                if active is not None:
                    running, kept = active[t][:, None], (dh, dc)
                    dh, dc = xp.where(running, dh, 0), xp.where(running, dc, 0)
                xp.multiply(dh, dc_dhs[t - block.start], out=part)
                dc += part
                da[:, :2] *= dc[:, None]
                da[:, 2] *= dh
                da[:, 3] *= dc
                dc *= f[t]
                multiply(da.reshape(B, 4 * H), out=dh)
                if active is not None:  # through a row that has ended, both go straight
                    dh, dc = xp.where(running, dh, kept[0]), xp.where(running, dc, kept[1])

            # 3. Gradients of weights and inputs, for the steps of the block at once.
            das = das.reshape(len(das), B, 4 * H)
            aside.later(add_gradients, block, das)
            aside.anyone(fill_dxs, block, das)
    return dxs, dh, dc


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
