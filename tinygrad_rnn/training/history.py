"""The history of a training: a table with a row for each report."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.arguments import check_choice, check_str
from ..core.files import as_path, replacing


class History(list[dict[str, Any]]):
    """The reports of a training, oldest first: a list of dicts, with the same keys in each.

    Keys are `step`, `epoch`, `loss` (the mean over the steps since the last report), `lr` and `seconds`; with a
    validation also `validation_loss`, and `validation_` before the name of each metric.

    Args:
        rows: the reports.

    Raises:
        TypeError: they are not dicts.

    Example:
        >>> history = History([{"step": 10, "loss": 2.5}, {"step": 20, "loss": 2.25}])
        >>> history.column("loss"), history[-1]["step"]
        ([2.5, 2.25], 20)
    """

    stopped: str | None = None
    """Why the training ended before its time, if a callback or a signal ended it."""

    def __init__(self, rows: Iterable[dict[str, Any]] = ()) -> None:
        try:
            super().__init__([dict(row) for row in rows])
        except (TypeError, ValueError) as error:
            raise TypeError(f"History: rows must be dicts, not {rows!r:.80}") from error

    def column(self, name: str) -> list[Any]:
        """The values of all rows under this name.

        Raises:
            TypeError: `name` is not a str.
            ValueError: a row has none; the message lists the names.
        """
        return self._column("History.column", name)

    def columns(self) -> dict[str, list[Any]]:
        """The value of each row under each name that occurs; None where a row has none."""
        names = dict.fromkeys(name for row in self for name in row)
        return {name: [row.get(name) for row in self] for name in names}

    @classmethod
    def of_columns(cls, columns: Mapping[str, list[Any]]) -> History:
        """The history that gave these `columns()`.

        Raises:
            TypeError, ValueError: they are no columns of one length.
        """
        rows = list(zip(*columns.values(), strict=True))
        return cls({k: v for k, v in zip(columns, row, strict=True) if v is not None} for row in rows)

    def best(self, name: str, mode: str = "min") -> int:
        """The index of the first row with the smallest value under this name; for mode "max" with the largest.

        Values that are not finite count as worst. Without rows it is -1.

        Raises:
            TypeError: `name` is not a str.
            ValueError: a row has no such value, or `mode` is neither "min" nor "max".
        """
        check_choice("History.best", "mode", mode, "min", "max")
        sign = 1 if mode == "min" else -1
        values = [sign * value if value - value == 0 else float("inf") for value in self._column("History.best", name)]
        return min(range(len(values)), key=values.__getitem__, default=-1)

    def _column(self, call: str, name: str) -> list[Any]:
        check_str(call, "name", name)
        for index, row in enumerate(self):
            if name not in row:
                raise ValueError(f"{call}: row {index} has no {name!r}; it has {', '.join(row)}")
        return [row[name] for row in self]

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV, with the names in the first line.

        Raises:
            OSError: the file cannot be written.
        """
        names = list(self.columns())
        with replacing(as_path(path, "History.save_csv"), "History.save_csv") as file:
            text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
            lines = csv.DictWriter(text, names, lineterminator="\n")
            lines.writeheader()
            lines.writerows(self)
            text.detach()
