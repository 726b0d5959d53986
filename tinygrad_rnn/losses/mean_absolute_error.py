"""The absolute error, the loss of a regression that is not to follow outliers."""

from __future__ import annotations

from ..core.arrays import Array, namespace
from .elementwise_base import ElementwiseLoss


class MeanAbsoluteError(ElementwiseLoss):
    r"""The absolute difference of predictions and targets. Its best constant prediction is the median.

    Forward and backward for one number; at :math:`y = t` the slope is 0:

    .. math::
        \ell = |y - t|, \qquad d\ell / dy = \operatorname{sign}(y - t)

    Args:
        reduction: `"mean"` over the numbers that count (0 if none does), `"sum"`, or `"none"`, one loss per number.
        missing: `"nan"`: a target that is NaN is a gap, which does not count; None: NaN propagates.

    `forward` takes predictions and targets of the same shape and dtype, usually (T, B, D). With this shape it also
    takes `lengths` (B,): steps past a row's end do not count. `weights` (T, B) are the factors of the losses of each
    step, and the mean is then weighted. A number that does not count, or has weight 0, has neither loss nor gradient,
    whatever it is.

    Raises:
        ValueError: an option is none of these; in `forward`, shapes do not fit, or a weight is below 0.
        TypeError: in `forward`, predictions or targets are not floating-point numbers, or differ in dtype or device.

    References:
        Boscovich, 1757; Laplace, *Sur quelques points du système du monde*, 1789.

    Example:
        >>> criterion = MeanAbsoluteError()
        >>> print(criterion(np.array([[[1.0, 5.0]]]), np.array([[[0.0, 2.0]]])))  # (1 + 3) / 2
        2.0
    """

    def _losses(self, ys: Array, targets: Array) -> Array:
        return abs(ys - targets)

    def _slopes(self, ys: Array, targets: Array) -> Array:
        slopes: Array = namespace(ys).sign(ys - targets)
        return slopes
