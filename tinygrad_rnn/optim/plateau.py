"""A learning rate that falls when the loss stops falling, or another measure stops rising."""

from __future__ import annotations

import math
from typing import Any, Literal

from ..core.arguments import check_choice, check_size
from ..core.arrays import Array, Float, device_name
from .base import Optimizer
from .settings import as_float, check_number, is_number, number, shown


class ReduceOnPlateau:
    """Lowers an optimizer's learning rate when a loss, usually the validation loss, stops improving.

    A loss improves if it is below the best loss so far by more than `threshold` times the absolute value of that one;
    with mode "max", as for an accuracy, if it is above it by more. NaN and infinity never improve.

    Args:
        optimizer: the optimizer whose `lr`, a number, is lowered.
        factor: the factor of the learning rate each time, above 0 to below 1.
        patience: how many losses in a row may not improve; the next one that does not lowers the learning rate.
        threshold: the least improvement, as a fraction of the best loss, at least 0.
        min_lr: the lowest learning rate, at least 0.
        mode: "min" where less is better, as of a loss; "max" where more is.
        cooldown: how many losses after the learning rate was lowered are not counted, whether they improve or not.

    Raises:
        ValueError: an argument is out of range.
        TypeError: the optimizer's `lr` is a function, or an argument is of another type.

    Example:
        >>> optimizer = SGD(Linear(1, 2, rng=np.random.default_rng(0)), lr=1.0)
        >>> plateau = ReduceOnPlateau(optimizer, patience=1)
        >>> [plateau.update(loss) for loss in (3.0, 2.0, 2.5, 2.0)], optimizer.lr
        ([False, False, False, True], 0.5)
    """

    factor: float = number("above 0 to below 1")
    threshold: float = number("at least 0")
    min_lr: float = number("at least 0")

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        factor: float = 0.5,
        patience: int = 5,
        threshold: float = 1e-4,
        min_lr: float = 0.0,
        mode: Literal["min", "max"] = "min",
        cooldown: int = 0,
    ) -> None:
        self.factor, self.threshold, self.min_lr = factor, threshold, min_lr
        self.patience = check_size("ReduceOnPlateau", "patience", patience, 0)
        self.cooldown = check_size("ReduceOnPlateau", "cooldown", cooldown, 0)
        check_choice("ReduceOnPlateau", "mode", mode, "min", "max")
        self.mode = mode
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"ReduceOnPlateau: optimizer must be an optimizer, not {shown(optimizer)}")
        if callable(optimizer.lr):
            raise TypeError("ReduceOnPlateau: the optimizer's lr is a function of the step, which nothing else can set")
        self.optimizer = optimizer
        self._best: float | None = None
        self._waited = self._cooling = 0

    def update(self, loss: float | Float[Array, ""]) -> bool:
        """Take the next loss, a number or an array (), on the host. Returns whether the learning rate was lowered.

        Raises:
            TypeError: `loss` is not a number on the host, or the optimizer's `lr` has become a function.
            FloatingPointError, RuntimeError: as in `check` of the optimizer, which this calls.
        """
        optimizer, rate, loss = self.optimizer, self._rate(), _on_host(loss)
        optimizer.check()
        self._waited += 1
        if self._improves(loss):
            self._best, self._waited = loss, 0
        if self._cooling:
            self._cooling, self._waited = self._cooling - 1, 0
        if self._waited <= self.patience:
            return False
        self._waited, self._cooling, lowered = 0, self.cooldown, max(rate * self.factor, self.min_lr)
        if lowered >= rate:
            return False
        optimizer.lr = lowered
        return True

    def memory(self) -> dict[str, Any]:
        """Its state and the current learning rate, in a form for JSON: for the metadata of `save`.

        Raises:
            TypeError: the optimizer's `lr` has become a function.
        """
        return {"best": self._best, "waited": self._waited, "lr": self._rate(), "cooling": self._cooling}

    def restore(self, memory: dict[str, Any]) -> None:
        """Take over what `memory` of another one gave, and set the optimizer's learning rate.

        Raises:
            TypeError: `memory` is not a dict, a value in it is of another type, or the optimizer's `lr` has become a
                function.
            ValueError: `memory` has other keys, or a value is out of range. Nothing is changed.
        """
        owner, expected = "ReduceOnPlateau.restore", self.memory().keys()
        if not isinstance(memory, dict):
            raise TypeError(f"{owner}: memory must be a dict, what memory() gave, not a {type(memory).__name__}")
        memory = {"cooling": 0, **memory}  # which that of an older version lacks
        if memory.keys() != expected:
            raise ValueError(f"{owner}: expected {', '.join(expected)}, not {', '.join(map(str, memory))}")
        best, waited, lr = memory["best"], memory["waited"], memory["lr"]
        if best is not None:
            best = check_number(owner, "best", best, "finite")
        waited, lr = check_size(owner, "waited", waited, 0), check_number(owner, "lr", lr, "at least 0")
        cooling = check_size(owner, "cooling", memory["cooling"], 0)
        self._best, self._waited, self._cooling, self.optimizer.lr = best, waited, cooling, lr

    def _improves(self, loss: float) -> bool:
        best = self._best
        if best is None or not math.isfinite(loss):
            return math.isfinite(loss)
        least = self.threshold * abs(best)
        return loss < best - least if self.mode == "min" else loss > best + least

    def _rate(self) -> float:
        """The learning rate of the optimizer."""
        lr = self.optimizer.lr
        if callable(lr):
            raise TypeError("ReduceOnPlateau: the optimizer's lr has become a function of the step")
        return check_number("ReduceOnPlateau", "the optimizer's lr", lr, "at least 0")


def _on_host(loss: Any) -> float:
    """The loss as a Python float."""
    if getattr(loss, "shape", None) == () and loss.dtype.kind in "fiu" and device_name(loss) == "cpu":
        return float(loss)
    if not is_number(loss):
        raise TypeError(
            "ReduceOnPlateau.update: loss must be a number, or an array () on the host, "
            f"float(device.to_host(loss)), not {shown(loss)}"
        )
    return as_float(loss)
