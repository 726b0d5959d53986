"""Features of mean 0 and variance 1, by the numbers of the training data; and gaps in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

from ..core.arrays import Array, Float, NDArray, namespace
from ..core.checks import check_cached_array, check_choice, check_features, check_gradient, check_number
from ..core.device import device_of
from ..core.moments import moments
from ..core.roles import Feedforward

S = TypeVar("S", bound="Standardize")


class Standardize(Feedforward):
    r"""Scales each feature to mean 0 and variance 1, with the mean and standard deviation of the training data.

    Forward and backward, with the mean :math:`\mu` and the standard deviation :math:`\sigma` of each feature:

    .. math::
        y = \frac{x - \mu}{\sigma}, \qquad dx = \frac{dy}{\sigma}

    Both are settings, not parameters: `fit` measures them once, they are saved with the model, and no optimizer trains
    them. So a model that begins with this layer takes the numbers as they were measured, in training and at inference.
    The layer computes in the dtype of x.

    A gap is NaN in x. It becomes 0, which is the mean, and has no gradient. With `gaps="mark"` there are D more
    features after the others, 1 where there was a gap and 0 elsewhere, so that the model can tell a gap from a mean.

    Args:
        mean: the mean of each of the D features, a tuple of numbers.
        scale: what each is divided by, numbers above 0.
        gaps: `"refuse"` (NaN is an error), `"zero"`, or `"mark"`.

    There are no parameters. `forward` takes (..., D) and gives (..., D), or with `"mark"` (..., 2 D). The cache is x.

    Raises:
        TypeError: `mean` or `scale` is not a tuple of numbers; in `forward`, x does not hold floating-point numbers.
        ValueError: they differ in length, a number is not finite, or a scale is not above 0; in `forward`, the last
            axis of x is not D, or on the CPU x holds NaN with `"refuse"`.

    Example:
        >>> sequences = [np.array([[20.0, 1.0], [22.0, np.nan]]), np.array([[24.0, 1.0]])]
        >>> layer = Standardize.fit(sequences, gaps="mark")
        >>> layer(sequences[0]).round(2)
        array([[-1.22,  0.  ,  0.  ,  0.  ],
               [ 0.  ,  0.  ,  0.  ,  1.  ]])
    """

    in_size: int
    out_size: int

    def __init__(self, mean: tuple[float, ...], scale: tuple[float, ...], *, gaps: str = "refuse") -> None:
        check_choice("Standardize", "gaps", gaps, "refuse", "zero", "mark")
        self.mean, self.scale, self.gaps = _numbers("mean", mean), _numbers("scale", scale), gaps
        if len(self.mean) != len(self.scale):
            raise ValueError(
                f"Standardize: mean has {len(self.mean)} numbers and scale {len(self.scale)}; give one a feature"
            )
        for i, number in enumerate(self.scale):
            if not number > 0:
                raise ValueError(f"Standardize: scale[{i}] must be above 0, not {number}")
        self.in_size = len(self.mean)
        self.out_size = 2 * self.in_size if gaps == "mark" else self.in_size
        self.takes_gaps = gaps != "refuse"

    @classmethod
    def fit(cls: type[S], sequences: Sequence[NDArray[Any]], *, gaps: str = "refuse") -> S:
        """The layer for such data: the mean and the standard deviation of each feature over all steps.

        A feature that is constant gets the scale 1. Gaps are left out, one sequence is in memory at a time, and sums
        are in float64.

        Args:
            sequences: only the training data, a list of arrays (T_i, D) without padding.
            gaps: as above.

        Raises:
            TypeError: `sequences` is not a list of arrays of floating-point numbers.
            ValueError: a shape does not fit; a number is infinite, or NaN with `"refuse"` (the message says which and
                where); or a feature has only gaps.
        """
        check_choice("Standardize.fit", "gaps", gaps, "refuse", "zero", "mark")
        mean, deviation = moments("Standardize.fit", sequences, gaps=gaps != "refuse")
        return cls(tuple(mean.tolist()), tuple([number or 1.0 for number in deviation.tolist()]), gaps=gaps)

    def forward(self, x: Float[Array, "*lead D"], *, training: bool = True) -> tuple[Float[Array, "*lead H"], Array]:
        check_features(self, "x", x, self.in_size, None)
        xp = namespace(x)
        y: Array = (x - self._as(x, self.mean)) / self._as(x, self.scale)
        gap = x != x
        if not self.takes_gaps:
            if device_of(x).name == "cpu" and gap.any():
                where = tuple(xp.argwhere(gap)[0].tolist())
                raise ValueError(
                    f"{self!r}: x is NaN at index {where}, in feature {where[-1]}. If it is a gap, fit with "
                    'gaps="zero" or gaps="mark"'
                )
            return y, x
        y = xp.where(gap, 0, y)
        return (xp.concatenate((y, gap.astype(x.dtype)), axis=-1) if self.gaps == "mark" else y), x

    def backward(self, dy: Float[Array, "*lead H"], cache: Array) -> Float[Array, "*lead D"]:
        check_cached_array(self, cache)
        x = cache
        check_gradient(self, "dy", dy, (*x.shape[:-1], self.out_size), x)
        dx: Array = dy[..., : self.in_size] / self._as(x, self.scale)
        return namespace(x).where(x != x, 0, dx) if self.takes_gaps else dx

    def inverse(self, y: Float[Array, "*lead D"]) -> Float[Array, "*lead D"]:
        """Converts y (..., D), such as what a model has predicted, back to the original units.

        Raises:
            TypeError: y does not hold floating-point numbers.
            ValueError: the last axis of y is not D.
        """
        check_features(self, "y", y, self.in_size, None)
        x: Array = y * self._as(y, self.scale) + self._as(y, self.mean)
        return x

    def _as(self, x: Array, numbers: tuple[float, ...]) -> Array:
        """`numbers` (D,) with the dtype and on the device of `x`; on a GPU this is a transfer of D numbers."""
        array: Array = device_of(x).asarray(numbers, x.dtype)
        return array


def _numbers(name: str, numbers: Any) -> tuple[float, ...]:
    if not isinstance(numbers, tuple) or not numbers:
        raise TypeError(f"Standardize: {name} must be a tuple of numbers, one a feature, not {numbers!r}")
    found = tuple([check_number("Standardize", f"{name}[{i}]", number) for i, number in enumerate(numbers)])
    for i, number in enumerate(found):
        if not math.isfinite(number):
            raise ValueError(f"Standardize: {name}[{i}] must be finite, not {number}")
    return found
