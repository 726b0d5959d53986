"""The labels of a picture: invisible characters made visible, and letters small enough not to overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes

Labels: TypeAlias = Sequence[str] | np.ndarray
"""A text, a list of words, or an array of words, such as a column of `Recording.labels`."""

LETTER = 0.602  # the width of a letter of the font DejaVu Sans Mono, relative to its height
_VISIBLE = str.maketrans(" \n\t", "␣↵⇥")


def visible(names: Iterable[str]) -> list[str]:
    """The names, with a space written as ␣, the end of a line as ↵, a tab as ⇥."""
    return [str(name).translate(_VISIBLE) for name in names]


def room(axes: Axes, columns: int, rows: int) -> tuple[float, float]:
    """Width and height, in points, of one of `columns` by `rows` cells of these axes."""
    box, dots = axes.bbox, axes.figure.dpi
    return 72 * box.width / dots / columns, 72 * box.height / dots / rows


def name_steps(axis: Any, names: Labels, width: float) -> None:
    """Write the names below steps of `width` points: in a monospaced font, and upright if all of them fit."""
    labels = visible(names)
    longest = max(map(len, labels))
    upright = longest == 1 or 0.95 * width / (LETTER * longest) >= 6
    size = min(10.0, 0.95 * width / (LETTER * longest if upright else 1.1))
    write(axis, labels, size, rotation=0.0 if upright else 90.0)


def name_rows(axis: Any, labels: Sequence[str], height: float) -> None:
    """Write the labels beside rows of `height` points."""
    write(axis, labels, min(10.0, 0.95 * height))


def write(axis: Any, labels: Sequence[str], size: float, rotation: float = 0.0) -> None:
    """Write one label per cell, without ticks, and with a dollar sign as itself."""
    axis.set_ticks(range(len(labels)), labels, rotation=rotation, size=size, family="monospace", parse_math=False)
    axis.set_tick_params(length=0, pad=2)
