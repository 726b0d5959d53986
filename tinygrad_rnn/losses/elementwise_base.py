"""The base class of losses that compare predictions with one target number after another."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple, cast

from ..core.arrays import Array, Bool, Booleans, Float, Integer, Integers, namespace
from ..core.checks import check_array, check_cache, check_device, check_features
from ..core.roles import Loss
from .reduction import check_reduction, reduce, rows_of, scaled, weights_of


class ElementwiseCache(NamedTuple):
    """What the backward needs."""

    ys: Float[Array, "..."]
    """The predictions, 0 where nothing counts: (..., D), or (..., K, D) if K of them belong to one target."""
    targets: Float[Array, "*lead D"]
    """The targets, 0 where nothing counts."""
    counts: Bool[Booleans, "..."] | None
    """Whether a number, (..., D), or all numbers of a vector, (..., 1), count; None: all do."""
    scale: Float[Array, "..."]
    """The factor of each number's loss in the sum: its weight; divided by the sum of the weights if that is a mean."""
    counted: Float[Array, ""]
    """The sum of the weights of all numbers that count."""


class ElementwiseLoss(Loss):
    """A loss for each number of the targets; a subclass gives the loss and its derivative."""

    def __init__(self, *, reduction: str = "mean", missing: str | None = None) -> None:
        name, given = type(self).__name__, cast(object, missing)
        check_reduction(name, reduction)
        if given is not None and not (isinstance(given, str) and given == "nan"):
            raise ValueError(f'{name}: missing must be None or "nan", not {missing!r}')
        self.reduction, self.missing = reduction, missing

    def forward(
        self,
        ys: Float[Array, "*lead KD"],
        targets: Float[Array, "*lead D"],
        *,
        lengths: Integer[Integers, " B"] | None = None,
        weights: Any = None,
    ) -> tuple[Float[Array, "..."], ElementwiseCache]:
        self._check(ys, targets)
        xp, rows = namespace(ys), rows_of(self, lengths, ys)
        counts, each, D = rows.active, None, targets.shape[-1]
        if weights is not None:
            each = weights_of(self, weights, rows, ys)[..., None]
            counts = each[..., 0] != 0
        if counts is not None:
            counts = counts[..., None]
        if self.missing is not None:
            present = targets == targets  # NaN does not equal itself
            counts = present if counts is None else counts & present
            each = None if each is None else each * present
        total, ys = targets.size, self._split(ys)
        if counts is not None:
            total = (counts if each is None else each).sum() * (1 if self.missing else D)
            targets = xp.where(counts, targets, 0)
            ys = xp.where(counts if ys.ndim == targets.ndim else counts[..., None, :], ys, 0)
        losses = self._losses(ys, targets)
        if counts is not None:
            losses = xp.where(counts, losses, 0)
        loss, scale, counted = reduce(self.reduction, losses, total, each)
        return loss, ElementwiseCache(ys, targets, counts, scale, counted)

    def backward(
        self, cache: ElementwiseCache, dloss: Float[Array, "..."] | float | None = None
    ) -> Float[Array, "*lead KD"]:
        check_cache(self, cache, ElementwiseCache)
        ys, targets, counts, scale, _ = cache
        xp = namespace(ys)
        dlosses = scaled(self, scale, dloss, targets.shape if self.reduction == "none" else ())
        if counts is not None:
            dlosses = xp.where(counts, dlosses, 0)  # no gradient where nothing counts, whatever comes from above
        slopes = self._slopes(ys, targets)
        if ys.ndim == targets.ndim:
            return slopes * dlosses
        dys: Array = slopes * xp.broadcast_to(dlosses, targets.shape)[..., None, :]
        return dys.reshape(*targets.shape[:-1], self.outputs_per_target * targets.shape[-1])

    @abstractmethod
    def _losses(self, ys: Array, targets: Array) -> Array:
        """The loss of each number of the targets (..., D), from `ys` (..., D) or (..., K, D)."""

    @abstractmethod
    def _slopes(self, ys: Array, targets: Array) -> Array:
        """The derivative of each loss w.r.t. the predictions, of the shape of `ys`."""

    def _split(self, ys: Array) -> Array:
        """`ys` (..., D) as it is, or (..., K D) as (..., K, D)."""
        return ys

    def _check(self, ys: Any, targets: Any) -> None:
        """`targets` must be floats of the dtype and device of `ys`, and of its shape, or a Kth of its last axis."""
        check_features(self, "ys", ys, None, None)
        check_array(self, "targets", targets, None)
        check_device(self, "targets", targets, ys)
        if targets.dtype != ys.dtype:
            raise TypeError(
                f"{self!r}: targets is {targets.dtype}, but ys {ys.dtype}. Convert it, targets.astype('{ys.dtype}')"
            )
        K = self.outputs_per_target
        if targets.ndim != ys.ndim or (*targets.shape[:-1], K * targets.shape[-1]) != ys.shape:
            wanted = "they must be the same" if K == 1 else f"expected ys (..., {K} D) for targets (..., D)"
            raise ValueError(f"{self!r}: targets has shape {targets.shape}, but ys {ys.shape}; {wanted}")
