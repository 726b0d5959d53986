"""Cross-entropy of a sigmoid, the loss of binary classification."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

from ..core.arguments import check_numbers
from ..core.arrays import Array, namespace, sigmoid
from ..core.checks import check_fractions
from ..core.constant import Constant
from .elementwise_base import ElementwiseLoss


class BinaryCrossEntropy(ElementwiseLoss):
    r"""Cross-entropy of the targets with the sigmoid of the logits, in nats, separately for each feature.

    Forward and backward for one number, in a form that never overflows; :math:`t` is the target probability of 1:

    .. math::
        p &= \sigma(y) = \tfrac{1}{2} \tanh \tfrac{y}{2} + \tfrac{1}{2} \\
        \ell &= -t \log p - (1 - t) \log (1 - p) = \max(y, 0) - y t + \log(1 + e^{-|y|}) \\
        d\ell / dy &= p - t

    With `pos_weight` :math:`w`, the first term of :math:`\ell` is :math:`-w t \log p`, and
    :math:`d\ell / dy = p - t - (w - 1) t (1 - p)`.

    Args:
        reduction: `"mean"` over the numbers that count (0 if none does), `"sum"`, or `"none"`, one loss per number.
        missing: `"nan"`: a target that is NaN is a gap, which does not count; None: NaN propagates.
        pos_weight: :math:`w`, how many negatives a positive is worth: a number, or one for each feature (D,). Where one
            target in ten is 1, 9 makes both kinds count the same. `to` moves it. It does not change the divisor of the
            mean.

    `forward` takes logits, before any sigmoid, and targets of the same shape and dtype, usually (T, B, D). With this
    shape it also takes `lengths` (B,): steps past a row's end do not count. `weights` (T, B) are the factors of the
    losses of each step, and the mean is then weighted. A number that does not count, or has weight 0, has neither loss
    nor gradient, whatever it is.

    Raises:
        ValueError: an option is out of range; in `forward`, shapes do not fit, a weight is below 0, or a target is
            outside 0 to 1 (which is checked only on the CPU).
        TypeError: `pos_weight` is not made of numbers; in `forward`, logits or targets are not floating-point numbers,
            or differ in dtype or device.

    References:
        Cox, *The Regression Analysis of Binary Sequences*, 1958.

    Example:
        >>> criterion = BinaryCrossEntropy()
        >>> print(f"{criterion(np.zeros((2, 1, 3)), np.ones((2, 1, 3))):.6f}")  # ln 2
        0.693147
    """

    def __init__(
        self,
        *,
        reduction: str = "mean",
        missing: str | None = None,
        pos_weight: float | Sequence[float] | Array | None = None,
    ) -> None:
        super().__init__(reduction=reduction, missing=missing)
        given: Any = pos_weight
        self.pos_weight: float | tuple[float, ...] | None = None
        self._pos_weight: Constant | None = None
        if isinstance(given, Real):
            (self.pos_weight,) = check_numbers("BinaryCrossEntropy", "pos_weight", [given], 0)
        elif given is not None:
            self.pos_weight = check_numbers("BinaryCrossEntropy", "pos_weight", given, 0)
            self._pos_weight = Constant(self.pos_weight)

    def _losses(self, ys: Array, targets: Array) -> Array:
        check_fractions(self, "targets", targets)
        xp = namespace(ys)
        tail = xp.log1p(xp.exp(-abs(ys)))
        losses: Array = xp.maximum(ys, 0) - ys * targets + tail
        if self.pos_weight is not None:
            losses += (self._weight(ys) - 1) * targets * (xp.maximum(-ys, 0) + tail)
        return losses

    def _slopes(self, ys: Array, targets: Array) -> Array:
        p: Array = sigmoid(ys)
        slopes = p - targets
        if self.pos_weight is not None:
            slopes -= (self._weight(ys) - 1) * targets * (1 - p)
        return slopes

    def _weight(self, ys: Array) -> Any:
        """`pos_weight` as a number, or as an array (D,) like `ys`."""
        if self._pos_weight is None:
            return self.pos_weight
        weight = self._pos_weight.like(self, "pos_weight", ys)
        if weight.shape != ys.shape[-1:]:
            raise ValueError(f"{self!r}: pos_weight has {weight.size} entries, but ys has shape {ys.shape}")
        return weight
