"""The minimal LSTM over a whole sequence: `kernels.elementwise`, with f, i and n, and the linear recurrence."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from ..core.arrays import Array, namespace
from ..core.rows import Rows
from .backends import backend
from .candidates import CANDIDATES, candidate, through_candidate
from .elementwise import Elementwise, kernel


class MinLSTMCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    f: Array
    i: Array
    n: Array
    k: Array
    """The share of the candidate: i / (f + i)."""


class MinLSTMWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, 3H)."""
    b: Array
    """(3H,)."""


def share(a_f: Array, a_i: Array) -> tuple[Array, Array, Array]:
    """Gives f = sigmoid(a_f), i = sigmoid(a_i) and k = i / (f + i).

    Without this division, for f + i is 0 in float32 where both sums are below -104: the logarithm of i / f is
    log(1 + e^-a_f) - log(1 + e^-a_i), and k its sigmoid.
    """
    xp = namespace(a_f)
    f, minus_log_f = _logistic(a_f)
    i, minus_log_i = _logistic(a_i)
    k = 0.5 * xp.tanh(0.5 * (minus_log_f - minus_log_i)) + 0.5
    return f, i, k


def _logistic(a: Array) -> tuple[Array, Array]:
    """sigmoid(a) and log(1 + e^-a), the negative of its logarithm, both without overflow."""
    xp = namespace(a)
    tail = xp.exp(-abs(a))
    return xp.where(a >= 0, 1, tail) / (1 + tail), xp.log1p(tail) - xp.minimum(a, 0)


def forward(
    name: str,
    gates: Array,
    kept: Array,
    hs: Array,
    h_prev: Array,
    weights: MinLSTMWeights,
    rows: Rows,
    begun: Array | None,
) -> None:
    """A block of steps; `name` is that of the candidate's nonlinearity."""
    f, i, n, k = *(gates[:, gate] for gate in range(3)), kept[:, 0]
    f[...], i[...], k[...] = share(f, i)
    if name != "linear":
        n[...] = candidate(name, n)
    backend(hs).linear_forward_steps(1 - k, k * n, hs, h_prev, rows, begun)


def backward(
    name: str,
    steps: MinLSTMCache,
    dys: Array,
    dh: Array,
    weights: MinLSTMWeights,
    rows: Rows,
    dbegun: Array | None,
    gradients: MinLSTMWeights,
) -> tuple[Array, Array]:
    """A block of steps, back."""
    _, h_prev, f, i, n, k = steps
    H, forget, dhs = k.shape[2], 1 - k, dys.copy()
    dh = backend(k).linear_backward_steps(forget, dhs, dh, rows, dbegun)
    das = namespace(k).empty((*dys.shape[:2], 3 * H), dys.dtype)
    dn = dhs * k
    dlog = dn * (n - h_prev) * forget  # w.r.t. the logarithm of i / f
    das[:, :, :H] = dlog * (f - 1)
    das[:, :, H : 2 * H] = dlog * (1 - i)
    das[:, :, 2 * H :] = through_candidate(name, dn, n)
    return das, dh


KERNELS = {
    name: kernel(Elementwise(MinLSTMWeights, MinLSTMCache, 3, 1, partial(forward, name), partial(backward, name)))
    for name in CANDIDATES
}
"""The kernel of a `MinLSTMCell`, by the nonlinearity of its candidate."""
