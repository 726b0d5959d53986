"""A step of an optimizer in two operations: one looks at the gradient, and one changes everything by it.

The first finds the norm, and whether the gradient may reach the weights; the second clips the gradient, lets the
weights decay, and updates them and the optimizer state, or does nothing. So no number goes to the host.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import cupy
import numpy as np

from ...core.arrays import Array, Booleans
from .cross_entropy import counter
from .products import address_of
from .sources import VERDICT, text

THREADS, BLOCKS = 256, 512
MODES = {"propagate": 0, "refuse": 1, "skip": 2}
UPDATES = {
    "sgd": ("", "w -= rate * g;"),
    "momentum": ("v", "v = v * a + g; w -= rate * v;"),
    "nesterov": ("v", "v = v * a + g; w -= rate * (g + a * v);"),
    "adagrad": ("s", "s += g * g; w -= rate * (g / (sqrt(s) + eps));"),
    "rmsprop": ("s", "s = s * a + g * g; w -= rate * (g / (sqrt(s) + eps));"),
    "adam": ("m s", "m = m * a + g; s = s * b + g * g; w -= rate * (m / (sqrt(s) + eps));"),
}
"""The optimizer state and the update of a weight w with the gradient g, as in the `_update` of each optimizer."""


def examine(grad: Array, tallies: Sequence[Any], nonfinite: str, max_norm: float) -> tuple[Array, Array]:
    """The norm of `grad` (P,), NaN where it does not pass; and (2,), the factor of `ClipNorm`, and 1 where it passes.

    Args:
        grad: the gradient, without gaps.
        tallies: arrays () of int64 that are counted up: the first entry that was not finite, or -1; how many updates
            were stopped since; how many were skipped.
        nonfinite: as in the optimizers.
        max_norm: of `ClipNorm`; infinite if there is none.
    """
    norm, factor = cupy.empty(3, grad.dtype)[:1].reshape(()), cupy.empty(2, grad.dtype)
    blocks = max(min(-(-grad.size // (4 * THREADS)), BLOCKS), 1)
    verdict = np.array((*map(address_of, (norm, factor, *tallies)), max_norm, grad.size, MODES[nonfinite]), VERDICT)[()]
    device = cupy.cuda.Device().id
    arrived = counter(device, cupy.cuda.get_current_stream().ptr)
    scales, squares, odds = cupy.empty((3, blocks))
    kernel = _examine(grad.dtype.name, device)
    kernel((blocks,), (THREADS,), (grad, verdict, scales, squares, odds, cupy.empty(blocks, np.int64), arrived))
    return norm, factor


def update(
    name: str,
    numbers: dict[str, float],
    value: Array,
    grad: Array,
    state: Sequence[Array],
    factor: Array,
    *,
    limit: float,
    decays: Booleans | bool,
    keeps: float,
) -> None:
    """Change all in place, if the gradient passes; else set it to 0.

    Args:
        name: one of `UPDATES`.
        numbers: the rate and others of that update.
        value: weights (P,).
        grad: their gradient.
        state: the optimizer state.
        factor: what `examine` gave.
        limit: of `ClipValue`; infinite if there is none.
        decays: which weights are multiplied by `keeps`.
        keeps: what remains of a weight that decays.
    """
    given = (numbers.get(number, 0.0) for number in ("rate", "eps", "a", "b"))
    _update(name)(factor, decays, keeps, limit, *given, value, grad, *state)


@functools.cache
def _examine(dtype: str, device: int) -> Any:
    """Compiled for the current device, once."""
    return cupy.RawModule(code=text(dtype, "sums", "examine")).get_function("examine")


@functools.cache
def _update(name: str) -> Any:
    state, change = UPDATES[name]
    return cupy.ElementwiseKernel(
        "raw T factor, bool decays, T keeps, T limit, T rate, T eps, T a, T b",
        ", ".join(f"T {array}" for array in ("w", "g", *state.split())),
        f"""
        if (factor[1] == 0) {{
            g = 0;
        }} else {{
            g *= factor[0];
            g = g < -limit ? -limit : g > limit ? limit : g;
            w = decays ? w * keeps : w;
            {change}
        }}
        """,
        f"update_{name}",
    )
