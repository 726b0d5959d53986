"""The squared error, the loss of a regression."""

from __future__ import annotations

from ..core.arrays import Array
from .elementwise_base import ElementwiseLoss


class MeanSquaredError(ElementwiseLoss):
    r"""The squared difference of predictions and targets.

    Forward and backward for one number:

    .. math::
        \ell = (y - t)^2, \qquad d\ell / dy = 2 (y - t)

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
        Gauss, *Theoria Motus*, 1809.

    Example:
        >>> criterion = MeanSquaredError()
        >>> print(criterion(np.array([[[1.0, 5.0]]]), np.array([[[0.0, 2.0]]])))  # (1 + 9) / 2
        5.0
    """

    def _losses(self, ys: Array, targets: Array) -> Array:
        d = ys - targets
        return d * d

    def _slopes(self, ys: Array, targets: Array) -> Array:
        return 2 * (ys - targets)
