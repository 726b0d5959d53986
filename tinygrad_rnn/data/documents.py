"""One row of ids, split into its documents."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..core.arrays import Integers

# How many ids are searched at a time: a mask of all ids would take one byte per token, a gigabyte for a large text.
_BLOCK = 1 << 20


def split_documents(ids: Integers, token: int) -> list[Integers]:
    """Split a text into its documents, each ended by a token, such as one of a tokenizer's special tokens.

    This token is the last one of its document, so that a model learns where to end. What follows the last such token is
    a document too. A model that must begin a document by itself also needs a token before each document, because
    `TokenStream` trains no transition between two documents. Joined, the documents are `ids` again.

    The documents are views: those of a memory map stay on disk. A call reads the ids once, and takes a megabyte, and
    some 200 bytes per document, whatever the length.

    Args:
        ids: an integer array (N,).
        token: the id that ends a document.

    Returns:
        Views (N_i,) of `ids`, none of them empty, for `TokenStream`.

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
    bounds = np.unique(np.concatenate([[0], *ends, [len(ids)]])).tolist()  # sorted; the end of `ids` is in it once
    return [ids[start:stop] for start, stop in pairwise(bounds)]


def _check(ids: Any, token: Any) -> None:
    """`ids` must be an integer array of one axis, and `token` an int."""
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu":
        came = f"an array of {ids.dtype}" if isinstance(ids, np.ndarray) else f"a {type(ids).__name__}"
        raise TypeError(f"split_documents: ids is {came}, where an integer NumPy array (N,) was expected")
    if ids.ndim != 1:
        raise ValueError(f"split_documents: ids has the shape {ids.shape}, where (N,) was expected")
    if isinstance(token, bool) or not isinstance(token, int | np.integer):
        raise TypeError(f"split_documents: token is {token!r}, where an int was expected; a tokenizer's id_of gives it")
