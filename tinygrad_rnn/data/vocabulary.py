"""Checks of the tokenizers' arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import AnyStr

import numpy as np

from ..core.arrays import Integers
from ..core.foreign import as_array

_BLOCK = 1 << 16  # ids


def require_str(value: object, what: str) -> None:
    """`value` must be a str.

    Raises:
        TypeError: it is not; the message begins with `what`.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is a {type(value).__name__}, where a str was expected; decode bytes first")


def special_tokens(owner: str, special: Sequence[str]) -> tuple[str, ...]:
    """The special tokens as a tuple; each must be a str that is not empty.

    Raises:
        TypeError: `special` is not a list or tuple, or a token is not a str.
        ValueError: a token is empty.
    """
    if isinstance(special, str):
        raise TypeError(f"{owner}: special is the str {special!r}; write special=({special!r},)")
    if not isinstance(special, (list, tuple)):
        raise TypeError(f"{owner}: special must be a tuple of str, such as ('<start>',), not {special!r}")
    for token in special:
        require_str(token, f"{owner}: a special token")
        if not token:
            raise ValueError(f"{owner}: a special token is ''; give it a text, such as '<start>'")
    return tuple(special)


def require_distinct(owner: str, tokens: Sequence[str], kinds: str) -> None:
    """No token may occur twice; `kinds` names the tokens in the message.

    Raises:
        ValueError: one does.
    """
    if len(set(tokens)) < len(tokens):
        twice, count = Counter(tokens).most_common(1)[0]
        raise ValueError(
            f"{owner}: {twice!r} occurs {count} times among the {kinds}, where each must occur once; leave out "
            "the others, or give the special token another text, such as '<start>'"
        )


def joined(tokens: Sequence[AnyStr], ids: Integers) -> AnyStr:
    """The tokens of `ids` (N,) as one, joined in blocks: a list of all of them takes up to 100 bytes for each."""
    nothing = tokens[0][:0]
    blocks = (ids[start : start + _BLOCK].tolist() for start in range(0, len(ids), _BLOCK))
    return nothing.join([nothing.join([tokens[index] for index in block]) for block in blocks])


def row_of_ids(owner: str, ids: Sequence[int] | Integers, size: int) -> Integers:
    """`ids` as an integer array (N,), each 0 to `size - 1`.

    Raises:
        TypeError: they are not integers.
        ValueError: they are not one row, or one is outside this range.
    """
    array = as_array(f"{owner}.decode", "ids", ids)
    if array.ndim != 1:
        raise ValueError(
            f"{owner}.decode: ids is a {type(ids).__name__} of shape {array.shape}, where (N,) was expected; "
            "give one row (ids[:, b]), one id as [id], an iterator as list(ids)"
        )
    if not array.size:  # also [], which NumPy makes a float array
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{owner}.decode: ids are {array.dtype}, where integers were expected")
    outside = (array < 0) | (array >= size)
    if outside.any():
        position = int(np.argmax(outside))
        raise ValueError(
            f"{owner}.decode: id {array[position]} at position {position} is outside the vocabulary 0..{size - 1}; "
            "decode with the tokenizer that the ids came from"
        )
    return array
