"""Metrics of numbers."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from ...core.arrays import Array, Float, Integer, Integers, namespace
from ...core.checks import check_array, check_device, check_features
from ...core.device import on_host
from .base import Mean, Metric, row_weights


class _MeanError(Mean):
    """The mean of an error of each number."""

    def update(
        self,
        ys: Float[Array, "*lead D"],
        targets: Float[Array, "*lead D"],
        *,
        lengths: Integer[Integers, " B"] | None = None,
        weights: Any = None,
    ) -> None:
        ys, targets, weights = _number_rows(self, ys, targets, lengths, weights)
        self._add(self._errors(ys - targets).mean(axis=-1), weights)

    @abstractmethod
    def _errors(self, differences: Array) -> Array:
        """The error of each number."""


class AbsoluteError(_MeanError):
    """The mean of the absolute errors of all numbers.

    `update` takes predictions and targets, both (..., D).

    Example:
        >>> error = metrics.AbsoluteError()
        >>> error.update(np.array([[1.0], [2.0]]), np.array([[1.0], [5.0]]))
        >>> error.value()
        1.5
    """

    def _errors(self, differences: Array) -> Array:
        return abs(differences)


class SquaredError(_MeanError):
    """The mean of the squared errors of all numbers.

    `update` takes predictions and targets, both (..., D).

    Example:
        >>> error = metrics.SquaredError()
        >>> error.update(np.array([[1.0], [2.0]]), np.array([[1.0], [5.0]]))
        >>> error.value()
        4.5
    """

    def _errors(self, differences: Array) -> Array:
        return differences * differences


class R2(Metric):
    r"""The share of the variance of the targets that the predictions explain, the mean over the features.

    .. math:: R^2 = 1 - \frac{\sum w (y - t)^2}{\sum w (t - \bar t)^2}

    1 is perfect, 0 as good as always predicting the mean of the targets. For a feature whose targets are all equal it
    is 1 if the predictions are right, else 0. Means and squared deviations of batches are joined, so that targets far
    from 0 lose no digits.

    `update` takes predictions and targets, both (..., D).

    References:
        Chan, Golub and LeVeque, *Updating Formulae and a Pairwise Algorithm for Computing Sample Variances*, 1979.

    Example:
        >>> r2 = metrics.R2()
        >>> r2.update(np.array([[1.0], [2.0]]), np.array([[1.0], [2.5]]))
        >>> r2.update(np.array([[3.5]]), np.array([[4.0]]))
        >>> round(r2.value(), 3)
        0.889
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._count: Any = 0.0  # the sum of the weights
        self._mean: Any = 0.0  # of the targets (D,)
        self._spread: Any = 0.0  # the sum of their squared deviations from it (D,)
        self._errors: Any = 0.0  # the sum of the squared errors (D,)

    def update(
        self,
        ys: Float[Array, "*lead D"],
        targets: Float[Array, "*lead D"],
        *,
        lengths: Integer[Integers, " B"] | None = None,
        weights: Any = None,
    ) -> None:
        ys, targets, weights = _number_rows(self, ys, targets, lengths, weights)
        xp = namespace(ys)
        count, w = weights.sum(), weights[:, None]
        mean = (w * targets).sum(axis=0) / xp.where(count > 0, count, 1)
        spread = (w * (targets - mean) ** 2).sum(axis=0)
        total = self._count + count
        share, apart = count / xp.where(total > 0, total, 1), mean - self._mean
        self._spread = self._spread + spread + apart**2 * (self._count * share)
        self._mean = self._mean + apart * share
        self._count = total
        self._errors = self._errors + (w * (ys - targets) ** 2).sum(axis=0)

    def value(self) -> float:
        if not on_host(self._count) > 0:
            return math.nan
        spread, errors = on_host(self._spread), on_host(self._errors)
        unexplained = np.divide(errors, spread, out=np.where(errors > 0, 1.0, 0.0), where=spread != 0)
        return float(1 - unexplained.mean())


def _number_rows(owner: Metric, ys: Any, targets: Any, lengths: Any, weights: Any) -> tuple[Array, Array, Array]:
    """Predictions and targets (N, D), 0 where the weight is 0, and the weights (N,), all in float64.

    Raises:
        ValueError: shapes do not fit, or a length or weight is outside its range.
        TypeError: an array has the wrong kind of dtype, or is on another device.
    """
    check_features(owner, "ys", ys, None, None)
    check_array(owner, "targets", targets, None)
    check_device(owner, "targets", targets, ys)
    if targets.shape != ys.shape:
        raise ValueError(f"{owner!r}: targets has shape {targets.shape}, but ys {ys.shape}; they must be the same")
    kept = row_weights(owner, ys, lengths, weights)
    xp, D = namespace(ys), ys.shape[-1]
    ys, targets = (xp.where(kept[..., None] > 0, a.astype(xp.float64), 0).reshape(-1, D) for a in (ys, targets))
    return ys, targets, kept.reshape(-1)
