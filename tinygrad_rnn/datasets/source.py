"""What the sources of tokens have in common: they know the probability of each next one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Array, Float, Integer, Integers
from ..core.checks import check_integers


class Source(ABC):
    """Draws tokens, and knows how likely each one was: the model that no other can beat.

    Attributes: `vocab_size`, the number V of tokens, and `entropy`, the mean loss of that model.
    """

    vocab_size: int
    entropy: float

    def probabilities(self, ids: Integer[Integers, " N"]) -> Float[Array, "N V"]:
        """What may follow each token, and how likely, after all tokens up to it: the best possible predictions.

        Their logarithms are logits, with which `SoftmaxCrossEntropy` gives the `entropy`, but for chance. The tokens
        that may follow are those above 0.

        Args:
            ids: (N,), integers: the beginning of what the source gives.

        Returns:
            (N, V), float64, new. Nothing follows the end of a string: a row of 0.

        Raises:
            TypeError: `ids` is no integer array.
            ValueError: `ids` is not one row, an id is outside the vocabulary, or the source never gives these.
        """
        chances, rows = self._predict(self._checked(ids))
        if not chances.all():
            position = int(np.argmin(chances != 0))
            raise ValueError(
                f"{self!r}: id {ids[position]} at position {position} never comes there; give ids that the source drew"
            )
        return rows

    def log_probability(self, ids: Integer[Integers, " N"]) -> float:
        """The logarithm of the probability that what the source gives begins with `ids`; -inf if it never does.

        Raises:
            TypeError: `ids` is no integer array.
            ValueError: `ids` is not one row, or an id is outside the vocabulary.
        """
        chances, _ = self._predict(self._checked(ids))
        return float(np.log(chances).sum()) if chances.all() else -np.inf

    @abstractmethod
    def _predict(self, ids: NDArray[np.integer[Any]]) -> tuple[Array, Array]:
        """The probability of each of `ids` after those before it (N,), and of what follows each (N, V).

        Behind the first id of probability 0 they are anything.
        """

    def _checked(self, ids: Any) -> NDArray[np.integer[Any]]:
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
        array: NDArray[np.integer[Any]] = ids
        return array
