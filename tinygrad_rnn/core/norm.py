"""The Euclidean norm of a vector of any finite numbers."""

from __future__ import annotations

import math

import numpy as np

from .arrays import Array, Float, namespace

_SAFE = 1e-20
"""A sum of squares above this is right in float32, too: a square below 1e-38 is rounded there, by 1e-45 at most."""


def norm(vector: Float[Array, " P"]) -> Float[Array, ""]:
    """The Euclidean norm. Where squares overflow or vanish, entries are divided by the largest first.

    That doubles the time, so the CPU does it only where it must. A GPU always does it: to look would be to wait.
    """
    xp = namespace(vector)
    with np.errstate(over="ignore", under="ignore"):
        total = xp.square(vector).sum()
    root: Array = xp.sqrt(total)
    is_safe = (total > _SAFE) & (total < math.inf)
    if xp is np and is_safe:
        return root
    largest = xp.maximum(vector.max(), -vector.min())
    divisor = xp.where((largest > 0) & (largest < math.inf), largest, 1)
    scaled_root: Array = divisor * xp.sqrt(xp.square(vector / divisor).sum())
    return scaled_root if xp is np else xp.where(is_safe, root, scaled_root)
