"""The loss of quantiles, whose best predictions are the quantiles of the targets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..core.arguments import check_numbers
from ..core.arrays import Array, Generator, namespace
from ..core.device import device_of
from .distribution_base import DistributionLoss


class Quantile(DistributionLoss):
    r"""The mean of the tilted absolute errors of several quantiles of each target, for bands around a forecast.

    Forward and backward for one target, of which :math:`y_k` is to be the quantile :math:`q_k` of K; at
    :math:`y_k = t` the slope is the mean of those on both sides:

    .. math::
        \ell &= \frac{1}{K} \sum_k \max\bigl((1 - q_k) (y_k - t), \; q_k (t - y_k)\bigr) \\
        d\ell / dy_k &= \frac{1}{K} \bigl(\tfrac{1}{2} \operatorname{sign}(y_k - t) + \tfrac{1}{2} - q_k\bigr)

    Args:
        quantiles: :math:`q_k`, between 0 and 1, each above the one before.
        reduction: `"mean"` over the targets that count (0 if none does), `"sum"`, or `"none"`, one loss per target.
        missing: `"nan"`: a target that is NaN is a gap, which does not count; None: NaN propagates.

    `forward` takes predictions (..., K D), all D of the first quantile, then those of the next, and targets (..., D).
    With targets (T, B, D) it also takes `lengths` (B,): steps past a row's end do not count. `weights` (T, B) are the
    factors of the losses of each step, and the mean is then weighted. A number that does not count, or has weight 0,
    has neither loss nor gradient, whatever it is.

    `mean` and `sample` take the distribution whose quantiles are straight lines between those that are predicted. They
    give nothing outside of the outermost two, so the tails are cut off.

    Raises:
        ValueError: an option is out of range; in `forward`, shapes do not fit, or a weight is below 0.
        TypeError: `quantiles` are not numbers; in `forward`, predictions or targets are not floating-point numbers, or
            differ in dtype or device.

    References:
        Koenker and Bassett, *Regression Quantiles*, 1978.

    Example:
        >>> criterion = Quantile((0.1, 0.9))
        >>> print(f"{criterion(np.array([[[1.0, 4.0]]]), np.array([[[2.0]]])):.4f}")  # (0.1 * 1 + 0.1 * 2) / 2
        0.1500
    """

    def __init__(
        self,
        quantiles: Sequence[float] | Array = (0.1, 0.5, 0.9),
        *,
        reduction: str = "mean",
        missing: str | None = None,
    ) -> None:
        super().__init__(reduction=reduction, missing=missing)
        self.quantiles = check_numbers("Quantile", "quantiles", quantiles)
        if not all(low < high for low, high in pairwise((0.0, *self.quantiles, 1.0))):
            raise ValueError(
                f"Quantile: quantiles must be between 0 and 1, each above the one before, not {quantiles!r}"
            )
        self.outputs_per_target = len(self.quantiles)

    def _losses(self, ys: Array, targets: Array) -> Array:
        losses: Array = namespace(ys).zeros_like(targets)
        for k, q in enumerate(self.quantiles):
            over = ys[..., k, :] - targets
            losses += namespace(ys).maximum((1 - q) * over, -q * over)
        return losses / len(self.quantiles)

    def _slopes(self, ys: Array, targets: Array) -> Array:
        slopes: Array = 0.5 * namespace(ys).sign(ys - targets[..., None, :]) + 0.5
        for k, q in enumerate(self.quantiles):
            slopes[..., k, :] -= q
        return slopes / len(self.quantiles)

    def _mean(self, ys: Array) -> Array:
        values = namespace(ys).sort(ys, axis=-2)  # predictions may cross
        mean: Array = namespace(ys).zeros_like(values[..., 0, :])
        bounds = (0.0, *((low + high) / 2 for low, high in pairwise(self.quantiles)), 1.0)
        for k, (low, high) in enumerate(pairwise(bounds)):
            mean += (high - low) * values[..., k, :]
        return mean

    def _sample(self, ys: Array, rng: Generator) -> Array:
        xp = namespace(ys)
        values = xp.sort(ys, axis=-2)
        sample: Array = values[..., 0, :]
        drawn = device_of(ys).asarray(rng.random(sample.shape)).astype(ys.dtype)
        for k, (low, high) in enumerate(pairwise(self.quantiles)):
            share = xp.clip((drawn - low) / (high - low), 0, 1)
            sample = sample + share * (values[..., k + 1, :] - values[..., k, :])
        return sample
