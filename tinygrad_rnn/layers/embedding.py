"""Learnt vectors for ids."""

from __future__ import annotations

from typing import Any

from ..core import initializers
from ..core.arrays import Array, Float, Generator, Integer, Integers
from ..core.checks import check_cached_array, check_gradient, check_ids, check_integers, check_rng, check_size
from ..core.layer import runs
from ..core.one_hot import OneHotRows, TableGradient, TableRows
from ..core.parameter import Parameter
from ..core.roles import Feedforward
from ..kernels.products import add_gradient


class Embedding(Feedforward):
    r"""A learnt vector for each id.

    Forward and backward, where row :math:`v` of the gradient is a sum over all positions with id :math:`v`:

    .. math::
        y = W_x, \qquad dW_v \mathrel{+}= \sum_{x = v} dy

    Args:
        vocab_size: V, the size of the vocabulary.
        out_size: D, features of a vector.
        rng: draws the weights.

    Parameter `w` (V, D), standard normal. `forward` takes ids (...) and gives (..., D); `backward` gives None.

    Raises:
        ValueError: a size is below 1; in `forward`, an id is outside 0 to V - 1.
        TypeError: in `forward`, the ids are not an integer array, or are on another device than `w`.

    References:
        Bengio et al., *A Neural Probabilistic Language Model*, 2003.

    Example:
        >>> Embedding(10, 4, rng=np.random.default_rng(0))(np.array([[3, 1, 3]])).shape
        (1, 3, 4)
    """

    takes_ids = True

    def __init__(self, vocab_size: int, out_size: int, *, rng: Generator) -> None:
        vocab_size = check_size("Embedding", "vocab_size", vocab_size)
        out_size = check_size("Embedding", "out_size", out_size)
        check_rng("Embedding", rng)
        self.vocab_size = self.in_size = vocab_size
        self.out_size = out_size
        self.w = Parameter(initializers.normal((vocab_size, out_size), rng=rng, std=1.0))

    def forward(
        self, x: Integer[Integers, "*lead"], *, training: bool = True
    ) -> tuple[Float[Array, "*lead D"], Integer[Integers, "*lead"]]:
        self._check(x)
        return self.w.value.take(x, axis=0), x

    def forward_rows(self, x: Any, *, training: bool) -> tuple[Any, Any]:
        """Like `forward`, but without the look-up: the next cell may multiply first, which can be faster."""
        if not runs(self, *TABLE):  # a subclass has another output
            return self.forward(x, training=training)
        self._check(x)
        return TableRows(x, self.w), x

    def _check(self, x: Any) -> None:
        check_integers(self, "x", x, self.w.value)
        check_ids(self, x, self.vocab_size)

    def backward(self, dy: Any, cache: Integer[Integers, "*lead"]) -> None:
        if isinstance(dy, TableGradient):
            self.w.grad += dy.table
            return
        check_cached_array(self, cache)
        check_gradient(self, "dy", dy, (*cache.shape, self.w.shape[1]), self.w.value)
        add_gradient(self.w.grad, OneHotRows(cache, self.vocab_size), dy)


TABLE = Embedding.forward, Embedding.backward
"""The methods that `TableRows` stand for."""
