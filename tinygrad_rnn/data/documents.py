"""One row of ids, split into its documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from ..core.arrays import Integers
from ..core.foreign import check_not_masked

# How many ids are searched at a time: a mask of all ids would take one byte per token, a gigabyte for a large text.
_BLOCK = 1 << 20


class Documents(Sequence[Integers]):
    """What `split_documents` gives: the documents of a row of ids, as views that are made on demand.

    A document takes 8 bytes, where a view of it would take 130. `list(documents)` makes all of them.
    """

    def __init__(self, ids: Integers, bounds: Integers) -> None:
        self._ids, self._bounds = ids, bounds

    @property
    def lengths(self) -> Integers:
        """The number of ids in each."""
        return np.diff(self._bounds)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, index: int) -> Integers: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Integers]: ...
    def __getitem__(self, index: int | slice) -> Integers | Sequence[Integers]:
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            if chosen.step != 1:
                return [self[i] for i in chosen]
            return Documents(self._ids, self._bounds[chosen.start : max(chosen.start, chosen.stop) + 1])
        start, stop = self._bounds[chosen : chosen + 2].tolist()
        return self._ids[start:stop]

    def __iter__(self) -> Iterator[Integers]:
        return map(self.__getitem__, range(len(self)))

    def __repr__(self) -> str:
        return f"<{len(self)} documents of {self.lengths.sum()} ids>"


def split_documents(ids: Integers, token: int) -> Documents:
    """Split a text into its documents, each ended by a token, such as one of a tokenizer's special tokens.

    This token is the last one of its document, so that a model learns where to end. What follows the last such token is
    a document too. A model that must begin a document by itself also needs a token before each document, because
    `TokenStream` trains no transition between two documents. Joined, the documents are `ids` again.

    The documents are views: those of a memory map stay on disk. A call reads the ids once, and takes some megabytes,
    and 16 bytes per document, whatever the length.

    Args:
        ids: an integer array (N,).
        token: the id that ends a document.

    Returns:
        A sequence of views (N_i,) of `ids`, none of them empty, for `TokenStream`.

    Raises:
        TypeError: `ids` is not an integer array, or `token` is not an int.
        ValueError: `ids` is not one row.

    Example:
        >>> tokenizer = CharTokenizer("abc|")
        >>> [tokenizer.decode(part) for part in split_documents(tokenizer.encode("ab|c|a"), tokenizer.id_of("|"))]
        ['ab|', 'c|', 'a']
    """
    _check(ids, token)
    ids = np.asarray(ids)  # a plain view of a memory map: its slices take a quarter of the memory
    blocks = range(0, len(ids), _BLOCK)
    ends = [start + 1 + np.flatnonzero(ids[start : start + _BLOCK] == token) for start in blocks]
    unfinished = [len(ids)] if len(ids) and ids[-1] != token else []
    return Documents(ids, np.concatenate([np.zeros(1, np.int64), *ends, np.array(unfinished, np.int64)]))


def _check(ids: Any, token: Any) -> None:
    """`ids` must be an integer array of one axis, and `token` an int."""
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu":
        came = f"an array of {ids.dtype}" if isinstance(ids, np.ndarray) else f"a {type(ids).__name__}"
        raise TypeError(f"split_documents: ids is {came}, where an integer NumPy array (N,) was expected")
    check_not_masked("split_documents", "ids", ids)
    if ids.ndim != 1:
        raise ValueError(f"split_documents: ids has the shape {ids.shape}, where (N,) was expected")
    if isinstance(token, bool) or not isinstance(token, int | np.integer):
        raise TypeError(f"split_documents: token is {token!r}, where an int was expected; a tokenizer's id_of gives it")
