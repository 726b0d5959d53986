"""Callbacks of `fit`: functions of its `Report`, which may end the training by giving a reason."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..core.arguments import check_choice, check_rng, check_size, check_str
from ..core.files import as_path
from ..generation.text import Tokenizer, generate_text
from ..optim.settings import check_number
from .fit import Report


class EarlyStopping:
    """Ends the training when a measure has not improved for some reports. It reads the history and stores nothing.

    Args:
        patience: how many reports in a row may bring no improvement; the next one ends the training.
        of: the name of the measure in the history.
        mode: "min" where less is better, "max" where more is.
        least: the least change that is an improvement.

    Raises:
        TypeError, ValueError: an argument is of another kind or out of range.

    References:
        Prechelt, *Early Stopping - But When?*, 1998.
    """

    def __init__(
        self, patience: int = 5, *, of: str = "validation_loss", mode: str = "min", least: float = 0.0
    ) -> None:
        self.patience = check_size("EarlyStopping", "patience", patience)
        check_str("EarlyStopping", "of", of)
        check_choice("EarlyStopping", "mode", mode, "min", "max")
        self.of, self.mode, self.least = of, mode, check_number("EarlyStopping", "least", least, "at least 0")

    def __call__(self, report: Report) -> str | None:
        sign = 1 if self.mode == "min" else -1
        best, since = float("inf"), 0
        for value in report.history.column(self.of):
            best, since = (sign * value, 0) if sign * value < best - self.least else (best, since + 1)
        return f"{self.of} has not improved for {since} reports" if since > self.patience else None


class BestCheckpoint:
    """Writes a checkpoint whenever a measure is the best so far.

    Args:
        path: the file.
        of: the name of the measure in the history.
        mode: "min" where less is better, "max" where more is.

    Raises:
        TypeError, ValueError: an argument is of another kind.
    """

    def __init__(self, path: str | os.PathLike[str], *, of: str = "validation_loss", mode: str = "min") -> None:
        check_str("BestCheckpoint", "of", of)
        check_choice("BestCheckpoint", "mode", mode, "min", "max")
        self.path, self.of, self.mode = as_path(path, "BestCheckpoint"), of, mode

    def __call__(self, report: Report) -> None:
        if report.history.best(self.of, self.mode) == len(report.history) - 1:
            report.save(self.path)


class JSONLines:
    """Appends each row of the history to a file, as a line of JSON; the first row of a training replaces the file.

    Args:
        path: the file.

    Raises:
        TypeError, ValueError: it is not a path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path(path, "JSONLines")

    def __call__(self, report: Report) -> None:
        with open(self.path, "w" if len(report.history) == 1 else "a", encoding="utf-8") as file:
            print(json.dumps(report.history[-1]), file=file)


class Sample:
    """Generates a text with a language model after some reports.

    Args:
        tokenizer: that of the model.
        prompt: the beginning, from which the text goes on.
        rng: draws the tokens; each text has a stream spawned from it, so a text depends only on how many came before.
        every: the number of reports from one text to the next.
        show: a function that is called with the text; by default it prints the text above the bar.
        how: as in `generate_text`, such as `length` and `temperature`.

    Raises:
        TypeError, ValueError: an argument is of another kind, or `generate_text` has no argument of this name.
    """

    def __init__(
        self,
        tokenizer: Any,
        prompt: str,
        *,
        rng: np.random.Generator,
        every: int = 1,
        show: Callable[[str], object] | None = None,
        **how: Any,
    ) -> None:
        check_rng("Sample", rng)
        check_str("Sample", "prompt", prompt)
        if not isinstance(tokenizer, Tokenizer):
            raise TypeError(f"Sample: tokenizer must have encode and decode, as CharTokenizer, not {tokenizer!r:.80}")
        if show is not None and not callable(show):
            raise TypeError(f"Sample: show must be a function of a str, not {show!r:.80}")
        unknown = how.keys() - inspect.signature(generate_text).parameters.keys()
        if unknown:
            raise TypeError(f"Sample: generate_text has no argument {', '.join(sorted(unknown))}")
        self.tokenizer, self.prompt, self.rng, self.show = tokenizer, prompt, rng, show
        self.every, self.how = check_size("Sample", "every", every), {"length": 200, **how}

    def __call__(self, report: Report) -> None:
        if len(report.history) % self.every:
            return
        (rng,) = self.rng.spawn(1)
        model: Any = report.model
        text = "".join(generate_text(model, self.tokenizer, self.prompt, rng=rng, **self.how))
        if self.show is not None:
            self.show(f"{self.prompt}{text}")
        else:
            tqdm.write(f"step {report.step:,}: {self.prompt}{text}\n")
