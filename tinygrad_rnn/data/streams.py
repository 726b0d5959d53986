"""Documents packed into chunks (T, B) for truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..core.arrays import Booleans, Integers
from ..core.checks import check_size
from ..core.foreign import check_not_masked
from .batch import Batch
from .documents import Documents


class TokenStream:
    """`batch` rows of text read side by side, `steps` tokens at a time.

    One iteration is one epoch. The stream itself does not change, so several may run at once. An epoch gives
    `len(stream)` batches of new arrays, and `stream[k]` gives batch k alone:

    - xs (T, B), int64: the tokens.
    - targets (T, B), int64: the token after each.
    - starts (T, B), bool: True where a document, or the row's part of the text, begins, so that the state is reset.

    A transition is a token and the next one of the same document: a document of n tokens has n - 1, and a document of
    fewer than two tokens is skipped. The transitions of all documents, in order, are cut into `batch` runs whose sizes
    differ by at most one: these are the rows. So each transition is in exactly one batch of an epoch, and documents
    follow each other in a row without padding. Only the last batch may have fewer steps. A row that is one step shorter
    than the others ends there in token 0 and target -1, which a loss ignores.

    The ids are read when their batch is made, and not copied before, so a memory map stays on disk. Their values are
    not checked. The stream itself takes 16 bytes per document, whatever the length.

    Args:
        ids: one document, an integer array (N,), or a list or tuple of such arrays, one per document, or what
            `split_documents` gives.
        batch: the number B of rows.
        steps: the number T of steps in a batch.

    Attributes: `batch`, `steps`, `documents` (a sequence of the given arrays), `tokens` and `transitions` (the total
    numbers of both).

    Raises:
        TypeError: `ids` holds anything but integer arrays; `batch` or `steps` is not an int.
        ValueError: an array is not 1-D; `batch` or `steps` is below 1; there are fewer transitions than `batch`.

    Example:
        >>> for xs, targets, _, starts, _ in TokenStream([np.arange(5), np.arange(10, 14)], batch=2, steps=2):
        ...     print(xs.T.tolist(), targets.T.tolist(), starts.astype(int).T.tolist())
        [[0, 1], [3, 10]] [[1, 2], [4, 11]] [[1, 0], [1, 1]]
        [[2, 0], [11, 12]] [[3, -1], [12, 13]] [[0, 0], [0, 0]]
    """

    def __init__(self, ids: Integers | Sequence[Integers], *, batch: int, steps: int) -> None:
        batch = check_size("TokenStream", "batch", batch)
        steps = check_size("TokenStream", "steps", steps)
        self.batch, self.steps = int(batch), int(steps)
        self.documents = _documents(ids)
        sizes = _sizes(self.documents)
        # Where each document begins, counted in tokens and in transitions; one more entry is where the last one ends.
        self._tokens = np.append(0, np.cumsum(sizes))
        self._transitions = np.append(0, np.cumsum(np.maximum(sizes - 1, 0)))
        self.tokens, self.transitions = int(self._tokens[-1]), int(self._transitions[-1])
        if self.transitions < self.batch:
            raise ValueError(
                f"TokenStream: {self.tokens} tokens (documents: {len(self.documents)}) are too short for "
                f"batch={self.batch}: {self.transitions} tokens have a next token in their document, and each row "
                "needs one. "
                + (f"The largest batch is {self.transitions}" if self.transitions else "Give a document of 2 tokens")
            )

    def __len__(self) -> int:
        longest = -(-self.transitions // self.batch)
        return -(-longest // self.steps)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, k: int) -> Batch:
        """Batch `k` of an epoch, such as the one at which training resumes.

        Raises:
            IndexError: there is no such batch.
        """
        return self.rows(k, 0, self.batch)

    def rows(self, k: int, first: int, stop: int) -> Batch:
        """The rows `first` to `stop` - 1 of batch `k`; of the others no token is read.

        Raises:
            IndexError: there is no such batch, or there are no such rows.
        """
        if not 0 <= k < len(self):
            raise IndexError(f"TokenStream: batch {k} of an epoch of {len(self)}")
        if not 0 <= first <= stop <= self.batch:
            raise IndexError(f"TokenStream: rows {first} to {stop} of a batch of {self.batch}")
        longest = -(-self.transitions // self.batch)
        steps, width = min(self.steps, longest - k * self.steps), stop - first
        xs, targets = np.zeros((steps, width), np.int64), np.full((steps, width), -1, np.int64)
        starts = np.zeros((steps, width), np.bool)
        for row in range(width):
            run, end = (self.transitions * (first + r) // self.batch for r in (row, row + 1))
            begin = run + k * self.steps
            last = min(begin + steps, end)
            xs[: last - begin, row], targets[: last - begin, row], starts[: last - begin, row] = self._read(begin, last)
        starts[0] |= k == 0
        return Batch(xs, targets, starts=starts)

    def _read(self, first: int, last: int) -> tuple[Integers, Integers, Booleans]:
        """The tokens of the transitions from `first` up to `last`, the tokens after them, and where documents begin."""
        transitions = np.arange(first, last)
        # Documents without transitions begin at the same transition as the next document: `right` skips them.
        of = np.searchsorted(self._transitions, transitions, side="right") - 1
        places = transitions - self._transitions[of] + self._tokens[of]
        if not len(places):
            return places, places, places > 0
        start, stop, document, final = int(places[0]), int(places[-1]) + 2, int(of[0]), int(of[-1])
        pieces = list(self.documents[document : final + 1])
        pieces[-1] = pieces[-1][: stop - int(self._tokens[final])]
        pieces[0] = pieces[0][start - int(self._tokens[document]) :]
        tokens = np.concatenate(pieces)
        return tokens[places - start], tokens[places - start + 1], transitions == self._transitions[of]


def _documents(ids: Any) -> Sequence[Integers]:
    """The documents of `ids`, not copied; an error says which of them is wrong."""
    if isinstance(ids, Documents):
        return ids
    if not isinstance(ids, list | tuple):
        _check("ids", ids)
        return (ids,)
    if ids and all(isinstance(item, int | np.integer) for item in ids):
        raise TypeError(
            f"TokenStream: ids is a {type(ids).__name__} of ints, where an array was expected; "
            "give np.asarray(ids), or a list of arrays, one per document"
        )
    for index, document in enumerate(ids):
        _check(f"ids[{index}]", document)
    return tuple(ids)


def _check(name: str, document: Any) -> None:
    """A document must be an integer array of one axis."""
    if not isinstance(document, np.ndarray):
        raise TypeError(
            f"TokenStream: {name} is a {type(document).__name__}, where an integer NumPy array (N,) was "
            "expected; give np.asarray of one document's ids, or a list of such arrays"
        )
    check_not_masked("TokenStream", name, document)
    if document.ndim != 1:
        raise ValueError(
            f"TokenStream: {name} has the shape {document.shape}, where (N,) was expected; give one array per document"
        )
    if document.dtype.kind not in "iu":
        raise TypeError(
            f"TokenStream: {name} is of dtype {document.dtype}, where integers were expected; "
            "a tokenizer's encode gives them"
        )


def _sizes(documents: Sequence[Integers]) -> Integers:
    """The number of tokens of each."""
    if isinstance(documents, Documents):
        return documents.lengths
    return np.fromiter(map(len, documents), np.int64, len(documents))
