"""Metrics of classes, from logits and the ids of the right classes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from ...core.arguments import check_choice, check_size
from ...core.arrays import Array, Float, Integer, Integers, namespace
from ...core.device import on_host
from .base import Mean, Metric, check_ignore_index, class_rows


class Accuracy(Mean):
    """The share of targets that are among the `top` greatest logits; of equal logits, the lower id counts as greater.

    Logits that are NaN are never right.

    Args:
        top: how many guesses are allowed.
        ignore_index: the target of what does not count.

    `update` takes logits (..., V) and ids (...). One logit (..., 1), as for `BinaryCrossEntropy`, means class 1 where
    it is above 0; its targets are ids (...) or numbers (..., 1), class 1 where they are above a half.

    Raises:
        ValueError: `top` is below 1.
        TypeError: an argument is not an integer.

    Example:
        >>> accuracy = metrics.Accuracy()
        >>> accuracy.update(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 0]))
        >>> accuracy.update(np.array([[5.0, 1.0], [0.0, 3.0]]), np.array([0, -1]))
        >>> round(accuracy.value(), 3)
        0.667
    """

    def __init__(self, top: int = 1, *, ignore_index: int = -1) -> None:
        self.top = check_size("Accuracy", "top", top)
        self.ignore_index = check_ignore_index(self, ignore_index)
        super().__init__()

    def update(
        self,
        ys: Float[Array, "*lead V"],
        targets: Any,
        *,
        lengths: Integer[Integers, " B"] | None = None,
        weights: Any = None,
    ) -> None:
        ys, targets, weights = class_rows(self, ys, targets, lengths, weights, self.ignore_index)
        xp = namespace(ys)
        own, ids = xp.take_along_axis(ys, targets[:, None], axis=-1), xp.arange(ys.shape[-1])
        behind = (ys < own) | ((ys == own) & (ids > targets[:, None]))  # False for NaN
        self._add(behind.sum(axis=-1) >= ys.shape[-1] - self.top, weights)


class ConfusionMatrix(Metric):
    """How often each class was predicted for each: row v, column u counts targets v for which u has the greatest logit.

    Args:
        classes: how many there are, V; 2 for one logit.
        ignore_index: the target of what does not count.

    `update` takes what `Accuracy` takes. `value()` is an array (V, V) of integers, or of sums of weights, float64,
    where weights were given.

    Raises:
        ValueError: `classes` is below 2; in `update`, logits are of another number of classes.
        TypeError: an argument is not an integer.

    Example:
        >>> confusion = metrics.ConfusionMatrix(2)
        >>> confusion.update(np.array([[2.0, 1.0], [0.0, 3.0], [0.0, 3.0]]), np.array([0, 0, 1]))
        >>> confusion.value()
        array([[1, 1],
               [0, 1]])
    """

    def __init__(self, classes: int, *, ignore_index: int = -1) -> None:
        self.classes = check_size(type(self).__name__, "classes", classes, least=2)
        self.ignore_index = check_ignore_index(self, ignore_index)
        self.reset()

    def reset(self) -> None:
        self._counts: Any = None
        self._weighted = False

    def update(
        self,
        ys: Float[Array, "*lead V"],
        targets: Any,
        *,
        lengths: Integer[Integers, " B"] | None = None,
        weights: Any = None,
    ) -> None:
        weighted = weights is not None
        ys, targets, weights = class_rows(self, ys, targets, lengths, weights, self.ignore_index)
        if ys.shape[-1] != self.classes:
            raise ValueError(f"{self!r}: ys has logits of {ys.shape[-1]} classes, not of {self.classes}")
        xp = namespace(ys)
        counts = xp.zeros((self.classes, self.classes)) if self._counts is None else self._counts
        xp.add.at(counts, (targets, ys.argmax(axis=-1)), weights)
        self._counts, self._weighted = counts, self._weighted or weighted

    def value(self) -> Any:
        counts = self._on_host()
        return counts if self._weighted else counts.astype(np.int64)

    def _on_host(self) -> Any:
        """The counts (V, V) in float64, an array of its own."""
        if self._counts is None:
            return np.zeros((self.classes, self.classes))
        return on_host(self._counts).copy()


class _PerClass(ConfusionMatrix):
    """A ratio for each class, of its count of right predictions to another one, and its average over the classes."""

    def __init__(self, classes: int, *, average: str | None = "macro", ignore_index: int = -1) -> None:
        super().__init__(classes, ignore_index=ignore_index)
        if average is not None:
            check_choice(type(self).__name__, "average", average, "macro", "micro", "weighted")
        self.average = average

    def value(self) -> Any:
        counts = self._on_host()
        right, actual, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
        if self.average == "micro":
            total = counts.sum()
            return float(right.sum() / total) if total else float("nan")
        of = self._of(actual, predicted)
        ratios = np.divide(right, of, out=np.zeros_like(of), where=of > 0)
        if self.average is None:
            return ratios
        shares = actual if self.average == "weighted" else (actual + predicted > 0).astype(float)
        return float((ratios * shares).sum() / shares.sum()) if shares.any() else float("nan")

    @abstractmethod
    def _of(self, actual: Any, predicted: Any) -> Any:
        """What the right predictions of each class are divided by."""


class Precision(_PerClass):
    r"""Of the predictions of a class, the share that is right: TP / (TP + FP); 0 for a class that is never predicted.

    Args:
        classes: how many there are, V; 2 for one logit.
        average: `"macro"` is the mean over the classes that occur among targets or predictions; `"weighted"` weighs
            each by its number of targets; `"micro"` counts over all classes together, which is the accuracy; None gives
            an array (V,), one number per class.
        ignore_index: the target of what does not count.

    `update` takes what `Accuracy` takes.

    Raises:
        ValueError: `classes` is below 2, or `average` none of these; in `update`, logits are of another number of
            classes.
        TypeError: `classes` or `ignore_index` is not an integer.

    Example:
        >>> precision = metrics.Precision(2, average=None)
        >>> precision.update(np.array([[2.0, 1.0], [0.0, 3.0], [0.0, 3.0]]), np.array([0, 0, 1]))
        >>> precision.value()
        array([1. , 0.5])
    """

    def _of(self, actual: Any, predicted: Any) -> Any:
        return predicted


class Recall(_PerClass):
    """Of the targets of a class, the share that is predicted: TP / (TP + FN); 0 for a class without targets.

    Arguments and errors are those of `Precision`.

    Example:
        >>> recall = metrics.Recall(2, average=None)
        >>> recall.update(np.array([[2.0, 1.0], [0.0, 3.0], [0.0, 3.0]]), np.array([0, 0, 1]))
        >>> recall.value()
        array([0.5, 1. ])
    """

    def _of(self, actual: Any, predicted: Any) -> Any:
        return actual


class F1(_PerClass):
    """The harmonic mean of `Precision` and `Recall` of a class: 2 TP / (2 TP + FP + FN); 0 where there are none.

    Arguments and errors are those of `Precision`.

    Example:
        >>> f1 = metrics.F1(2)
        >>> f1.update(np.array([[2.0, 1.0], [0.0, 3.0], [0.0, 3.0]]), np.array([0, 0, 1]))
        >>> round(f1.value(), 3)
        0.667
    """

    def _of(self, actual: Any, predicted: Any) -> Any:
        return (actual + predicted) / 2
