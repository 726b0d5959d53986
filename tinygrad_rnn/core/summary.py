"""The table that `Layer.summary` gives, from plain rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """The row of a layer or a parameter, as texts."""

    name: str
    layer: str
    size: str
    parameters: str


def table(rows: Sequence[Row], last_line: str) -> str:
    """The rows below a heading, in columns: texts to the left, numbers to the right; then the last line."""
    rows = [Row(*Row._fields), *rows]
    name, layer, size, parameters = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"{row[0]:{name}}  {row[1]:{layer}}  {row[2]:>{size}}  {row[3]:>{parameters}}" for row in rows]
    return "\n".join([*lines, last_line])
