"""Sequences of different lengths in one padded array, and batches of similar lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.arrays import Integers, NDArray
from ..core.checks import check_rng, check_size
from ..core.foreign import as_array


def pad(sequences: Sequence[NDArray[Any]], *, fill: int | float = 0) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sequences side by side in one array, each padded to the length of the longest.

    Without any sequence the result is an array (0, 0) of int64, and lengths (0,).

    Args:
        sequences: B arrays: integers (T_i,), or numbers (T_i, D) with the same D. All have one dtype; a T_i may be 0.
        fill: the value of the padding after the end of a sequence; for targets use -1, which a loss ignores.

    Returns:
        The array (T, B) or (T, B, D), new and of the dtype of the sequences, where T is the largest T_i; and their
        lengths T_i, (B,) of int64.

    Raises:
        TypeError: a sequence is not an array of integers or floating-point numbers, two differ in dtype, or `fill` is
            not a number.
        ValueError: a sequence does not have 1 or 2 axes, two differ in axes or in D, or the dtype cannot hold `fill`.

    Example:
        >>> array, lengths = pad([np.array([1, 2, 3]), np.array([4])], fill=-1)
        >>> array.T.tolist(), lengths.tolist()
        ([[1, 2, 3], [4, -1, -1]], [3, 1])
    """
    first = check_sequences("pad", "sequences", sequences)
    _check_fill(fill, first.dtype)
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    array = np.full((int(lengths.max(initial=0)), len(sequences), *first.shape[1:]), fill, first.dtype)
    for index, sequence in enumerate(sequences):
        array[: len(sequence), index] = sequence
    return array, lengths


def check_sequences(owner: str, name: str, sequences: Any) -> NDArray[Any]:
    """`sequences` must be arrays as `pad` takes them; gives the first one, or an empty array of int64 if there is none.

    Raises:
        TypeError: one is not an array of integers or floating-point numbers, or two differ in dtype.
        ValueError: one does not have 1 or 2 axes, or two differ in axes or in D.
    """
    if not (isinstance(sequences, (list, tuple)) or (type(sequences) is np.ndarray and sequences.ndim)):
        raise TypeError(f"{owner}: {name} must be a list of arrays, not a {type(sequences).__name__}")
    if not len(sequences):
        return np.zeros(0, np.int64)
    for index, sequence in enumerate(sequences):
        _check(f"{owner}: {name}", index, sequence, sequences[0])
        if type(sequences) is np.ndarray:
            break  # the others are like the first
    first: NDArray[Any] = sequences[0]
    return first


def _check(names: str, index: int, sequence: Any, first: NDArray[Any]) -> None:
    """A sequence must be an array that fits the first one."""
    name = f"{names}[{index}]"
    if type(sequence) not in (np.ndarray, np.memmap):  # of a masked array the mask would be lost
        raise TypeError(
            f"{name} is a {type(sequence).__name__}, where a NumPy array was expected; give np.asarray of it"
        )
    if sequence.dtype.kind not in "iuf":
        raise TypeError(f"{name} is of dtype {sequence.dtype}, where integers or floating-point numbers were expected")
    if sequence.ndim not in (1, 2):
        raise ValueError(f"{name} has the shape {sequence.shape}, where (T,) or (T, D) was expected")
    if sequence.dtype != first.dtype:
        raise TypeError(
            f"{name} is of dtype {sequence.dtype}, the first of {first.dtype}; convert one: .astype('{first.dtype}')"
        )
    if sequence.shape[1:] != first.shape[1:]:
        raise ValueError(
            f"{name} has the shape {sequence.shape}, the first {first.shape}; only the first axis may differ"
        )


def _check_fill(fill: Any, dtype: np.dtype[Any]) -> None:
    """`fill` must be a number that the dtype can hold: NumPy would silently cut 0.5 to 0."""
    if isinstance(fill, bool) or not isinstance(fill, int | float | np.integer | np.floating):
        raise TypeError(f"pad: fill is {fill!r}, where a number was expected")
    if dtype.kind == "f":
        return
    limits = np.iinfo(dtype)
    if fill != fill or not limits.min <= fill <= limits.max or int(fill) != fill:
        raise ValueError(
            f"pad: fill={fill} is not a number of the sequences' dtype {dtype}; convert them first: .astype('int64')"
        )


def length_batches(
    lengths: Sequence[int] | Integers, *, batch: int, rng: np.random.Generator | None = None
) -> list[NDArray[np.int64]]:
    """Batches of sequences of similar length, with little padding: one epoch, each sequence in exactly one batch.

    The sequences are sorted by length and cut into batches of `batch`; the one with the longest may be smaller. This
    takes O(N log N) time and 8 bytes per sequence.

    Args:
        lengths: the lengths (N,) of the sequences, integers of at least 0.
        batch: how many sequences a batch has.
        rng: shuffles the batches, and the sequences of equal length; call the function again for each epoch. With None
            the shortest come first, and sequences of equal length in their order.

    Returns:
        The batches as indices into `lengths`, arrays (B,) of int64 with 1 <= B <= batch. Without sequences there is
        none.

    Raises:
        TypeError: `lengths` are not integers, `batch` is not an integer, or `rng` is not a Generator.
        ValueError: `lengths` are not one row, one is below 0, or `batch` is below 1.

    Example:
        >>> words = ["gated", "a", "recurrent", "net", "is"]
        >>> for indices in length_batches([len(word) for word in words], batch=2):
        ...     print([words[i] for i in indices])
        ['a', 'is']
        ['net', 'gated']
        ['recurrent']
    """
    batch = check_size("length_batches", "batch", batch)
    if rng is not None:
        check_rng("length_batches", rng)
    array = as_array("length_batches", "lengths", lengths)
    if array.ndim != 1:
        raise ValueError(f"length_batches: lengths has the shape {array.shape}, where (N,) was expected")
    if not array.size:  # also [], which NumPy makes a float array
        return []
    if array.dtype.kind not in "iu":
        raise TypeError(f"length_batches: lengths are {array.dtype}, where integers were expected; take len() of each")
    if array.min() < 0:
        index = int(np.argmax(array < 0))
        raise ValueError(f"length_batches: lengths[{index}] is {array[index]}, where at least 0 was expected")
    order = np.arange(len(array)) if rng is None else rng.permutation(len(array))
    order = order[np.argsort(array[order], kind="stable")].astype(np.int64, copy=False)
    batches = [order[start : start + batch] for start in range(0, len(order), batch)]
    return batches if rng is None else [batches[i] for i in rng.permutation(len(batches))]
