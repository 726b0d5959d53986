"""Huber's loss, squared near the target and absolute further away."""

from __future__ import annotations

from ..core.arrays import Array, namespace
from ..core.checks import check_number
from .elementwise_base import ElementwiseLoss


class Huber(ElementwiseLoss):
    r"""Half the squared error up to :math:`\delta`, and beyond it a straight line, so that outliers do not dominate.

    Forward and backward for one number:

    .. math::
        m &= \min(|y - t|, \delta) \\
        \ell &= m \, (|y - t| - m / 2), \qquad d\ell / dy = m \operatorname{sign}(y - t)

    Args:
        delta: :math:`\delta`, above 0: the size of an error at which the straight line begins.
        reduction: `"mean"` over the numbers that count (0 if none does), `"sum"`, or `"none"`, one loss per number.
        missing: `"nan"`: a target that is NaN is a gap, which does not count; None: NaN propagates.

    `forward` takes predictions and targets of the same shape and dtype, usually (T, B, D). With this shape it also
    takes `lengths` (B,): steps past a row's end do not count. `weights` (T, B) are the factors of the losses of each
    step, and the mean is then weighted. A number that does not count, or has weight 0, has neither loss nor gradient,
    whatever it is.

    Raises:
        ValueError: an option is out of range; in `forward`, shapes do not fit, or a weight is below 0.
        TypeError: `delta` is not a number; in `forward`, predictions or targets are not floating-point numbers, or
            differ in dtype or device.

    References:
        Huber, *Robust Estimation of a Location Parameter*, 1964.

    Example:
        >>> criterion = Huber()
        >>> print(criterion(np.array([[[1.0, 5.0]]]), np.array([[[0.0, 2.0]]])))  # (1/2 + 5/2) / 2
        1.5
    """

    def __init__(self, delta: float = 1.0, *, reduction: str = "mean", missing: str | None = None) -> None:
        super().__init__(reduction=reduction, missing=missing)
        self.delta = check_number("Huber", "delta", delta, 0)
        if self.delta == 0:
            raise ValueError("Huber: delta must be above 0, not 0.0")

    def _losses(self, ys: Array, targets: Array) -> Array:
        size = abs(ys - targets)
        m: Array = namespace(ys).minimum(size, self.delta)
        return m * (size - 0.5 * m)

    def _slopes(self, ys: Array, targets: Array) -> Array:
        slopes: Array = namespace(ys).clip(ys - targets, -self.delta, self.delta)
        return slopes
