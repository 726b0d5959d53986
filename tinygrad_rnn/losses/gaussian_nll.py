"""The likelihood of a normal distribution whose variance is predicted, too."""

from __future__ import annotations

import math

from ..core.arrays import Array, Generator, namespace
from ..core.checks import check_number
from ..core.device import device_of
from .distribution_base import DistributionLoss


class GaussianNLL(DistributionLoss):
    r"""Minus the logarithm of a normal density, in nats, whose mean :math:`\mu` and log-variance s are predicted.

    Forward and backward for one target. The least variance :math:`\varepsilon` is added to the predicted one, so that
    the likelihood of a perfect prediction is finite, and s always has a gradient:

    .. math::
        v &= e^s + \varepsilon, \qquad \ell = \tfrac{1}{2} \bigl(\log v + (\mu - t)^2 / v + \log 2 \pi\bigr) \\
        d\ell / d\mu &= (\mu - t) / v, \qquad
        d\ell / ds = \tfrac{1}{2} \, \frac{e^s}{v} \bigl(1 - (\mu - t)^2 / v\bigr)

    Args:
        least_variance: :math:`\varepsilon`, above 0.
        reduction: `"mean"` over the targets that count (0 if none does), `"sum"`, or `"none"`, one loss per target.
        missing: `"nan"`: a target that is NaN is a gap, which does not count; None: NaN propagates.

    `forward` takes predictions (..., 2 D), first all means, then all log-variances, and targets (..., D). With targets
    (T, B, D) it also takes `lengths` (B,): steps past a row's end do not count. `weights` (T, B) are the factors of the
    losses of each step, and the mean is then weighted. A number that does not count, or has weight 0, has neither loss
    nor gradient, whatever it is.

    Raises:
        ValueError: an option is out of range; in `forward`, shapes do not fit, or a weight is below 0.
        TypeError: `least_variance` is not a number; in `forward`, predictions or targets are not floating-point
            numbers, or differ in dtype or device.

    References:
        Nix and Weigend, *Estimating the Mean and Variance of the Target Probability Distribution*, 1994.

    Example:
        >>> criterion = GaussianNLL()
        >>> print(f"{criterion(np.array([[[3.0, 0.0]]]), np.array([[[2.0]]])):.4f}")  # (1 + ln 2 pi) / 2
        1.4189
    """

    outputs_per_target = 2

    def __init__(self, *, least_variance: float = 1e-6, reduction: str = "mean", missing: str | None = None) -> None:
        super().__init__(reduction=reduction, missing=missing)
        self.least_variance = check_number("GaussianNLL", "least_variance", least_variance, 0)
        if not 0 < self.least_variance < math.inf:
            raise ValueError(f"GaussianNLL: least_variance must be finite and above 0, not {self.least_variance}")

    def _losses(self, ys: Array, targets: Array) -> Array:
        error, log_v = ys[..., 0, :] - targets, self._log_variance(ys)
        losses: Array = 0.5 * (log_v + error * error * namespace(ys).exp(-log_v) + math.log(2 * math.pi))
        return losses

    def _slopes(self, ys: Array, targets: Array) -> Array:
        xp, error, log_v = namespace(ys), ys[..., 0, :] - targets, self._log_variance(ys)
        slopes: Array = xp.empty_like(ys)
        slopes[..., 0, :] = error * xp.exp(-log_v)
        slopes[..., 1, :] = 0.5 * xp.exp(ys[..., 1, :] - log_v) * (1 - error * slopes[..., 0, :])
        return slopes

    def _mean(self, ys: Array) -> Array:
        return ys[..., 0, :]

    def _sample(self, ys: Array, rng: Generator) -> Array:
        mean = ys[..., 0, :]
        drawn = device_of(ys).asarray(rng.standard_normal(mean.shape)).astype(ys.dtype)
        sample: Array = mean + namespace(ys).exp(0.5 * self._log_variance(ys)) * drawn
        return sample

    def _log_variance(self, ys: Array) -> Array:
        """`log(exp(s) + least_variance)`, which does not overflow; `ys` is (..., 2, D)."""
        log_v: Array = namespace(ys).logaddexp(ys[..., 1, :], math.log(self.least_variance))
        return log_v
