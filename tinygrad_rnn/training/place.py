"""Where a training stands: how much is done, when to report, and when it is over."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core.arguments import check_size
from ..core.device import on_host
from ..data.batch import Batch
from ..optim.settings import check_number
from .history import History


class Place:
    """The counters of a training, and its limits.

    Args:
        memory: what `memory` of an earlier training gave; its counts go on.
        epochs, steps, seconds, every: as in `fit`.
        seed: that of the batches, if they have one, which must be the same as before.

    Raises:
        TypeError: not exactly one of `epochs`, `steps` and `seconds` is given, or one is not a number.
        ValueError: one is out of range, or `memory` is not what `memory()` gives.
    """

    def __init__(
        self, memory: Mapping[str, Any] | None, *, epochs: Any, steps: Any, seconds: Any, every: Any, seed: int | None
    ) -> None:
        if sum(limit is not None for limit in (epochs, steps, seconds)) != 1:
            raise TypeError("fit: give exactly one of epochs, steps and seconds")
        self.epochs = None if epochs is None else check_size("fit", "epochs", epochs)
        self.steps = None if steps is None else check_size("fit", "steps", steps)
        self.limit = None if seconds is None else check_number("fit", "seconds", seconds, "above 0")
        self.every = None if every is None else check_size("fit", "every", every)
        self.epoch = self.batch = self.step = self.counted = 0
        self.total: Any = 0.0
        self.before, self.history, self.seed = 0.0, History(), seed
        if memory is not None:
            self._restore(memory)
        self.pending, self.first, self._start = 0, self.step, time.monotonic()
        self.length: int | None = None  # batches of this epoch, if that is known
        self.late = False  # whether the time is over, by the clock that counts

    @property
    def seconds(self) -> float:
        """The time that the training has taken, before it was resumed too."""
        return self.before + time.monotonic() - self._start

    @property
    def loss(self) -> float:
        """The mean loss since the last report."""
        return float(on_host(self.total)) / self.counted if self.counted else math.nan

    def add(self, loss: Any) -> None:
        """Count a batch and its loss, a float or an array () of a GPU."""
        self.batch += 1
        self.pending += 1
        if not isinstance(loss, float) or math.isfinite(loss):
            self.total, self.counted = self.total + loss, self.counted + 1

    def is_over(self) -> bool:
        """Whether one of the limits is reached; that of time after the first step at the earliest."""
        if self.steps is not None:
            return self.step >= self.steps
        if self.epochs is not None:
            return self.epoch >= self.epochs
        return self.late and self.step > self.first

    def is_late(self) -> bool:
        """Whether the time is over, by the clock of this process."""
        return self.limit is not None and time.monotonic() - self._start >= self.limit

    def is_due(self, epoch_ends: bool) -> bool:
        """Whether it is time for a report: there were steps since the last, and it is the end, or as `every` says."""
        if self.history and self.history[-1]["step"] == self.step:
            return False
        if self.is_over():
            return True
        return epoch_ends if self.every is None else not self.pending and self.step % self.every == 0

    def report(self, lr: float, measures: Mapping[str, Any]) -> None:
        """Add a row to the history, and begin the next mean."""
        epochs = self.epoch + (self.batch == self.length)
        row = {"step": self.step, "epoch": epochs, "loss": self.loss, "lr": lr, "seconds": self.seconds}
        self.history.append({**row, **measures})
        self.total, self.counted = 0.0, 0

    def memory(self) -> dict[str, Any]:
        """The counters, in a form for JSON."""
        counts = {"epoch": self.epoch, "batch": self.batch, "step": self.step, "counted": self.counted}
        return {
            **counts,
            "seed": self.seed,
            "total": float(on_host(self.total)),
            "seconds": self.seconds,
            "history": self.history.columns(),
        }

    def _restore(self, memory: Mapping[str, Any]) -> None:
        try:
            self.epoch, self.batch, self.step, self.counted = (
                int(memory[name]) for name in ("epoch", "batch", "step", "counted")
            )
            self.total, self.before = float(memory["total"]), float(memory["seconds"])
            self.history = History.of_columns(memory["history"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"fit: the metadata of resume has no counters of a training by fit: {error!r}") from error
        if memory.get("seed") != self.seed:
            raise ValueError(
                f"fit: batches have the seed {self.seed}, and had {memory.get('seed')} before resume, which would "
                "change their order: make them with a generator in the same state"
            )


def endless(batches: Iterable[Batch], place: Place) -> Iterator[Batch | None]:
    """The batches from `place` on, epoch after epoch, and None where an epoch ends.

    Raises:
        TypeError: `batches` cannot be gone through, or not from the middle on.
        ValueError: there is none.
    """
    source: Any = batches
    while True:
        epoch = source.epoch(place.epoch) if hasattr(source, "epoch") else source
        if hasattr(epoch, "__getitem__") and hasattr(epoch, "__len__"):
            place.length = len(epoch)
            epoch = map(epoch.__getitem__, range(place.batch, len(epoch)))
        elif place.batch:
            raise TypeError(
                "fit: batches cannot be resumed in the middle of an epoch: give a list, a TokenStream or "
                f"SequenceBatches, not a {type(source).__name__}"
            )
        first = place.batch
        yield from epoch
        if place.batch == first == 0:
            raise ValueError(
                "fit: batches are empty, or an iterator that has ended: give a list or a source of batches"
            )
        place.epoch, place.batch = place.epoch + 1, 0
        yield None
