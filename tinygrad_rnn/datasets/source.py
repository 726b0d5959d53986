"""The base class of sources of tokens, which know the probability of each next token."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ..core.arrays import Array, Float, Integer, Integers
from ..core.checks import check_integers


class Source(ABC):
    """Draws tokens, and knows the probability of each: it is the best possible model of them.

    Attributes: `vocab_size`, the number V of tokens, and `entropy`, the mean loss of that model.
    """

    vocab_size: int
    entropy: float

    def probabilities(self, ids: Integer[Integers, " N"]) -> Float[Array, "N V"]:
        """The probabilities of the next token after each token, given all tokens up to it: the best predictions.

        Their logarithms are logits, for which `SoftmaxCrossEntropy` gives the `entropy`, up to sampling noise. The
        tokens that may follow have a probability above 0.

        Args:
            ids: (N,), integers: a sample of the source, or the beginning of one.

        Returns:
            (N, V), float64, a new array. The row of the end of a string is 0, because nothing follows it.

        Raises:
            TypeError: `ids` is not an integer array.
            ValueError: `ids` is not one row, an id is outside the vocabulary, or the source never gives these ids.
        """
        chances, rows = self._predict(self._checked(ids))
        if not chances.all():
            position = int(np.argmin(chances != 0))
            raise ValueError(
                f"{self!r}: id {ids[position]} at position {position} never occurs there; give ids that the source drew"
            )
        return rows

    def log_probability(self, ids: Integer[Integers, " N"]) -> float:
        """The logarithm of the probability that a sample of the source begins with `ids`; -inf if it never does.

        Raises:
            TypeError: `ids` is not an integer array.
            ValueError: `ids` is not one row, or an id is outside the vocabulary.
        """
        chances, _ = self._predict(self._checked(ids))
        return float(np.log(chances).sum()) if chances.all() else -np.inf

    @abstractmethod
    def _predict(self, ids: Integers) -> tuple[Array, Array]:
        """The probability (N,) of each of `ids` given those before it, and of each next token (N, V).

        After the first id of probability 0 they may be anything.
        """

    def _checked(self, ids: Any) -> Integers:
        check_integers(self, "ids", ids)
        if ids.ndim != 1:
            raise ValueError(f"{self!r}: ids has shape {ids.shape}, where (N,) was expected; give one row, ids[:, b]")
        outside = (ids < 0) | (ids >= self.vocab_size)
        if outside.any():
            position = int(np.argmax(outside))
            raise ValueError(
                f"{self!r}: id {ids[position]} at position {position} is outside the vocabulary, "
                f"0 to {self.vocab_size - 1}"
            )
        array: Integers = ids
        return array
