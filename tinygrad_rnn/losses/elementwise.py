"""The base class of losses that compare each prediction with one target."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from ..core.arrays import Array, Bool, Booleans, Float, Integer, Integers, namespace
from ..core.checks import check_array, check_cache, check_device, check_features
from ..core.roles import Loss
from .reduction import check_reduction, reduce, rows_of, scaled


class ElementwiseCache(NamedTuple):
    """What the backward needs."""

    ys: Float[Array, "*shape"]
    """The predictions, 0 in the padding."""
    targets: Float[Array, "*shape"]
    """The targets, 0 in the padding."""
    active: Bool[Booleans, "T B"] | None
    """True where there is no padding; None without lengths."""
    scale: Float[Array, ""]
    """The factor of each number's loss in the sum: 1, or 1 / (how many numbers count)."""


class ElementwiseLoss(Loss):
    """A loss for each number of `ys` and its target; a subclass gives the loss and its derivative."""

    def __init__(self, *, reduction: str = "mean") -> None:
        check_reduction(type(self).__name__, reduction)
        self.reduction = reduction

    def forward(
        self,
        ys: Float[Array, "*shape"],
        targets: Float[Array, "*shape"],
        *,
        lengths: Integer[Integers, " B"] | None = None,
    ) -> tuple[Float[Array, "..."], ElementwiseCache]:
        check_features(self, "ys", ys, None, None)
        check_array(self, "targets", targets, None)
        check_device(self, "targets", targets, ys)
        if targets.dtype != ys.dtype:
            raise TypeError(
                f"{self!r}: targets is {targets.dtype}, but ys {ys.dtype}. Convert it, targets.astype('{ys.dtype}')"
            )
        if targets.shape != ys.shape:
            raise ValueError(f"{self!r}: targets has shape {targets.shape}, but ys {ys.shape}; they must be the same")
        rows = rows_of(self, lengths, targets)
        ys, targets = rows.clear(ys), rows.clear(targets)
        losses = rows.clear(self._losses(ys, targets))
        count = ys.size if rows.active is None else rows.active.sum() * ys.shape[-1]
        loss, scale = reduce(self.reduction, losses, count)
        return loss, ElementwiseCache(ys, targets, rows.active, scale)

    def backward(self, cache: ElementwiseCache, dloss: Float[Array, "..."] | None = None) -> Float[Array, "*shape"]:
        check_cache(self, cache, ElementwiseCache)
        ys, targets, active, scale = cache
        dlosses = scaled(self, scale, dloss, ys.shape if self.reduction == "none" else ())
        if active is not None:
            dlosses = namespace(ys).where(active[..., None], dlosses, 0)  # no gradient goes into padding
        return self._slopes(ys, targets) * dlosses

    @abstractmethod
    def _losses(self, ys: Array, targets: Array) -> Array:
        """The loss of each number."""

    @abstractmethod
    def _slopes(self, ys: Array, targets: Array) -> Array:
        """The derivative of each loss w.r.t. the prediction."""
