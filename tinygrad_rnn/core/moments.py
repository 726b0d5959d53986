"""Mean and standard deviation of each feature over sequences of unlike lengths, where there may be gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .arrays import NDArray


def moments(
    owner: str, sequences: Sequence[NDArray[Any]], *, gaps: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean (D,) and the standard deviation (D,) of each feature over all steps of `sequences`, in float64.

    One sequence is read at a time, twice. The deviation of a feature that varies by no more than rounding is 0.

    Args:
        owner: what an error begins with.
        sequences: arrays (T_i, D) of floating-point numbers.
        gaps: whether NaN is a gap, which is left out.

    Raises:
        TypeError: `sequences` is not a list of arrays of floating-point numbers.
        ValueError: a shape does not fit; a number is infinite, or NaN without `gaps`; a feature has no number.
    """
    _check(owner, sequences, gaps)
    count, total = 0, np.zeros(sequences[0].shape[1])
    for sequence in sequences:
        count = count + (sequence == sequence).sum(axis=0)
        total += np.nansum(sequence, axis=0, dtype=np.float64)
    for feature in np.flatnonzero(np.equal(count, 0)):
        raise ValueError(f"{owner}: feature {feature} has no number in any sequence, only gaps; leave it out")
    mean = total / count
    rest, squares = np.zeros(mean.shape), np.zeros(mean.shape)
    for sequence in sequences:
        deviations = sequence.astype(np.float64) - mean
        rest += np.nansum(deviations, axis=0)
        squares += np.nansum(deviations**2, axis=0)
    rest /= count  # what rounding has left out of the mean
    deviation = np.sqrt(np.maximum(squares / count - rest**2, 0))
    mean += rest
    return mean, np.where(deviation > np.finfo(sequences[0].dtype).eps * abs(mean), deviation, 0.0)


def _check(owner: str, sequences: Any, gaps: bool) -> None:
    """Raise unless these are sequences as `moments` takes them."""
    if not isinstance(sequences, (list, tuple)) and not (type(sequences) is np.ndarray and sequences.ndim == 3):
        raise TypeError(
            f"{owner}: sequences must be a list of arrays (T, D), not a {type(sequences).__name__}; for one array, [xs]"
        )
    if not len(sequences):
        raise ValueError(f"{owner}: there are no sequences")
    size = getattr(sequences[0], "shape", (0,))[-1:]
    for i, sequence in enumerate(sequences):
        name = f"{owner}: sequences[{i}]"
        if type(sequence) not in (np.ndarray, np.memmap):  # of a masked array the mask would be lost
            raise TypeError(f"{name} is a {type(sequence).__name__}, where a NumPy array (T, D) was expected")
        if sequence.dtype.kind != "f":
            raise TypeError(f"{name} is of dtype {sequence.dtype}, where floating-point numbers were expected")
        if sequence.ndim != 2 or sequence.shape[1:] != size or size == (0,):
            raise ValueError(f"{name} has the shape {sequence.shape}, where (T, D) with the same D in all was expected")
        wrong = np.isinf(sequence) if gaps else ~np.isfinite(sequence)
        if wrong.any():
            step, feature = np.argwhere(wrong)[0]
            number = sequence[step, feature]
            cure = ' if it is a gap, say gaps="zero" or gaps="mark"' if number != number else " mend or drop it"
            raise ValueError(f"{name} is {number} at step {step}, feature {feature};{cure}")
