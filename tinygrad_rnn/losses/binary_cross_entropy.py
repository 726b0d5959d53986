"""Cross-entropy of a sigmoid, the loss of binary classification."""

from __future__ import annotations

from ..core.arrays import Array, namespace, sigmoid
from ..core.checks import check_fractions
from .elementwise import ElementwiseLoss


class BinaryCrossEntropy(ElementwiseLoss):
    r"""Cross-entropy of the targets with the sigmoid of the logits, in nats, separately for each feature.

    Forward and backward for one number, in a form that never overflows; :math:`t` is the target probability of 1:

    .. math::
        p &= \sigma(y) = \tfrac{1}{2} \tanh \tfrac{y}{2} + \tfrac{1}{2} \\
        \ell &= -t \log p - (1 - t) \log (1 - p) = \max(y, 0) - y t + \log(1 + e^{-|y|}) \\
        d\ell / dy &= p - t

    Args:
        reduction: `"mean"` over the numbers that count (0 if none does), `"sum"`, or `"none"`, one loss per number.

    `forward` takes logits, before any sigmoid, and targets of the same shape and dtype, usually (T, B, D). With this
    shape it also takes `lengths` (B,): steps past a row's end do not count. They have neither loss nor gradient,
    whatever they hold.

    Raises:
        ValueError: `reduction` is none of these; in `forward`, shapes do not fit, or a target is outside 0 to 1 (which
            is checked only on the CPU).
        TypeError: in `forward`, logits or targets are not floating-point numbers, or differ in dtype or device.

    References:
        Cox, *The Regression Analysis of Binary Sequences*, 1958.

    Example:
        >>> criterion = BinaryCrossEntropy()
        >>> print(f"{criterion(np.zeros((2, 1, 3)), np.ones((2, 1, 3))):.6f}")  # ln 2
        0.693147
    """

    def _losses(self, ys: Array, targets: Array) -> Array:
        check_fractions(self, "targets", targets)
        xp = namespace(ys)
        losses: Array = xp.maximum(ys, 0) - ys * targets + xp.log1p(xp.exp(-abs(ys)))
        return losses

    def _slopes(self, ys: Array, targets: Array) -> Array:
        p: Array = sigmoid(ys)
        return p - targets
