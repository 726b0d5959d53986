"""Which part of an array, in words: steps and rows, or columns and the gates that they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def place_of(mask: Any, axes: str, gates: tuple[str, ...], size: int | None) -> str:
    """Where the entries lie: `step 1, rows 0 to 2`, or `f, columns 4 to 7`; empty if they lie everywhere.

    Args:
        mask: which entries.
        axes: the letters of its leading axes, T or B; if there are none, its columns are told.
        gates: the names of the blocks of columns, if they have some.
        size: the width of a block.
    """
    parts = []
    for axis, letter in enumerate(axes[: mask.ndim]):
        its = np.flatnonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))
        if 0 < len(its) < mask.shape[axis]:
            parts.append(_range("row" if letter == "B" else "step", its))
    if not axes and mask.ndim:
        columns = mask.reshape(-1, mask.shape[-1]).any(axis=0)
        its = np.flatnonzero(columns)
        if 0 < len(its) < len(columns):
            parts.append(f"{_blocks(columns, gates, size or len(columns))}{_range('column', its)}")
    return ", ".join(parts)


def _blocks(columns: Any, gates: tuple[str, ...], size: int) -> str:
    """`f, ` for the columns of gate f."""
    count = len(columns) // size
    if len(columns) != count * size or count == 1:
        return ""
    its = [i for i in range(count) if columns[i * size : (i + 1) * size].any()]
    if len(gates) == count:
        return f"{listed(gates[i] for i in its)}, "
    return f"block {listed(str(i + 1) for i in its)} of {count}, "


def columns_of(name: str, whole: dict[str, Any], gates: tuple[str, ...]) -> Any:
    """The part of an array that a name tells: for `a_f` the columns of gate f of `a`, for `a_rz` those of r and z."""
    stem, part = name.partition("_")[0], gates_of(name, gates)
    if stem not in whole or not part or whole[stem].ndim != 2:
        return None
    width = whole[stem].shape[1] // len(gates)
    first = gates.index(part[0])
    return whole[stem][:, first * width : (first + len(part)) * width]


def gates_of(name: str, gates: tuple[str, ...]) -> tuple[str, ...]:
    """Those that a name ends in, which are neighbours: r and z for `a_rz`."""
    part = name.partition("_")[2]
    runs = (gates[first:last] for first in range(len(gates)) for last in range(first + 1, len(gates) + 1))
    return next((run for run in runs if "".join(run) == part), ())


def _range(word: str, numbers: Any) -> str:
    """`steps 0 to 2 and 5`."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    spans = (str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
    return f"{word}{'s'[: len(numbers) > 1]} {listed(spans)}"


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
