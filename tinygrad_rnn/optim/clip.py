"""Gradient clippers: callables that change a gradient vector in place and return its norm before that."""

from __future__ import annotations

import math

from ..core.arrays import Array, Float, namespace


class ClipValue:
    """Clips each entry to between -`limit` and `limit`.

    Raises:
        ValueError: `limit` is negative or NaN.

    References:
        Mikolov, *Statistical Language Models Based on Neural Networks*, 2012.

    Example:
        >>> grad = np.array([3.0, -4.0])
        >>> print(ClipValue(3.5)(grad), grad)
        5.0 [ 3.  -3.5]
    """

    def __init__(self, limit: float) -> None:
        if not limit >= 0:
            raise ValueError(f"ClipValue: limit must be at least 0, not {limit}")
        self.limit = limit

    def __call__(self, grad: Float[Array, " P"]) -> Float[Array, ""]:
        """Clip `grad` in place; returns its norm before that."""
        before = norm(grad)
        namespace(grad).clip(grad, -self.limit, self.limit, out=grad)
        return before


class ClipNorm:
    """Scales the whole vector down to the norm `max_norm`, if its norm is larger.

    A gradient of norm 0 stays 0; `max_norm` inf never clips. A NaN in any entry makes all entries NaN.

    Raises:
        ValueError: `max_norm` is negative or NaN.

    References:
        Pascanu, Mikolov and Bengio, *On the Difficulty of Training Recurrent Neural Networks*, 2013.

    Example:
        >>> grad = np.array([3.0, -4.0])
        >>> print(ClipNorm(2.5)(grad), grad)
        5.0 [ 1.5 -2. ]
    """

    def __init__(self, max_norm: float) -> None:
        if not max_norm >= 0:
            raise ValueError(f"ClipNorm: max_norm must be at least 0, not {max_norm}")
        self.max_norm = max_norm

    def __call__(self, grad: Float[Array, " P"]) -> Float[Array, ""]:
        """Clip `grad` in place; returns its norm before that."""
        before = norm(grad)
        if self.max_norm < math.inf:
            # `limit or 1.0` gives 0 / 1, not 0 / 0, where both are 0.
            xp = namespace(grad)
            limit = min(self.max_norm, float(xp.finfo(grad.dtype).max))  # above it, a float32 would be inf
            grad *= limit / xp.maximum(before, limit or 1.0)
        return before


def norm(vector: Float[Array, " P"]) -> Float[Array, ""]:
    """The Euclidean norm. Entries are divided by the largest first, so squares neither overflow nor vanish."""
    xp = namespace(vector)
    largest = xp.maximum(vector.max(), -vector.min())
    divisor: Array = xp.where((largest > 0) & (largest < math.inf), largest, 1)
    scaled = vector / divisor
    root: Array = xp.sqrt((scaled * scaled).sum())
    return divisor * root
