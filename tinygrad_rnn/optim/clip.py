"""Gradient clippers: callables that change a gradient vector in place and return its norm before that."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.arrays import Array, Float, namespace
from ..core.checks import check_array
from ..core.norm import norm
from .settings import number

Clipper = Callable[[Array], Array]
"""Changes a gradient vector in place and returns its norm before that."""


class ClipValue:
    """Clips each entry to between -`limit` and `limit`.

    Raises:
        TypeError: `limit` is not a number; or, in a call, the gradient is not an array of floats.
        ValueError: `limit` is negative or NaN; or the gradient is not a vector that can be written to.

    References:
        Mikolov, *Statistical Language Models Based on Neural Networks*, 2012.

    Example:
        >>> grad = np.array([3.0, -4.0])
        >>> print(ClipValue(3.5)(grad), grad)
        5.0 [ 3.  -3.5]
    """

    limit: float = number("at least 0", finite=False)

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, grad: Float[Array, " P"]) -> Float[Array, ""]:
        """Clip `grad` in place; returns its norm before that."""
        _check_vector(self, grad)
        before, limit = norm(grad), within(self.limit, grad)
        grad.clip(-limit, limit, out=grad)
        return before

    def __repr__(self) -> str:
        return f"ClipValue({self.limit})"


class ClipNorm:
    """Scales the whole vector down to the norm `max_norm`, if its norm is larger.

    A gradient of norm 0 stays 0; `max_norm` inf never clips. A NaN in any entry makes all entries NaN.

    Raises:
        TypeError: `max_norm` is not a number; or, in a call, the gradient is not an array of floats.
        ValueError: `max_norm` is negative or NaN; or the gradient is not a vector that can be written to.

    References:
        Pascanu, Mikolov and Bengio, *On the Difficulty of Training Recurrent Neural Networks*, 2013.

    Example:
        >>> grad = np.array([3.0, -4.0])
        >>> print(ClipNorm(2.5)(grad), grad)
        5.0 [ 1.5 -2. ]
    """

    max_norm: float = number("at least 0", finite=False)

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    def __call__(self, grad: Float[Array, " P"]) -> Float[Array, ""]:
        """Clip `grad` in place; returns its norm before that."""
        _check_vector(self, grad)
        before = norm(grad)
        if self.max_norm < math.inf:
            limit = within(self.max_norm, grad)
            grad *= limit / namespace(grad).maximum(before, limit or 1.0)  # `or 1.0`: not 0 / 0 where both are 0
        return before

    def __repr__(self) -> str:
        return f"ClipNorm({self.max_norm})"


def within(limit: float, grad: Array) -> float:
    """`limit`, or the largest number of the dtype, above which a float32 would be infinite."""
    return min(limit, float(namespace(grad).finfo(grad.dtype).max))


def _check_vector(clipper: object, grad: Any) -> None:
    check_array(clipper, "grad", grad, None)
    if grad.ndim != 1 or not grad.size:
        raise ValueError(f"{clipper!r}: grad has shape {grad.shape}, but must be a vector (P,), as flat_grad is")
    if not getattr(grad.flags, "writeable", True):  # an array of CuPy always is
        raise ValueError(f"{clipper!r}: grad is read-only, but is to be clipped in place; pass a copy")
