"""The simple recurrent unit over a whole sequence: `kernels.elementwise`, with f, r, u and p; its state is c."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.arrays import Array, namespace, sigmoid
from ..core.rows import Rows
from .elementwise import Elementwise, kernel
from .starts import begin_step, begin_step_backward


class SRUCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    c_prev: Array
    f: Array
    r: Array
    u: Array
    p: Array


class SRUWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, 4H)."""
    v: Array
    """(2H,)."""
    b: Array
    """(4H,)."""


def forward(
    gates: Array,
    kept: Array,
    cs: Array,
    c_prev: Array,
    weights: SRUWeights,
    rows: Rows,
    begun: Array | None,
) -> None:
    """A block of steps."""
    xp, (_, active, starts), v = namespace(cs), rows, weights.v.reshape(2, 1, -1)
    for t, (f, _, u, _) in enumerate(gates):
        if starts is not None and begun is not None:
            begin_step(c_prev[t], cs[t], begun, starts[t])
        before, c, fr = c_prev[t], cs[t + 1], gates[t, :2]
        fr[...] = sigmoid(fr + v * before)
        xp.subtract(before, u, out=c)
        c *= f
        c += u
        if active is not None:
            xp.copyto(c, before, where=~active[t][:, None])  # past its end a row keeps its state


def outputs(cs: Array, cache: SRUCache) -> Array:
    """Gives y = r * tanh(c) + (1 - r) * p, of all steps."""
    ys: Array = namespace(cs).tanh(cs)
    ys -= cache.p
    ys *= cache.r
    ys += cache.p
    return ys


def backward(
    steps: SRUCache,
    dys: Array,
    dc: Array,
    weights: SRUWeights,
    rows: Rows,
    dbegun: Array | None,
    gradients: SRUWeights,
) -> tuple[Array, Array]:
    """A block of steps, back."""
    _, c_prev, f, r, u, p = steps
    xp, H, (_, active, starts), v = namespace(f), f.shape[2], rows, weights.v
    tanh_c = xp.tanh((c_prev - u) * f + u)
    das = xp.empty((*f.shape[:2], 4 * H), f.dtype)
    da_f, da_r, du, dp = (das[:, :, gate * H : (gate + 1) * H] for gate in range(4))

    # What does not depend on dc, for all the steps: the output, and the slopes.
    da_r[...] = dys * (tanh_c - p) * r * (1 - r)
    dp[...] = dys * (1 - r)
    dcs = dys * r * (1 - tanh_c * tanh_c)
    slope = (c_prev - u) * f * (1 - f)
    for t in reversed(range(len(dcs))):
        to_c = dcs[t] + dc
        if active is not None:
            to_c = xp.where(active[t][:, None], to_c, 0)
        xp.multiply(to_c, slope[t], out=da_f[t])
        xp.multiply(to_c, 1 - f[t], out=du[t])
        before = to_c * f[t] + da_f[t] * v[:H] + da_r[t] * v[H:]
        dc = before if active is None else xp.where(active[t][:, None], before, dc)
        if starts is not None and dbegun is not None:
            begin_step_backward(dc, dbegun, starts[t])
    gradients.v[:H] += (da_f * c_prev).sum(axis=(0, 1))
    gradients.v[H:] += (da_r * c_prev).sum(axis=(0, 1))
    return das, dc


KERNEL = kernel(Elementwise(SRUWeights, SRUCache, 4, 0, forward, backward, outputs))
"""The kernel of an `SRUCell`."""
