"""What may change the logits before an id is drawn: a repetition penalty, a bias, bans, and a minimum length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..core.arrays import Array, Float
from ..core.checks import check_number, check_size
from ..core.foreign import check_is_array


class Steering(NamedTuple):
    """The checked settings of one call, for logits (V,)."""

    banned: tuple[tuple[int, ...], ...]
    """Sequences of ids, none of which may be completed."""
    bias: Float[Array, " V"] | None
    """Added to the logits, in float64."""
    penalty: float
    """Divides positive logits of ids that have occurred, and multiplies negative ones."""
    least: int
    """How many ids come before a stop id may be drawn."""
    ends: frozenset[int]
    """The stop ids."""

    def scores(self, logits: Array, ids: list[int], drawn: int) -> Array:
        """The changed `logits` (V,), -inf where banned, after `ids`: the prompt, and `drawn` more."""
        scores: Array = np.array(logits, np.float64)
        if self.penalty != 1:
            some = scores[ids]
            scores[ids] = np.where(some > 0, some / self.penalty, some * self.penalty)
        if self.bias is not None:
            scores += self.bias
        for *before, last in self.banned:
            if ids[len(ids) - len(before) :] == before:
                scores[last] = -np.inf
        if drawn < self.least:
            scores[list(self.ends)] = -np.inf
        return scores


def steering(
    owner: str, size: int, *, banned: Any, bias: Any, repetition_penalty: Any, min_length: Any, ends: frozenset[int]
) -> Steering | None:
    """The settings, checked for a vocabulary of `size` ids; None where they change nothing.

    Raises:
        ValueError: an id is outside the vocabulary, a bias is not finite or of another shape, the penalty is not above
            0 and finite, or `min_length` is negative.
        TypeError: an argument is of another kind.
    """
    sequences = _check_banned(owner, banned, size)
    row = None if bias is None else _check_bias(owner, bias, size)
    penalty = check_number(owner, "repetition_penalty", repetition_penalty)
    if not 0 < penalty < np.inf:
        raise ValueError(f"{owner}: repetition_penalty must be above 0, and finite; 1 is none. It is {penalty}")
    least = check_size(owner, "min_length", min_length, least=0)
    if not sequences and row is None and penalty == 1 and not (least and ends):
        return None
    return Steering(sequences, row, penalty, least, frozenset(end for end in ends if 0 <= end < size))


def check_some_left(owner: str, scores: Array, step: int) -> None:
    """One of `scores` (V,) must not be -inf.

    Raises:
        ValueError: all are.
    """
    if scores.max() == -np.inf:
        raise ValueError(
            f"{owner}: at step {step} every id is banned. Ban fewer; before there are min_length ids, those of "
            "stop are banned, too"
        )


def _check_banned(owner: str, banned: Any, size: int) -> tuple[tuple[int, ...], ...]:
    if not is_collection(banned):
        raise TypeError(f"{owner}: banned must be a collection of ids, such as (3,), not {banned!r}")
    sequences = []
    for entry in banned:
        sequence = entry if is_collection(entry) else (entry,)
        ids = tuple(_check_id(owner, "an id of banned", id, size) for id in sequence)
        if not ids:
            raise ValueError(f"{owner}: banned holds an empty sequence; leave it out")
        sequences.append(ids)
    return tuple(sequences)


def is_collection(value: Any) -> bool:
    """Whether `value` can be gone through, and is no text and no array without axes."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes)) and getattr(value, "ndim", 1) > 0


def _check_bias(owner: str, bias: Any, size: int) -> Array:
    row: Array = np.zeros(size)
    if isinstance(bias, Mapping):
        for id, number in bias.items():
            row[_check_id(owner, "an id of bias", id, size)] = check_number(owner, "a number of bias", number)
    else:
        check_is_array(owner, "bias", bias, "a mapping from ids to numbers, such as {3: -2.0}, or an array (V,)")
        if bias.dtype.kind not in "iuf":
            raise TypeError(f"{owner}: bias must hold numbers, not {bias.dtype}")
        if bias.shape != (size,):
            raise ValueError(f"{owner}: bias has shape {bias.shape}, expected ({size},): a number for each id")
        row += bias
    if not np.isfinite(row).all():
        wrong = int(np.isfinite(row).argmin())
        raise ValueError(f"{owner}: the bias of id {wrong} is {row[wrong]}, but must be finite; banned rules an id out")
    return row


def _check_id(owner: str, name: str, id: Any, size: int) -> int:
    number = check_size(owner, name, id, least=0)
    if number >= size:
        raise ValueError(f"{owner}: {name} is {number}, outside the vocabulary, 0 to {size - 1}")
    return number
