"""One-hot vectors."""

from __future__ import annotations

from ..core.arrays import Integer, Integers
from ..core.checks import check_ids, check_integers, check_size
from ..core.one_hot import OneHotRows
from ..core.roles import Feedforward


class OneHot(Feedforward):
    r"""Ids as one-hot vectors: :math:`y_v = 1` where :math:`v` is the id, else 0.

    The vectors are never made dense: the output is an `OneHotRows`, whose product with a matrix is a look-up of its
    rows. So a text takes one integer per token. There is no gradient w.r.t. ids.

    Args:
        vocab_size: V, the size of the vocabulary.

    `forward` takes ids (...) and gives (..., V); `backward` gives None.

    Raises:
        ValueError: `vocab_size` is below 1; in `forward`, an id is outside 0 to V - 1.
        TypeError: in `forward`, the ids are not an integer array.

    Example:
        >>> OneHot(5)(np.array([3, 1])) @ np.arange(10.0).reshape(5, 2)
        array([[6., 7.],
               [2., 3.]])
    """

    takes_ids = True

    def __init__(self, vocab_size: int) -> None:
        vocab_size = check_size("OneHot", "vocab_size", vocab_size)
        self.vocab_size = self.in_size = self.out_size = vocab_size

    def forward(self, x: Integer[Integers, "..."], *, training: bool = True) -> tuple[OneHotRows, None]:
        check_integers(self, "x", x)
        check_ids(self, x, self.vocab_size)
        return OneHotRows(x, self.vocab_size), None

    def backward(self, dy: object, cache: None) -> None:
        return None
