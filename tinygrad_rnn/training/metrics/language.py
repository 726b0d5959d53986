"""Metrics of a language model, from logits and the ids of the right tokens."""

from __future__ import annotations

import math
from typing import Any

from ...core.arrays import Array, Float, Integer, Integers
from ...losses.softmax_cross_entropy import SoftmaxCrossEntropy
from .base import Mean, check_ignore_index, class_rows

_LOSSES = SoftmaxCrossEntropy(reduction="none")


class _CrossEntropy(Mean):
    """The mean of the cross-entropy, in nats."""

    def __init__(self, *, ignore_index: int = -1) -> None:
        self.ignore_index = check_ignore_index(self, ignore_index)
        super().__init__()

    def update(
        self,
        ys: Float[Array, "*lead V"],
        targets: Integer[Integers, "*lead"],
        *,
        lengths: Integer[Integers, " B"] | None = None,
        weights: Any = None,
    ) -> None:
        ys, targets, weights = class_rows(self, ys, targets, lengths, weights, self.ignore_index, binary=False)
        self._add(_LOSSES(ys, targets), weights)


class Perplexity(_CrossEntropy):
    """The exponential of the mean cross-entropy: among so many equally likely tokens one would be as uncertain.

    `update` takes logits (..., V) and ids (...).

    Args:
        ignore_index: the target of what does not count.

    Raises:
        TypeError: `ignore_index` is not an integer.

    Example:
        >>> perplexity = metrics.Perplexity()
        >>> perplexity.update(np.zeros((3, 1, 4)), np.array([[0], [3], [-1]]))
        >>> round(perplexity.value(), 9)
        4.0
    """

    def value(self) -> float:
        mean = super().value()
        return math.inf if mean > 709 else math.exp(mean)


class BitsPerToken(_CrossEntropy):
    """The mean cross-entropy in bits.

    `update` takes logits (..., V) and ids (...).

    Args:
        ignore_index: the target of what does not count.

    Raises:
        TypeError: `ignore_index` is not an integer.

    Example:
        >>> bits = metrics.BitsPerToken()
        >>> bits.update(np.zeros((3, 1, 4)), np.array([[0], [3], [-1]]))
        >>> round(bits.value(), 9)
        2.0
    """

    def value(self) -> float:
        return super().value() / math.log(2)
