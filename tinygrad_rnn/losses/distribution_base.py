"""The base class of losses whose predictions describe a distribution for each target."""

from __future__ import annotations

from abc import abstractmethod

from ..core.arrays import Array, Float, Generator
from ..core.checks import check_features, check_rng
from .elementwise_base import ElementwiseLoss


class DistributionLoss(ElementwiseLoss):
    """A loss with K predictions for each target: `ys` (..., K D), all D of the first kind, then those of the next.

    A subclass sets `outputs_per_target`, K, and gets `ys` as (..., K, D).
    """

    def mean(self, ys: Float[Array, "*lead KD"]) -> Float[Array, "*lead D"]:
        """The mean of each target's distribution.

        Raises:
            ValueError: the last axis of `ys` is not K D long.
            TypeError: `ys` is not an array of floats.
        """
        check_features(self, "ys", ys, None, None)
        return self._mean(self._split(ys))

    def sample(self, ys: Float[Array, "*lead KD"], rng: Generator) -> Float[Array, "*lead D"]:
        """A number from each target's distribution. The random numbers are drawn on the host.

        Raises:
            ValueError: the last axis of `ys` is not K D long.
            TypeError: `ys` is not an array of floats, or `rng` not a `numpy.random.Generator`.
        """
        check_features(self, "ys", ys, None, None)
        check_rng(f"{self!r}", rng)
        return self._sample(self._split(ys), rng)

    @abstractmethod
    def _mean(self, ys: Array) -> Array:
        """The means (..., D)."""

    @abstractmethod
    def _sample(self, ys: Array, rng: Generator) -> Array:
        """A number from each distribution (..., D)."""

    def _split(self, ys: Array) -> Array:
        K, size = self.outputs_per_target, ys.shape[-1]
        if size % K:
            raise ValueError(f"{self!r}: ys has shape {ys.shape}, expected {K} D on the last axis: {K} for each target")
        return ys.reshape(*ys.shape[:-1], K, size // K)
