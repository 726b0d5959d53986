"""What all metrics share: which rows count, how much, and what a mean over them is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from ...core.arguments import check_size
from ...core.arrays import Array, Integers, namespace
from ...core.checks import check_array, check_device, check_features, check_ids, check_integers
from ...core.device import on_host
from ...losses.reduction import rows_of, weights_of


class Metric(ABC):
    """A number, or an array of numbers, about predictions and targets, accumulated over batches.

    A metric of your own writes the three methods.
    """

    @abstractmethod
    def update(self, ys: Any, targets: Any, *, lengths: Any = None, weights: Any = None) -> None:
        """Add a batch.

        Args:
            ys: what the model gives: (T, B, D), or (B, D) for one vector a row; any leading axes are allowed.
            targets: what it should have given.
            lengths: (B,), with `ys` (T, B, D): steps past a row's end do not count.
            weights: an array of numbers, at least 0, of the shape of `ys` without its last axis: how much each vector
                counts; one of weight 0 does not count at all, whatever it holds.

        Raises:
            ValueError: shapes do not fit, or a target, length or weight is outside its range.
            TypeError: an array has the wrong kind of dtype, or is on another device.
        """

    @abstractmethod
    def value(self) -> Any:
        """The metric of all batches since the last reset, on the host; on a GPU this waits."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all batches."""

    def __repr__(self) -> str:
        settings = (f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(settings)})"


class Mean(Metric):
    """A metric that is a weighted mean, or a function of one."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._total: Any = 0.0
        self._count: Any = 0.0

    def _add(self, values: Array, weights: Array) -> None:
        """Add `values` (N,), where each counts by its weight (N,)."""
        self._total = self._total + (values * weights).sum()
        self._count = self._count + weights.sum()

    def value(self) -> float:
        total, count = on_host(self._total), on_host(self._count)
        return float(total) / float(count) if count > 0 else math.nan


class ClassRows(NamedTuple):
    """The vectors that a metric of classes compares, one a row; where the weight is 0, logits and target are 0."""

    ys: Array
    """The logits (N, V)."""
    targets: Integers
    """The targets (N,), 0 to V - 1."""
    weights: Array
    """(N,), float64."""


def class_rows(
    owner: Metric, ys: Any, targets: Any, lengths: Any, weights: Any, ignore_index: int, *, binary: bool = True
) -> ClassRows:
    """The rows of logits (..., V) and ids (...); with `binary`, also of one logit (..., 1) for two classes.

    Raises:
        ValueError: shapes do not fit, or a target, length or weight is outside its range.
        TypeError: an array has the wrong kind of dtype, or is on another device.
    """
    check_features(owner, "ys", ys, None, None)
    xp = namespace(ys)
    if binary and ys.shape[-1] == 1:
        ys = xp.concatenate([xp.zeros_like(ys), ys], axis=-1)  # the logit of the first of two classes is 0
        targets = _binary_targets(owner, targets, ys.shape[:-1])
    check_integers(owner, "targets", targets)
    check_device(owner, "targets", targets, ys)
    if targets.shape != ys.shape[:-1]:
        raise ValueError(f"{owner!r}: targets has shape {targets.shape}, but ys {ys.shape}; expected {ys.shape[:-1]}")
    if targets.dtype == xp.uint64:  # 2^64 - 1 would become -1
        targets = xp.minimum(targets, (1 << 63) - 1)
    targets = targets.astype(xp.int64, copy=False)
    weights = xp.where(targets != ignore_index, row_weights(owner, ys, lengths, weights), 0)
    counts = weights > 0
    targets = xp.where(counts, targets, 0)
    check_ids(owner, targets, ys.shape[-1], ", or say by ignore_index which target does not count")
    V = ys.shape[-1]
    return ClassRows(
        xp.where(counts[..., None], ys, 0).reshape(-1, V), targets.reshape(-1), weights.astype(xp.float64).reshape(-1)
    )


def _binary_targets(owner: Metric, targets: Any, shape: tuple[int, ...]) -> Any:
    """Targets of one logit, ids or numbers from 0 to 1, as ids: 1 above a half. A last axis of size 1 is left out."""
    if getattr(targets, "shape", None) == (*shape, 1):
        targets = targets[..., 0]
    if getattr(getattr(targets, "dtype", None), "kind", "i") == "f":
        check_array(owner, "targets", targets, None)
        targets = (targets > 0.5).astype(namespace(targets).int64)
    return targets


def row_weights(owner: Metric, ys: Any, lengths: Any, weights: Any) -> Any:
    """The weights of the vectors of `ys` (..., D) in float64: 1 where none are given, 0 in the padding.

    Raises:
        ValueError: a shape does not fit, a length is outside 0 to T, or a weight is negative or not finite.
        TypeError: lengths are not integers, weights are no numbers, or one is on another device.
    """
    xp, rows = namespace(ys), rows_of(owner, lengths, ys)
    if weights is not None:
        return weights_of(owner, weights, rows, ys).astype(xp.float64)
    return rows.clear(xp.ones(ys.shape[:-1], xp.float64))


def check_ignore_index(owner: Metric, ignore_index: Any) -> int:
    """`ignore_index` must be an integer; gives it as an int."""
    return check_size(type(owner).__name__, "ignore_index", ignore_index, -(1 << 63))
