"""The GRU whose reset comes after the product, over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, H units. `hs` (T + 1, B, H) holds the states, `hs[0]` the one before the sequence;
so `hs[t]` is h_{t-1}, what step t starts from, and `hs[t + 1]` is h_t. Gates are in the order r, z, n; what has an
axis of 3 has it for them: `gates` (T, 3, B, H) and, in `forward`, the weights, (3, D, H), (3, H, H) and (3, 1, H).

What makes it fast: one tanh serves r and z, for sigmoid(a) = 0.5 tanh(0.5 a) + 0.5, and the weights have the inner 0.5
already. The steps are taken in blocks. Forward, the input side is computed for a block before its steps (for one-hot
rows by look-ups). Going back, each of the four gradients of a step, by m and by the sums of r, z and n, is dh times a
factor that the cache gives. So the factors of a block are made before its steps, one multiplication a step makes the
gradients, and those of the weights are computed after them, for the block at once. Memory beyond input and output,
which is a part of `hs`: `gates` and `ms`, 4 arrays (T, B, H), copies of the weights, and some of the size of a
block.
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


class GRUCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    r: Array
    z: Array
    n: Array
    m: Array


class GRUWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, 3H)."""
    w_h: Array
    """(H, 3H)."""
    b: Array
    """(3H,)."""
    b_h: Array
    """(H,)."""


def forward(
    xs: Input, state: State, weights: GRUWeights, rows: Rows, begun: State | None
) -> tuple[Array, State, GRUCache]:
    """`xs` (T, B, D) and the state `(h,)`, h (B, H), to the outputs (T, B, H), the last state and the cache.

    `begun` is the state where a document begins; None where `rows.starts` is.
    """
    T, B, _ = xs.shape
    (h,) = state
    H, xp = weights.w_h.shape[0], namespace(h)
    hs, ms = xp.empty((T + 1, B, H), h.dtype), xp.empty((T, B, H), h.dtype)
    hs[0] = h
    h_prev = before_steps(hs, rows.starts)

    # 1. The weights gate by gate, those of the sigmoids halved, which rounds nothing.
    w_x, w_h, b = (w.reshape(-1, 3, H).swapaxes(0, 1).copy() for w in weights[:3])
    for w in (w_x, w_h, b):
        w[:2] *= 0.5
    by_gate = GRUWeights(w_x, w_h, b, weights.b_h)

    gates = xp.empty((T, 3, B, H), h.dtype)

    def run(part: slice) -> None:
        own_begun = None if begun is None else begun[0][part]
        own_xs, own_hs, own_prev = xs[:, part], hs[:, part], h_prev[:, part]
        own_gates, own_ms = gates[:, :, part], ms[:, part]
        _forward_rows(own_xs, own_hs, own_prev, own_ms, own_gates, by_gate, rows.of_rows(part), own_begun)

    over_rows(run, B, weights.w_h)
    r, z, n = gates.swapaxes(0, 1)
    return hs[1:], (hs[T].copy(),), GRUCache(xs, h_prev, r, z, n, ms)


def _forward_rows(
    xs: Input,
    hs: Array,
    h_prev: Array,
    ms: Array,
    gates: Array,
    weights: GRUWeights,
    rows: Rows,
    begun: Array | None,
) -> None:
    """The steps of some rows: from `hs[0]` to the others, all `gates` and `ms`."""
    T, _, B, H = gates.shape
    project = input_side(xs, weights.w_x, weights.b)
    take_steps = compiled_version(forward_steps, hs)(weights.w_h, weights.b_h, B)
    for block in blocks(T, block_steps(T, B, 4 * H)):  # of three gates and m
        # 2. x_t @ w_x + b, for the steps of a block at once; then the steps.
        project(block, gates[block])
        after = slice(block.start, block.stop + 1)
        take_steps(gates[block], hs[after], h_prev[block], ms[block], rows.of_steps(block), begun)


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


def backward(
    dys: Array, dstate: State, cache: GRUCache, weights: GRUWeights, rows: Rows, gradients: GRUWeights
) -> tuple[Array | None, State, State | None]:
    """`dys` (T, B, H) and the gradient of the last state to `(dxs, dstate, dbegun)`; adds to `gradients`.

    `dys` is 0 where a row has ended. `dxs` is None for one-hot rows, and `dbegun` where `rows.starts` is.
    """
    xs, m = cache.x, cache.m
    (dh,) = dstate
    dxs = no_input_gradient(xs, m.dtype)
    dbegun = None if rows.starts is None else namespace(m).zeros_like(dh)

    def run(part: slice, *own: Array) -> tuple[Array]:
        steps = GRUCache(*(values[:, part] for values in cache))
        own_rows, own_dxs = rows.of_rows(part), of_rows(dxs, part)
        own_dbegun = None if dbegun is None else dbegun[part]
        return (
            _backward_rows(
                dys[:, part], dh[part].copy(), own_dbegun, steps, weights, own_rows, own_dxs, GRUWeights(*own)
            ),
        )

    (dh_prev,) = back_over_rows(run, m.shape[1], weights.w_h, gradients)
    return dxs, (dh_prev,), None if dbegun is None else (dbegun,)


def _backward_rows(
    dys: Array,
    dh: Array,
    dbegun: Array | None,
    cache: GRUCache,
    weights: GRUWeights,
    rows: Rows,
    dxs: Array | None,
    gradients: GRUWeights,
) -> Array:
    """The steps of some rows, back: gives the `dh` before the first one, sets `dxs` and adds to `dbegun`."""
    T, B, H = cache.m.shape
    dw_x, dw_h, db, db_h = gradients
    take_steps = compiled_version(backward_steps, cache.m)(weights.w_h, B)
    project_back = input_gradient(dxs, weights.w_x)
    for block in reversed(blocks(T, block_steps(T, B, 4 * H))):
        # 1. and 2. The steps, from the last one back.
        steps = GRUCache(*(values[block] for values in cache))
        das, dh = take_steps(steps, dys[block], dh, rows.of_steps(block), dbegun)

        # 3. Gradients of weights and inputs, for the steps of the block at once. The columns r, z, n of w_x belong to
        #    da^r_t, da^z_t and da^n_t, those of w_h to da^r_t, da^z_t and dm_t.
        add_gradient(dw_x, steps.x, das[:, :, H:])
        add_gradient(dw_h[:, 2 * H :], steps.h_prev, das[:, :, :H])
        add_gradient(dw_h[:, : 2 * H], steps.h_prev, das[:, :, H : 3 * H])
        add_sum(db, das[:, :, H:])
        add_sum(db_h, das[:, :, :H])
        project_back(block, das[:, :, H:])
    return dh


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


KERNEL = with_tables(Kernel(GRUWeights, forward, backward, lambda array: None))
"""The kernel of a `GRUCell` whose reset comes after the product."""
