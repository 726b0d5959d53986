"""Sequences of unlike lengths in one array, and which of them to put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import check_rng, check_size


def pad(sequences: Sequence[NDArray[Any]], *, fill: int | float = 0) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sequences side by side in one array, each filled up to the length of the longest.

    No sequence at all gives an array (0, 0) of int64, and lengths (0,).

    Args:
        sequences: B arrays: integers (T_i,), or numbers (T_i, D) with one D. All have one dtype; a T_i may be 0.
        fill: what stands behind the end of a sequence; of targets it is -1, which a loss ignores.

    Returns:
        The array (T, B) or (T, B, D), new and of the dtype of the sequences, where T is the largest T_i; and their
        lengths T_i, (B,) of int64.

    Raises:
        TypeError: a sequence is not an array of integers or floating-point numbers, two differ in dtype, or `fill` is
            no number.
        ValueError: a sequence is not of 1 or 2 axes, two differ in them or in D, or the dtype does not hold `fill`.

    Example:
        >>> array, lengths = pad([np.array([1, 2, 3]), np.array([4])], fill=-1)
        >>> array.T.tolist(), lengths.tolist()
        ([[1, 2, 3], [4, -1, -1]], [3, 1])
    """
    first: NDArray[Any] = np.zeros(0, np.int64)
    for index, sequence in enumerate(sequences):
        first = first if index else sequence
        _check(index, sequence, first)
    _check_fill(fill, first.dtype)
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    array = np.full((int(lengths.max(initial=0)), len(sequences), *first.shape[1:]), fill, first.dtype)
    for index, sequence in enumerate(sequences):
        array[: len(sequence), index] = sequence
    return array, lengths


def _check(index: int, sequence: Any, first: NDArray[Any]) -> None:
    """A sequence must be an array that goes with the first one."""
    name = f"pad: sequences[{index}]"
    if not isinstance(sequence, np.ndarray):
        raise TypeError(
            f"{name} is a {type(sequence).__name__}, where a NumPy array was expected; give np.asarray of it"
        )
    if sequence.dtype.kind not in "iuf":
        raise TypeError(f"{name} is of dtype {sequence.dtype}, where integers or floating-point numbers were expected")
    if sequence.ndim not in (1, 2):
        raise ValueError(f"{name} has the shape {sequence.shape}, where (T,) or (T, D) was expected")
    if sequence.dtype != first.dtype:
        raise TypeError(
            f"{name} is of dtype {sequence.dtype}, sequences[0] of {first.dtype}; convert one: .astype('{first.dtype}')"
        )
    if sequence.shape[1:] != first.shape[1:]:
        raise ValueError(
            f"{name} has the shape {sequence.shape}, sequences[0] {first.shape}; only the first axis may differ"
        )


def _check_fill(fill: Any, dtype: np.dtype[Any]) -> None:
    """`fill` must be a number of the dtype: NumPy would cut 0.5 to 0, silently."""
    if isinstance(fill, bool) or not isinstance(fill, int | float | np.integer | np.floating):
        raise TypeError(f"pad: fill is {fill!r}, where a number was expected")
    if dtype.kind == "f":
        return
    limits = np.iinfo(dtype)
    if fill != fill or not limits.min <= fill <= limits.max or int(fill) != fill:
        raise ValueError(
            f"pad: fill={fill} is no number of the sequences' dtype {dtype}; convert them first, as by .astype('int64')"
        )


def length_batches(
    lengths: Sequence[int] | NDArray[np.integer[Any]], *, batch: int, rng: np.random.Generator | None = None
) -> list[NDArray[np.int64]]:
    """Which sequences to put together so that little is padded: one epoch, each sequence in exactly one batch.

    The sequences are sorted by length and cut into batches of `batch`; the last cut, of the longest, may be smaller.
    That takes O(N log N) time and 8 bytes a sequence.

    Args:
        lengths: the lengths (N,) of the sequences, integers of at least 0.
        batch: how many sequences a batch has.
        rng: puts the batches into a random order, and sequences of equal length into batches at random; call anew for
            each epoch. None: the shortest first, equal ones in their order.

    Returns:
        The batches: indices into `lengths`, arrays (B,) of int64 with 1 <= B <= batch. No sequences: no batch.

    Raises:
        TypeError: `lengths` are not integers, `batch` is none, or `rng` is no Generator.
        ValueError: `lengths` are not one row, one is below 0, or `batch` is below 1.

    Example:
        >>> words = ["gated", "a", "recurrent", "net", "is"]
        >>> for indices in length_batches([len(word) for word in words], batch=2):
        ...     print([words[i] for i in indices])
        ['a', 'is']
        ['net', 'gated']
        ['recurrent']
    """
    check_size("length_batches", "batch", batch)
    if rng is not None:
        check_rng("length_batches", rng)
    array = np.asarray(lengths)
    if array.ndim != 1:
        raise ValueError(f"length_batches: lengths has the shape {array.shape}, where (N,) was expected")
    if not array.size:  # also [], to which NumPy gives a float type
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
