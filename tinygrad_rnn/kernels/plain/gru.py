"""The steps of the GRU whose reset comes after the product, operation by operation.

Notation and shapes are those of `kernels.gru`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...core.arrays import Array, namespace
from ...core.rows import Rows
from ..caches import GRUCache
from ..starts import begin_step, begin_step_backward
from .products import multiplier


def forward_steps(w_h: Array, b_h: Array, B: int) -> Callable[..., None]:
    """`take_steps(gates, hs, h_prev, ms, rows, begun)`: from `hs[0]` on; `gates` begin as x_t @ w_x + b.

    `h_prev` is as `before_steps` gave it.
    """
    multiply, xp = multiplier(w_h, B), namespace(w_h)
    products = xp.empty((3, B, w_h.shape[1]), w_h.dtype)

    def take_steps(gates: Array, hs: Array, h_prev: Array, ms: Array, rows: Rows, begun: Array | None) -> None:
        _, active, starts = rows
        for t in range(len(gates)):
            if starts is not None and begun is not None:
                begin_step(h_prev[t], hs[t], begun, starts[t])

            # 3. r_t, z_t and m_t = h_{t-1} @ w_hn + b_h.
            sigmoids, n, m, h = gates[t, :2], gates[t, 2], ms[t], hs[t + 1]
            multiply(h_prev[t], out=products)
            sigmoids += products[:2]
            xp.tanh(sigmoids, out=sigmoids)
            sigmoids *= 0.5
            sigmoids += 0.5
            r, z = sigmoids
            xp.add(products[2], b_h, out=m)

            # 4. n_t = tanh(x_t @ w_xn + b_n + r_t * m_t) and h_t = z_t * (h_{t-1} - n_t) + n_t.
            xp.multiply(r, m, out=h)
            n += h
            xp.tanh(n, out=n)
            xp.subtract(h_prev[t], n, out=h)
            h *= z
            h += n
            if active is not None:
                xp.copyto(h, h_prev[t], where=~active[t][:, None])  # past its end a row keeps its state

    return take_steps


def backward_steps(w_h: Array, B: int) -> Callable[..., tuple[Array, Array]]:
    """`take_steps(cache, dys, dh, rows, dbegun)`: from the last of some steps back.

    It gives dm_t, da^r_t, da^z_t and da^n_t of each, side by side (steps, B, 4H), and `dh` before the first, for
    which it may use the memory of that given.
    """
    H, xp = w_h.shape[0], namespace(w_h)
    multiply = multiplier(xp.roll(w_h, H, axis=1).T, B)  # its columns of n first
    from_a = xp.empty((B, H), w_h.dtype)

    def take_steps(cache: GRUCache, dys: Array, dh: Array, rows: Rows, dbegun: Array | None) -> tuple[Array, Array]:
        _, h_prev, r, z, n, m = cache
        (steps, B, H), (_, active, starts) = m.shape, rows

        # 1. For all the steps, what dh is multiplied by to give dm_t, da^r_t, da^z_t and da^n_t, where these will
        #    stand: (steps, B, 4, H). dh is all that reaches h_t, once dys[t] is added; at the end of a step it is
        #    dh_{t-1}.
        das = _factors(h_prev, r, z, n, m)

        # 2. The gradients at step t, then dh_{t-1} = dh * z_t + (dm_t, da^r_t, da^z_t) @ w_h.T, with the columns of w_h
        #    in the order n, r, z, hence the roll.
        for t in reversed(range(steps)):
            dh += dys[t]
            da = das[t]
            if active is not None:
                running, kept = active[t][:, None], dh
                dh = xp.where(running, dh, 0)
            da *= dh[:, None]
            multiply(da.reshape(B, 4 * H)[:, : 3 * H], out=from_a)
            dh *= z[t]
            dh += from_a
            if active is not None:
                dh = xp.where(running, dh, kept)  # through a row that has ended, straight
            if starts is not None and dbegun is not None:
                begin_step_backward(dh, dbegun, starts[t])
        return das.reshape(steps, B, 4 * H), dh

    return take_steps


def _factors(h_prev: Array, r: Array, z: Array, n: Array, m: Array) -> Array:
    """What dh_t is to be multiplied by for dm_t, da^r_t, da^z_t and da^n_t: (steps, B, 4, H)."""
    (steps, B, H), xp = m.shape, namespace(m)
    out: Array = xp.empty((steps, B, 4, H), m.dtype)
    new = 1 - z  # the share of the new state
    for_n = (1 - n * n) * new
    for_m = for_n * r
    out[:, :, 0] = for_m
    out[:, :, 1] = for_m * m * (1 - r)
    out[:, :, 2] = (h_prev - n) * z * new
    out[:, :, 3] = for_n
    return out
