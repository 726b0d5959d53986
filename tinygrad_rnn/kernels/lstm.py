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

from ..core.arrays import Array, namespace
from ..core.one_hot import Input
from ..core.rows import Rows
from ..core.states import State
from .compiling import compiled_version
from .documents import before_steps, begin_step, begin_step_backward
from .kernel import Kernel
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
    over_rows,
)
from .tables import with_tables


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


class LSTMWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, 4H)."""
    w_h: Array
    """(H, 4H)."""
    b: Array
    """(4H,)."""


def forward(
    xs: Input, state: State, weights: LSTMWeights, rows: Rows, begun: State | None
) -> tuple[Array, State, LSTMCache]:
    """`xs` (T, B, D) and the state `(h, c)`, each (B, H), to the outputs (T, B, H), the last state and the cache.

    `begun` is the state where a document begins; None where `rows.starts` is.
    """
    T, B, _ = xs.shape
    h, c = state
    H, xp, starts = weights.w_h.shape[0], namespace(h), rows.starts
    hs, cs = xp.empty((T + 1, B, H), h.dtype), xp.empty((T + 1, B, H), h.dtype)
    hs[0], cs[0] = h, c
    h_prev, c_prev = before_steps(hs, starts), before_steps(cs, starts)

    # 1. The weights gate by gate, those of the sigmoids halved, which rounds nothing.
    by_gate = LSTMWeights(*(w.reshape(-1, 4, H).swapaxes(0, 1).copy() for w in weights))
    for w in by_gate:
        w[:3] *= 0.5

    gates = xp.empty((T, 4, B, H), h.dtype)

    def run(part: slice) -> None:
        own_hs, own_cs, own_h_prev, own_c_prev = hs[:, part], cs[:, part], h_prev[:, part], c_prev[:, part]
        own_begun = None if begun is None else tuple(array[part] for array in begun)
        own_xs, own_gates, own_rows = xs[:, part], gates[:, :, part], rows.of_rows(part)
        _forward_rows(own_xs, own_hs, own_cs, own_h_prev, own_c_prev, own_gates, by_gate, own_rows, own_begun)

    over_rows(run, B, weights.w_h)
    i, f, o, g = gates.swapaxes(0, 1)
    return hs[1:], (hs[T].copy(), cs[T].copy()), LSTMCache(xs, h_prev, c_prev, i, f, o, g, cs[1:])


def _forward_rows(
    xs: Input,
    hs: Array,
    cs: Array,
    h_prev: Array,
    c_prev: Array,
    gates: Array,
    weights: LSTMWeights,
    rows: Rows,
    begun: State | None,
) -> None:
    """The steps of some rows: from `hs[0]` and `cs[0]` to the others, and the `gates` of those that run."""
    T, _, B, H = gates.shape
    project = input_side(xs, weights.w_x, weights.b)
    take_steps = compiled_version(forward_steps, hs)(weights.w_h, B)
    for block in blocks(T, block_steps(T, B, 4 * H)):
        # 2. x_t @ w_x + b, for the steps of a block at once; then the steps.
        project(block, gates[block])
        after = slice(block.start, block.stop + 1)
        take_steps(gates[block], hs[after], cs[after], h_prev[block], c_prev[block], rows.of_steps(block), begun)


def forward_steps(w_h: Array, B: int) -> Callable[..., None]:
    """`take_steps(gates, hs, cs, h_prev, c_prev, rows, begun)`: from `hs[0]` and `cs[0]` on.

    `gates` begin as x_t @ w_x + b; `h_prev` and `c_prev` are as `before_steps` gave them.
    """
    multiply, xp = multiplier(w_h, B), namespace(w_h)
    from_h, part = xp.empty((4, B, w_h.shape[1]), w_h.dtype), xp.empty((B, w_h.shape[1]), w_h.dtype)

    def take_steps(
        gates: Array, hs: Array, cs: Array, h_prev: Array, c_prev: Array, rows: Rows, begun: State | None
    ) -> None:
        # 3. The gates of x_t @ w_x + b + h_{t-1} @ w_h, then c_t = f * c_{t-1} + i * g and h_t = o * tanh(c_t).
        _, active, starts = rows
        for t, a in enumerate(gates):
            h, c = hs[t + 1], cs[t + 1]
            i, f, o, g = a
            if starts is not None and begun is not None:
                begin_step(h_prev[t], hs[t], begun[0], starts[t])
                begin_step(c_prev[t], cs[t], begun[1], starts[t])
            multiply(h_prev[t], out=from_h)
            a += from_h
            xp.tanh(a, out=a)
            sigmoids = a[:3]
            sigmoids *= 0.5
            sigmoids += 0.5
            xp.multiply(f, c_prev[t], out=c)
            xp.multiply(i, g, out=part)
            c += part
            xp.tanh(c, out=part)
            xp.multiply(o, part, out=h)
            if active is not None:
                ended = ~active[t][:, None]  # past its end a row keeps its state
                xp.copyto(h, h_prev[t], where=ended)
                xp.copyto(c, c_prev[t], where=ended)

    return take_steps


def backward(
    dys: Array, dstate: State, cache: LSTMCache, weights: LSTMWeights, rows: Rows, gradients: LSTMWeights
) -> tuple[Array | None, State, State | None]:
    """`dys` (T, B, H) and the gradient of the last state to `(dxs, dstate, dbegun)`; adds to `gradients`.

    `dys` is 0 where a row has ended. `dxs` is None for one-hot rows, and `dbegun` where `rows.starts` is.
    """
    xs, c = cache.x, cache.c
    B, xp = c.shape[1], namespace(c)
    dxs = no_input_gradient(xs, c.dtype)
    dbegun = None if rows.starts is None else tuple(xp.zeros_like(d) for d in dstate)

    def run(part: slice, *own: Array) -> State:
        steps = LSTMCache(*(values[:, part] for values in cache))
        own_dstate = tuple(d[part].copy() for d in dstate)
        own_dbegun = None if dbegun is None else tuple(d[part] for d in dbegun)
        own_rows, own_dxs = rows.of_rows(part), of_rows(dxs, part)
        return _backward_rows(
            dys[:, part], own_dstate, own_dbegun, steps, weights, own_rows, own_dxs, LSTMWeights(*own)
        )

    dh, dc = back_over_rows(run, B, weights.w_h, gradients)
    return dxs, (dh, dc), dbegun


def _backward_rows(
    dys: Array,
    dstate: State,
    dbegun: State | None,
    cache: LSTMCache,
    weights: LSTMWeights,
    rows: Rows,
    dxs: Array | None,
    gradients: LSTMWeights,
) -> State:
    """The steps of some rows, back: gives `dstate` before the first one, sets `dxs` and adds to `dbegun`."""
    T, B, H = cache.c.shape
    take_steps = compiled_version(backward_steps, cache.c)(weights.w_h, B)
    project_back = input_gradient(dxs, weights.w_x)
    for block in reversed(blocks(T, block_steps(T, B, 4 * H))):
        # 1. and 2. The steps, from the last one back.
        steps = LSTMCache(*(values[block] for values in cache))
        das, dstate = take_steps(steps, dys[block], dstate, rows.of_steps(block), dbegun)

        # 3. Gradients of weights and inputs, for the steps of the block at once.
        add_gradient(gradients.w_x, steps.x, das)
        add_gradient(gradients.w_h, steps.h_prev, das)
        add_sum(gradients.b, das)
        project_back(block, das)
    return dstate


def backward_steps(w_h: Array, B: int) -> Callable[..., tuple[Array, State]]:
    """`take_steps(cache, dys, dstate, rows, dbegun)`: from the last of some steps back.

    It gives da_t of each (steps, B, 4H) and `dstate` before the first, for which it may use the memory of that given.
    """
    multiply, xp = multiplier(w_h.T, B), namespace(w_h)
    part = xp.empty((B, w_h.shape[0]), w_h.dtype)

    def take_steps(
        cache: LSTMCache, dys: Array, dstate: State, rows: Rows, dbegun: State | None
    ) -> tuple[Array, State]:
        _, _, c_prev, i, f, o, g, c = cache
        (steps, B, H), (dh, dc), (_, active, starts) = c.shape, dstate, rows

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
            if starts is not None and dbegun is not None:
                begin_step_backward(dh, dbegun[0], starts[t])
                begin_step_backward(dc, dbegun[1], starts[t])
        return das.reshape(steps, B, 4 * H), (dh, dc)

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


KERNEL = with_tables(Kernel(LSTMWeights, forward, backward, lambda array: None))
"""The kernel of `LSTMCell`."""
