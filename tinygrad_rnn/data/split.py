"""Parts of a data set: for training, validation and test, by group, with the same mixture of classes."""

from __future__ import annotations

import math
from collections.abc import Sized
from typing import Any

import numpy as np

from ..core.arrays import Generator, NDArray
from ..core.checks import check_number, check_rng, check_size

Indices = NDArray[np.int64]


def split(
    data: int | Sized,
    *,
    fractions: tuple[float, ...] = (0.8, 0.1, 0.1),
    rng: Generator,
    groups: Any = None,
    stratify: Any = None,
) -> tuple[Indices, ...]:
    """Divide a data set at random into parts, such as for training, validation and test.

    Args:
        data: what is divided, such as the sequences or the targets, or just their number N.
        fractions: the fraction of the data in each part; they add up to 1.
        rng: draws the division.
        groups: (N,), such as the person who made each recording: no group is in two parts. If the groups differ much in
            size, the parts may have other fractions.
        stratify: (N,), such as the class of each: every part has the classes in the same proportions, as far as
            possible, and each class at least once.

    Returns:
        For each part the indices of its items, in order, an array of int64. Each of the N items is in exactly one
        part, and no part is empty.

    Raises:
        TypeError: `data` has no length, `fractions` is not a tuple of numbers, or `rng` is not a generator.
        ValueError: the fractions do not add up to 1, or one is not above 0; `groups` or `stratify` has another length
            than `data`; or it is impossible: fewer items, groups, or items of a class than parts.

    Example:
        >>> persons = np.repeat([0, 1, 2, 3], [4, 2, 2, 2])
        >>> train, test = split(10, fractions=(0.6, 0.4), rng=np.random.default_rng(0), groups=persons)
        >>> set(persons[train].tolist()) & set(persons[test].tolist()), len(train), len(test)
        (set(), 6, 4)
    """
    count = _count(data)
    shares = _check_fractions(fractions)
    check_rng("split", rng)
    classes = _codes("stratify", stratify, count)
    if groups is not None:
        return _by_group(_codes("groups", groups, count), classes, shares, rng, stratify is not None)
    part_of, owed = np.zeros(count, np.int64), np.zeros(len(shares))
    for number in range(int(classes.max(initial=-1)) + 1):
        members = rng.permutation(np.flatnonzero(classes == number))
        if len(members) < len(shares):
            what = (
                f"{_quoted(stratify, members)} stands {len(members)} times" if stratify is not None else f"{count} are"
            )
            raise ValueError(f"split: {what}, fewer than the {len(shares)} parts; give more data or fewer parts")
        sizes = _sizes(len(members), shares, owed)
        part_of[members] = np.repeat(np.arange(len(shares)), sizes)
        owed += len(members) * shares - sizes
    if not count:
        raise ValueError(f"split: there is nothing to divide into {len(shares)} parts")
    return tuple(np.flatnonzero(part_of == part) for part in range(len(shares)))


def _sizes(count: int, shares: NDArray[np.float64], owed: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of `count` each part gets: at least 1, and otherwise the nearest to its share.

    Of parts that lack the same, the one to which the classes before this `owed` most comes first: else the first part
    would have the odd one of every class.
    """
    sizes = np.maximum(np.floor(count * shares), 1).astype(np.int64)
    while sizes.sum() != count:
        lacking = (count * shares - sizes).round(9)  # of equal parts the same, whatever rounding has left
        if sizes.sum() < count:
            sizes[np.lexsort((-owed, -lacking))[0]] += 1
        else:
            sizes[np.lexsort((owed, np.where(sizes > 1, lacking, math.inf)))[0]] -= 1
    return sizes


def _by_group(
    groups: Indices, classes: Indices, shares: NDArray[np.float64], rng: Generator, stratified: bool
) -> tuple[Indices, ...]:
    """The parts, whole groups in each: the largest groups first, each to the part that lacks most of what it has."""
    count, parts = int(groups.max(initial=-1)) + 1, len(shares)
    if count < parts:
        raise ValueError(f"split: there are {count} groups, fewer than the {parts} parts, and no group can be in two")
    table = np.zeros((count, int(classes.max()) + 1))  # how often each group has each class
    np.add.at(table, (groups, classes), 1)
    table /= table.sum(axis=0)  # so that a rare class counts as much as others
    lacking = np.outer(shares, np.ones(table.shape[1]))
    part_of, empty = np.zeros(count, np.int64), set(range(parts))
    order = rng.permutation(count)
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    for left, group in zip(range(count, 0, -1), order, strict=True):
        open_to = sorted(empty) if left == len(empty) else range(parts)
        part = max(open_to, key=lambda part: float(lacking[part] @ table[group]))
        part_of[group] = part
        lacking[part] -= table[group]
        empty.discard(part)
    found = part_of[groups]
    for part in range(parts) if stratified else ():
        missing = set(classes.tolist()) - set(classes[found == part].tolist())
        if missing:
            raise ValueError(
                f"split: part {part} has no group with one of the classes of stratify: a class stands in too few "
                f"groups for {parts} parts, or groups are too large. Leave out stratify, or give fewer parts"
            )
    return tuple(np.flatnonzero(found == part) for part in range(parts))


def _count(data: Any) -> int:
    if isinstance(data, Sized) and getattr(data, "shape", None) != ():  # an array without axes is a number
        return len(data)
    return check_size("split", "data, if it has no length,", data, least=0)


def _check_fractions(fractions: Any) -> NDArray[np.float64]:
    if not isinstance(fractions, tuple):
        raise TypeError(f"split: fractions must be a tuple of numbers, not {fractions!r}")
    numbers = [check_number("split", f"fractions[{i}]", number) for i, number in enumerate(fractions)]
    for i, number in enumerate(numbers):
        if not 0 < number <= 1:
            raise ValueError(f"split: fractions[{i}] must be above 0 and at most 1, not {number}")
    if not math.isclose(math.fsum(numbers), 1, abs_tol=1e-6):
        raise ValueError(f"split: fractions must add up to 1, but {fractions} add up to {math.fsum(numbers):.4g}")
    return np.array(numbers)


def _codes(name: str, labels: Any, count: int) -> Indices:
    """A number from 0 on for each label, which may be anything that can be sorted."""
    if labels is None:
        return np.zeros(count, np.int64)
    array = np.asarray(labels)
    if array.shape != (count,):
        raise ValueError(f"split: {name} has the shape {array.shape}, where ({count},) was expected, one for each")
    if array.dtype.kind not in "iubUS":
        raise TypeError(f"split: {name} is of dtype {array.dtype}, where integers or strings were expected")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _quoted(labels: Any, members: Indices) -> str:
    return f"the class {np.asarray(labels)[members[0]].item()!r}"
