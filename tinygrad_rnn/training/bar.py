"""The bar that shows how far a training is."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm.auto import tqdm

from .place import Place

PERIOD = 0.2
"""Seconds from one drawing to the next."""


class Bar:
    """A bar of tqdm: percent and time left, the loss, and what was measured last.

    Args:
        place: where the training stands.
        shown: whether it is drawn; None: in a terminal, or in a notebook.
        length: how many steps an epoch has; None if nobody knows.
    """

    def __init__(self, place: Place, shown: bool | None, length: int | None) -> None:
        if shown is None:
            shown = sys.stderr.isatty() or "ipykernel" in sys.modules
        self._place, self._measured, self._next = place, "", 0.0
        total = place.steps or (None if place.epochs is None or length is None else place.epochs * length)
        self._timed = place.limit is not None
        kind: dict[str, Any] = {"total": total, "initial": place.step, "unit": " steps"}
        if self._timed:
            kind = {"total": round(place.limit or 0, 1), "bar_format": "{l_bar}{bar}| {remaining} left{postfix}"}
        self._bar: Any = tqdm(disable=not shown, dynamic_ncols=True, **kind)
        self._start, self._shown = time.monotonic(), shown

    def update(self) -> None:
        """Draw it anew, if it is time."""
        if not self._shown or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PERIOD
        place, bar = self._place, self._bar
        steps = f"{place.step:,} steps, " if self._timed else ""
        loss = place.loss if place.counted or not place.history else place.history[-1]["loss"]
        bar.set_postfix_str(f"{steps}loss {loss:.4g}{self._measured}", refresh=False)
        done = min(time.monotonic() - self._start, bar.total) if self._timed else place.step
        bar.update(done - bar.n)

    def report(self, row: dict[str, Any]) -> None:
        """Show what the validation of this row of the history measured."""
        shown = {name.removeprefix("validation_"): x for name, x in row.items() if name.startswith("validation_")}
        numbers = [f"{name} {x:.4g}" for name, x in shown.items() if isinstance(x, (int, float))]
        self._measured = f"; validation {', '.join(numbers)}" if numbers else ""
        self._next = 0.0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._next = 0.0
        self.update()
        self._bar.close()
