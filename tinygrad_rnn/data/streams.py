"""Documents cut into chunks (T, B) for truncated back-propagation through time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.integer[Any]]
Chunk = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


class TokenStream:
    """`batch` rows of text read side by side, `steps` tokens at a time.

    Iterating is one epoch, and nothing of it is kept on the stream, so that several may run at once. It yields
    `len(stream)` chunks of new arrays, of which `stream[k]` gives any one:

    - xs (T, B), int64: the tokens; 0 where there is none.
    - targets (T, B), int64: the token after each; -1 where there is none, which a loss ignores.
    - fresh (B,), bool: where the row does not continue its last chunk, so that its state must begin anew.

    A transition is a token and the next one of the same document; each is in exactly one chunk of an epoch. The
    transitions of a document are cut into pieces of `steps`, its last piece being what is left. The pieces, in
    order, are dealt to the rows in contiguous runs whose sizes differ by at most one. A document of fewer than two
    tokens has no transition and is skipped. A row with nothing left is fresh and all padding.

    The ids are read when their chunk comes, never copied before: a memory map stays on disk. Their values are not
    checked here. Up front a stream costs O(documents) time and memory, whatever their lengths.

    Args:
        ids: one document, an integer array (N,), or a list or tuple of such arrays, one a document.
        batch: the number B of rows.
        steps: the number T of tokens of a row in a chunk.

    Attributes: `batch`, `steps`, `documents` (a tuple of the given arrays), `tokens` and `transitions` (how
    many there are in all).

    Raises:
        TypeError: `ids` holds anything but integer arrays; `batch` or `steps` is not an int.
        ValueError: an array is not 1-D; `batch` or `steps` is below 1; there are fewer pieces than `batch`.

    Example:
        >>> for xs, targets, fresh in TokenStream(np.arange(8), batch=2, steps=2):
        ...     print(xs.T.tolist(), targets.T.tolist(), fresh.tolist())
        [[0, 1], [4, 5]] [[1, 2], [5, 6]] [True, True]
        [[2, 3], [6, 0]] [[3, 4], [7, -1]] [False, False]
    """

    def __init__(self, ids: Ids | Sequence[Ids], *, batch: int, steps: int) -> None:
        self.batch = _positive("batch", batch)
        self.steps = _positive("steps", steps)
        self.documents = _documents(ids)
        sizes = np.array([len(document) for document in self.documents], np.int64)
        transitions = np.maximum(sizes - 1, 0)
        self.tokens = int(sizes.sum())
        self.transitions = int(transitions.sum())
        # Pieces are counted through all documents: document d has those from _firsts[d] up to _firsts[d + 1], and
        # row b those from _rows[b] up to _rows[b + 1].
        self._firsts = np.append(0, np.cumsum(_pieces(transitions, self.steps)))
        pieces = int(self._firsts[-1])
        if pieces < self.batch:
            raise ValueError(_too_short(self, transitions, pieces))
        self._rows = np.arange(self.batch + 1) * pieces // self.batch

    def __len__(self) -> int:
        return int(np.diff(self._rows).max())

    def __iter__(self) -> Iterator[Chunk]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, k: int) -> Chunk:
        """Chunk `k` of an epoch: a training that was stopped goes on at its place.

        Raises:
            IndexError: there is no such chunk.
        """
        if not 0 <= k < len(self):
            raise IndexError(f"TokenStream: chunk {k} of an epoch of {len(self)}")
        xs = np.zeros((self.steps, self.batch), np.int64)
        targets = np.full((self.steps, self.batch), -1, np.int64)
        fresh = np.ones(self.batch, np.bool_)
        rows = np.flatnonzero(self._rows[:-1] + k < self._rows[1:])  # those with a piece left
        pieces = self._rows[rows] + k
        documents = np.searchsorted(self._firsts, pieces, side="right") - 1  # this passes over those without a piece
        starts = self.steps * (pieces - self._firsts[documents])
        fresh[rows] = (k == 0) | (starts == 0)
        for row, document, start in zip(rows.tolist(), documents.tolist(), starts.tolist(), strict=True):
            piece = self.documents[document][start : start + self.steps + 1]
            xs[: len(piece) - 1, row] = piece[:-1]
            targets[: len(piece) - 1, row] = piece[1:]
        return xs, targets, fresh


def _pieces(transitions: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """How many pieces each document gives: a division rounded up."""
    return -(-transitions // steps)


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"TokenStream: {name} is {value!r}, where an int of at least 1 was expected")
    if value < 1:
        raise ValueError(f"TokenStream: {name} is {value}, where at least 1 was expected")
    return int(value)


def _documents(ids: Ids | Sequence[Ids]) -> tuple[Ids, ...]:
    """The documents of `ids`, uncopied, or an error that says which is not one."""
    if isinstance(ids, list | tuple):
        if ids and all(isinstance(item, int | np.integer) for item in ids):
            raise TypeError(
                f"TokenStream: ids is a {type(ids).__name__} of ints, where an array was expected; "
                "give np.asarray(ids), or a list of arrays, one a document"
            )
        named = [(f"ids[{index}]", item) for index, item in enumerate(ids)]
    else:
        named = [("ids", ids)]
    for name, document in named:
        if not isinstance(document, np.ndarray):
            raise TypeError(
                f"TokenStream: {name} is a {type(document).__name__}, where an integer NumPy array (N,) was "
                "expected; give np.asarray of one document's ids, or a list of such arrays"
            )
        if document.ndim != 1:
            raise ValueError(
                f"TokenStream: {name} has the shape {document.shape}, where (N,) was expected; "
                "give one array a document"
            )
        if document.dtype.kind not in "iu":
            raise TypeError(
                f"TokenStream: {name} is of dtype {document.dtype}, where integers were expected; "
                "a tokenizer's encode gives them"
            )
    return tuple(document for _, document in named)


def _too_short(stream: TokenStream, transitions: NDArray[np.int64], pieces: int) -> str:
    """Why there are too few pieces, and what would fit."""
    message = (
        f"TokenStream: {stream.tokens} tokens (documents: {len(stream.documents)}) are too short for "
        f"batch={stream.batch}, steps={stream.steps}: "
    )
    if not pieces:
        return message + "no token has a next one in its document; give a document of at least 2 tokens"
    message += f"they give {pieces} pieces, where each row needs one; the largest batch with these steps is {pieces}"
    # Shorter steps never give fewer pieces, so the largest that fits is found by halving.
    largest = bisect_right(range(1, stream.steps), -stream.batch, key=lambda s: -int(_pieces(transitions, s).sum()))
    return message + (f", the largest steps with this batch {largest}" if largest else "")
