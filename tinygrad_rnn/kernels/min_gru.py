"""The minimal GRU over a whole sequence: `kernels.elementwise`, with the gates z and n, and the linear recurrence."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from ..core.arrays import Array, namespace
from ..core.rows import Rows
from .backends import backend
from .candidates import CANDIDATES, candidate, through_candidate
from .elementwise import Elementwise, kernel


class MinGRUCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    z: Array
    n: Array


class MinGRUWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, 2H)."""
    b: Array
    """(2H,)."""


def forward(
    name: str,
    gates: Array,
    kept: Array,
    hs: Array,
    h_prev: Array,
    weights: MinGRUWeights,
    rows: Rows,
    begun: Array | None,
) -> None:
    """A block of steps; `name` is that of the candidate's nonlinearity."""
    xp, z, n = namespace(hs), gates[:, 0], gates[:, 1]
    z *= 0.5  # sigmoid(a) = 0.5 tanh(0.5 a) + 0.5
    xp.tanh(z, out=z)
    z *= 0.5
    z += 0.5
    if name != "linear":
        n[...] = candidate(name, n)
    backend(hs).linear_forward_steps(1 - z, z * n, hs, h_prev, rows, begun)


def backward(
    name: str,
    steps: MinGRUCache,
    dys: Array,
    dh: Array,
    weights: MinGRUWeights,
    rows: Rows,
    dbegun: Array | None,
    gradients: MinGRUWeights,
) -> tuple[Array, Array]:
    """A block of steps, back."""
    _, h_prev, z, n = steps
    xp, H = namespace(z), z.shape[2]
    forget, dhs = 1 - z, dys.copy()
    dh = backend(z).linear_backward_steps(forget, dhs, dh, rows, dbegun)
    das = xp.empty((*dys.shape[:2], 2 * H), dys.dtype)
    dn, da_z = dhs * z, das[:, :, :H]
    xp.subtract(n, h_prev, out=da_z)
    da_z *= dn
    da_z *= forget
    das[:, :, H:] = through_candidate(name, dn, n)
    return das, dh


KERNELS = {
    name: kernel(Elementwise(MinGRUWeights, MinGRUCache, 2, 0, partial(forward, name), partial(backward, name)))
    for name in CANDIDATES
}
"""The kernel of a `MinGRUCell`, by the nonlinearity of its candidate."""
