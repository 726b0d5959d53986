"""Batches of sequences of unlike lengths with their targets, for classification, regression and forecasting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..core.arrays import Array, Generator, Integers, NDArray
from ..core.checks import check_bool, check_rng, check_size
from .batch import Batch
from .batches import check_sequences, length_batches, pad


class SequenceBatches:
    """Sequences of different lengths with their targets, in padded batches of similar lengths.

    An epoch has each sequence in exactly one of `len(source)` batches. Every epoch is shuffled anew, as a pure function
    of `seed` and its number, so two integers, the epoch and the batch, say where training stopped. Batches are made on
    demand, of new arrays; `for batch in source` is epoch 0. Each `Batch` has:

    - xs (T, B, D), or ids (T, B): the sequences, 0 past their ends, where T is the longest of the batch.
    - targets: (B,) or (B, K), one for each row; or (T, B) or (T, B, K), one for each step, -1 or 0.0 past the end.
    - lengths (B,), int64.
    - weights: (B,), or (T, B) where each step has a target; None without `weights`.

    Nothing is converted: the dtypes are those of the arrays that are given.

    Args:
        sequences: N arrays, numbers (T_i, D) or ids (T_i,), in a list, or in one array (N, T, D) or (N, T).
        targets: one for each sequence: classes, an integer array (N,), or numbers, a float array (N,), which is taken
            as (N, 1), or (N, K). Or one for each step: a list of N arrays, classes (T_i,) or numbers (T_i,) or
            (T_i, K), or one array (N, T) of integers or (N, T, K). None for prediction.
        batch: how many sequences a batch has; the last one, or the one with the longest sequences, may have fewer.
        rng: shuffles; `seed` is drawn from it once. With None there is no shuffling: the batches have the sequences in
            their order, so predictions come in that order, too.
        weights: the weight of each sequence, numbers of at least 0, a float array (N,); or of each step, a list of
            arrays (T_i,), or one array (N, T).
        by_length: whether a batch has sequences of similar length, with little padding, if there is an `rng`. Use False
            if the length depends on the class, so that most batches would have only one class.

    Attributes: `batch`, `seed`, `by_length` and `lengths` (N,).

    Raises:
        TypeError: an array is of the wrong kind, or targets or weights differ in dtype from sequences of numbers.
        ValueError: there is no sequence, a shape or a length does not fit, or a weight is below 0 or not finite.

    Example:
        >>> sequences = [np.full((n, 1), n, np.float32) for n in (3, 1, 2, 3)]
        >>> for batch in SequenceBatches(sequences, np.array([0, 1, 1, 0]), batch=2):
        ...     print(batch.xs[..., 0].T.tolist(), batch.targets, batch.lengths)
        [[3.0, 3.0, 3.0], [1.0, 0.0, 0.0]] [0 1] [3 1]
        [[2.0, 2.0, 0.0], [3.0, 3.0, 3.0]] [1 0] [2 3]
        >>> source = SequenceBatches(sequences, np.array([0, 1, 1, 0]), batch=2, rng=np.random.default_rng(0))
        >>> [source.epoch(number)[0].lengths.tolist() for number in range(4)]
        [[3, 3], [1, 2], [1, 2], [3, 3]]
    """

    def __init__(
        self,
        sequences: Sequence[NDArray[Any]] | NDArray[Any],
        targets: Sequence[NDArray[Any]] | NDArray[Any] | None,
        *,
        batch: int,
        rng: Generator | None = None,
        weights: Sequence[Array] | Array | None = None,
        by_length: bool = True,
    ) -> None:
        self.batch = check_size("SequenceBatches", "batch", batch)
        if rng is not None:
            check_rng("SequenceBatches", rng)
        check_bool("SequenceBatches", "by_length", by_length)
        first = check_sequences("SequenceBatches", "sequences", sequences)
        if not len(sequences):
            raise ValueError("SequenceBatches: there are no sequences")
        if first.dtype.kind == "f" and first.ndim == 1:
            raise ValueError(
                f"SequenceBatches: sequences[0] has the shape {first.shape}, where numbers must be (T, D); if each has "
                "one feature, give [sequence[:, None] for sequence in sequences]"
            )
        self._sequences, self.by_length = sequences, by_length
        self.lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        numbers = first.dtype if first.dtype.kind == "f" else None
        self._targets, self._each_step = _targets(targets, self.lengths, numbers)
        self._weights = _weights(weights, self.lengths, numbers, self._each_step)
        self.seed = None if rng is None else int(rng.integers(1 << 63))

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.epoch(0))

    def epoch(self, number: int) -> Epoch:
        """The batches of the epoch of this number, from 0 on: `len`, `[k]`, and as often as you like in a loop.

        Raises:
            TypeError: `number` is not an integer.
            ValueError: it is below 0.
        """
        number = check_size("SequenceBatches.epoch", "number", number, least=0)
        if self.seed is None:
            return Epoch(self, _cut(np.arange(len(self.lengths)), self.batch))
        rng = np.random.default_rng([self.seed, number])
        if self.by_length:
            return Epoch(self, length_batches(self.lengths, batch=self.batch, rng=rng))
        return Epoch(self, _cut(rng.permutation(len(self.lengths)), self.batch))

    def of(self, indices: Integers) -> Batch:
        """The batch of the sequences of these indices (B,), in this order."""
        xs, lengths = pad([self._sequences[i] for i in indices])
        targets, weights = self._targets, self._weights
        if self._each_step:
            steps = [targets[i] for i in indices]
            targets, _ = pad(steps, fill=0 if steps[0].dtype.kind == "f" else -1)
        elif targets is not None:
            targets = targets[indices]
        if isinstance(weights, list):
            weights, _ = pad([weights[i] for i in indices])
        elif weights is not None:
            weights = weights[indices]
            if self._each_step:
                weights = np.where(np.arange(len(xs))[:, None] < lengths, weights, 0).astype(weights.dtype)
        return Batch(xs, targets, lengths, weights=weights)


class Epoch:
    """The batches of one epoch, made on demand."""

    def __init__(self, source: SequenceBatches, indices: list[NDArray[np.int64]]) -> None:
        self._source = source
        self.indices = indices
        """Of each batch, which sequences it has: arrays (B,)."""

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, k: int) -> Batch:
        """Batch `k`, such as the one at which training resumes.

        Raises:
            IndexError: there is no such batch.
        """
        if not 0 <= k < len(self):
            raise IndexError(f"SequenceBatches: batch {k} of an epoch of {len(self)}")
        return self._source.of(self.indices[k])

    def __iter__(self) -> Iterator[Batch]:
        return map(self._source.of, self.indices)


def _cut(order: NDArray[np.int64], batch: int) -> list[NDArray[np.int64]]:
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def _targets(targets: Any, lengths: Integers, numbers: Any) -> tuple[Any, bool]:
    """The checked targets, and whether each step has one; they must be of the dtype `numbers`, None for any."""
    name = "SequenceBatches: targets"
    if targets is None:
        return None, False
    if isinstance(targets, (list, tuple)) or (
        type(targets) is np.ndarray and targets.ndim == 2 + (targets.dtype.kind == "f")
    ):
        first = check_sequences("SequenceBatches", "targets", targets)
        _check_count(name, targets, lengths)
        _check_steps(name, targets, lengths)
        if first.dtype.kind != "f" and first.ndim == 2:
            raise ValueError(
                f"{name}[0] has the shape {first.shape}, where classes (T,) or numbers (T, K) were expected"
            )
        if first.dtype.kind == "u":
            raise TypeError(f"{name} is of dtype {first.dtype}, which cannot hold the -1 of padding: .astype('int64')")
        _check_dtype(name, first, numbers)
        return [array[:, None] if first.dtype.kind == "f" and first.ndim == 1 else array for array in targets], True
    if type(targets) is not np.ndarray or targets.dtype.kind not in "iuf":
        came = f"an array of {targets.dtype}" if isinstance(targets, np.ndarray) else f"a {type(targets).__name__}"
        raise TypeError(
            f"{name} is {came}, where a NumPy array of integers or floating-point numbers, or a list of one such array "
            "for each sequence was expected"
        )
    if targets.ndim not in (1, 2):
        raise ValueError(f"{name} has the shape {targets.shape}, where (N,), (N, K) or a list of arrays was expected")
    _check_count(name, targets, lengths)
    _check_dtype(name, targets, numbers)
    return (targets[:, None] if targets.dtype.kind == "f" and targets.ndim == 1 else targets), False


def _weights(weights: Any, lengths: Integers, numbers: Any, each_step: bool) -> Any:
    """The checked weights: None, an array (N,), or a list of arrays (T_i,)."""
    name = "SequenceBatches: weights"
    if weights is None:
        return None
    listed = isinstance(weights, (list, tuple)) or (each_step and type(weights) is np.ndarray and weights.ndim == 2)
    if not listed and type(weights) is not np.ndarray:
        raise TypeError(
            f"{name} is a {type(weights).__name__}, where a NumPy array (N,) or a list of arrays was expected"
        )
    if listed and not each_step:
        raise TypeError(f"{name} is a list, one array for each sequence, but each sequence has one target: give (N,)")
    first = check_sequences("SequenceBatches", "weights", weights) if listed else weights
    if first.ndim != 1:
        raise ValueError(f"{name} has the shape {first.shape}, where one axis was expected")
    if first.dtype.kind != "f":
        raise TypeError(f"{name} is of dtype {first.dtype}, where floating-point numbers were expected")
    _check_count(name, weights, lengths)
    _check_dtype(name, first, numbers)
    if listed:
        _check_steps(name, weights, lengths)
    for array in weights if listed else [weights]:
        wrong = ~(np.isfinite(array) & (array >= 0))
        if wrong.any():
            raise ValueError(f"{name} holds {array[wrong][0]}, where finite numbers of at least 0 were expected")
    return list(weights) if listed else weights


def _check_count(name: str, given: Any, lengths: Integers) -> None:
    if len(given) != len(lengths):
        raise ValueError(f"{name} has {len(given)} entries, but there are {len(lengths)} sequences; give one for each")


def _check_steps(name: str, given: Any, lengths: Integers) -> None:
    for i, (array, length) in enumerate(zip(given, lengths, strict=True)):
        if len(array) != length:
            raise ValueError(f"{name}[{i}] has {len(array)} steps, but sequences[{i}] has {length}")


def _check_dtype(name: str, array: Any, numbers: Any) -> None:
    if numbers is not None and array.dtype.kind == "f" and array.dtype != numbers:
        raise TypeError(f"{name} is of dtype {array.dtype}, the sequences of {numbers}; convert: .astype('{numbers}')")
