"""Sources of strings with a beginning and an end; each string is a document."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from ..core.arrays import Array, Generator, Integers, NDArray
from ..core.checks import check_rng, check_size
from .source import Source

Branches: TypeAlias = Sequence[tuple[int, float, Any]]
"""The possible next tokens: each with its probability, which is above 0, and the state that it leads to."""


class StringSource(Source):
    """Strings, drawn token by token; a state determines the possible next tokens.

    A string of N tokens has N - 1 predicted tokens: the first is always the same, and nothing precedes it.

    Attributes: those of `Source`; `string_entropy`, the entropy of a string in nats; `mean_length`, the mean of N.
    """

    string_entropy: float
    mean_length: float
    _start: Any
    """The state before the first token."""

    def sample(self, count: int, *, rng: Generator) -> list[NDArray[np.int64]]:
        """`count` strings, arrays (N_i,) of int64, drawn independently: documents for `TokenStream`, rows for `pad`.

        Raises:
            TypeError: `count` is not an integer, or `rng` is not a Generator.
            ValueError: `count` is negative.
        """
        count = check_size(repr(self), "count", count, 0)
        check_rng(repr(self), rng)
        return [np.array(self._string(rng), np.int64) for _ in range(count)]

    def _string(self, rng: Generator) -> list[int]:
        ids: list[int] = []
        state = self._start
        while branches := self._branches(state):
            chance, upto = rng.random(), accumulate(probability for _, probability, _ in branches)
            drawn = (branch for branch, bound in zip(branches, upto, strict=True) if chance < bound)
            token, _, state = next(drawn, branches[-1])  # rounding may keep the last bound below 1
            ids.append(token)
        return ids

    def _predict(self, ids: Integers) -> tuple[Array, Array]:
        chances, rows = np.zeros(len(ids)), np.zeros((len(ids), self.vocab_size))
        branches = self._branches(self._start)
        for t, drawn in enumerate(ids.tolist()):
            for token, probability, state in branches:
                if token == drawn:
                    chances[t], branches = probability, self._branches(state)
                    break
            else:
                break  # it never occurs here
            for token, probability, _ in branches:
                rows[t, token] = probability
        return chances, rows

    @abstractmethod
    def _branches(self, state: Any) -> Branches:
        """The possible next tokens; none at the end of the string."""
