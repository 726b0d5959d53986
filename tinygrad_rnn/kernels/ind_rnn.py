"""The independent recurrent network over a whole sequence: `kernels.elementwise`, with one gate, which becomes h."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from ..core.arrays import Array, namespace
from ..core.rows import Rows
from .elementwise import Elementwise, kernel
from .kernel import Kernel
from .starts import begin_step, begin_step_backward


class IndRNNCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    h: Array


class IndRNNWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, H)."""
    u: Array
    """(H,)."""
    b: Array
    """(H,)."""


def forward(
    nonlinearity: str,
    gates: Array,
    kept: Array,
    hs: Array,
    h_prev: Array,
    weights: IndRNNWeights,
    rows: Rows,
    begun: Array | None,
) -> None:
    """A block of steps; `nonlinearity` is "tanh" or "relu"."""
    xp, (_, active, starts) = namespace(hs), rows
    for t, h in enumerate(gates[:, 0]):
        if starts is not None and begun is not None:
            begin_step(h_prev[t], hs[t], begun, starts[t])
        h += weights.u * h_prev[t]
        if nonlinearity == "tanh":
            xp.tanh(h, out=h)
        else:
            xp.maximum(h, 0, out=h)
        if active is not None:
            xp.copyto(h, h_prev[t], where=~active[t][:, None])  # past its end a row keeps its state
        hs[t + 1] = h


def backward(
    nonlinearity: str,
    steps: IndRNNCache,
    dys: Array,
    dh: Array,
    weights: IndRNNWeights,
    rows: Rows,
    dbegun: Array | None,
    gradients: IndRNNWeights,
) -> tuple[Array, Array]:
    """A block of steps, back."""
    _, h_prev, h = steps
    xp, (_, active, starts) = namespace(h), rows
    das = 1 - h * h if nonlinearity == "tanh" else (h > 0).astype(h.dtype)
    for t in reversed(range(len(das))):
        da, to_h = das[t], dys[t] + dh
        if active is not None:
            to_h = xp.where(active[t][:, None], to_h, 0)
        da *= to_h
        if active is None:
            xp.multiply(da, weights.u, out=dh)
        else:
            xp.copyto(dh, da * weights.u, where=active[t][:, None])  # through a row that has ended, dh goes straight
        if starts is not None and dbegun is not None:
            begin_step_backward(dh, dbegun, starts[t])
    gradients.u[...] += (das * h_prev).sum(axis=(0, 1))
    return das, dh


def _kernel(nonlinearity: str) -> Kernel:
    own = partial(forward, nonlinearity), partial(backward, nonlinearity)
    return kernel(Elementwise(IndRNNWeights, IndRNNCache, 1, 0, *own))


TANH, RELU = _kernel("tanh"), _kernel("relu")
"""The kernels of an `IndRNNCell`."""
