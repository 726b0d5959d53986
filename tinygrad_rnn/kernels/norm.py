"""The norm of a vector, such as that of all gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..arrays import Array, Float, namespace

BLOCK = 1 << 12
"""Numbers whose squares are summed up in float32, so few that the sum is right to 1e-5; these sums are in float64."""


def norm(vector: Float[Array, " P"]) -> Float[Array, ""]:
    """The Euclidean norm, where squares can neither overflow nor vanish: entries are divided by the largest first.

    On the CPU they are divided only if their squares do either: to square them at once takes a sixth of the time, and
    no memory.
    """
    xp = namespace(vector)
    if xp is np:
        with np.errstate(over="ignore", under="ignore"):
            total = sum(float(np.dot(block, block)) for block in _blocks(vector))
        if 1e16 * float(np.finfo(vector.dtype).tiny) < total < math.inf:  # too much for what vanished to tell
            whole: Array = np.asarray(math.sqrt(total), vector.dtype)[()]
            return whole
    largest = xp.maximum(vector.max(), -vector.min())
    divisor: Array = xp.where((largest > 0) & (largest < math.inf), largest, 1)
    scaled = vector / divisor
    root: Array = xp.sqrt((scaled * scaled).sum())
    return divisor * root


def _blocks(vector: Array) -> Iterator[Array]:
    return (vector[start : start + BLOCK] for start in range(0, len(vector), BLOCK))
