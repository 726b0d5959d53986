"""The steps of the LSTM, operation by operation. Notation and shapes are those of `kernels.lstm`."""

from __future__ import annotations

from collections.abc import Callable

from ...core.arrays import Array, namespace
from ...core.rows import Rows
from ...core.states import State
from ..caches import LSTMCache
from ..starts import begin_step, begin_step_backward
from .products import multiplier


def forward_steps(w_h: Array, p: Array | None, B: int) -> Callable[..., None]:
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
            if p is not None:  # i and f see the old memory
                a[:2] += p[:2] * c_prev[t]
                sum_of_o = o.copy()
            xp.tanh(a, out=a)
            sigmoids = a[:3]
            sigmoids *= 0.5
            sigmoids += 0.5
            xp.multiply(f, c_prev[t], out=c)
            xp.multiply(i, g, out=part)
            c += part
            if p is not None:  # o sees the new memory
                xp.tanh(sum_of_o + p[2] * c, out=o)
                o *= 0.5
                o += 0.5
            xp.tanh(c, out=part)
            xp.multiply(o, part, out=h)
            if active is not None:
                ended = ~active[t][:, None]  # past its end a row keeps its state
                xp.copyto(h, h_prev[t], where=ended)
                xp.copyto(c, c_prev[t], where=ended)

    return take_steps


def backward_steps(w_h: Array, p: Array | None, B: int) -> Callable[..., tuple[Array, State]]:
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
        #    c_t, once dys[t] and that part are added; at the end of a step, dh_{t-1} and dc_{t-1}. Peepholes change two
        #    factors: `dc_dhs`, and `to_c_prev`, which times dc is dc_{t-1}.
        (das, dc_dhs), to_c_prev = _factors(i, f, o, g, c_prev, c), f
        if p is not None:
            p_i, p_f, p_o = p.reshape(3, H)
            dc_dhs += das[:, :, 2] * p_o
            to_c_prev = f + das[:, :, 0] * p_i + das[:, :, 1] * p_f

        # 2. da_t, then dc_{t-1} = dc * to_c_prev and dh_{t-1} = da_t @ w_h.T.
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
            dc *= to_c_prev[t]
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
