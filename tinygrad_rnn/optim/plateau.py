"""A learning rate that falls when the loss stops falling."""

from __future__ import annotations

import math
from typing import Any

from ..core.arrays import Array, Float
from ..core.checks import check_size
from .base import Optimizer


class ReduceOnPlateau:
    """Lowers an optimizer's learning rate when a loss, usually the validation loss, stops improving.

    A loss improves if it is below the best so far by more than `threshold` times that. NaN and infinity never improve.

    Args:
        optimizer: the optimizer whose `lr`, a number, is lowered.
        factor: the factor of the learning rate each time, above 0 to below 1.
        patience: how many losses in a row may not improve; the next one that does not lowers the learning rate.
        threshold: the least improvement, as a fraction of the best loss, at least 0.
        min_lr: the lowest learning rate, at least 0.

    Raises:
        ValueError: an argument is out of range.
        TypeError: the optimizer's `lr` is a function, or `patience` is not an integer.

    Example:
        >>> optimizer = SGD(Linear(1, 2, rng=np.random.default_rng(0)), lr=1.0)
        >>> plateau = ReduceOnPlateau(optimizer, patience=1)
        >>> [plateau.update(loss) for loss in (3.0, 2.0, 2.5, 2.0)], optimizer.lr
        ([False, False, False, True], 0.5)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        factor: float = 0.5,
        patience: int = 5,
        threshold: float = 1e-4,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"ReduceOnPlateau: factor must be above 0 to below 1, not {factor}")
        check_size("ReduceOnPlateau", "patience", patience, 0)
        if not threshold >= 0:
            raise ValueError(f"ReduceOnPlateau: threshold must be at least 0, not {threshold}")
        if not min_lr >= 0:
            raise ValueError(f"ReduceOnPlateau: min_lr must be at least 0, not {min_lr}")
        if callable(optimizer.lr):
            raise TypeError("ReduceOnPlateau: the optimizer's lr is a function of the step, which nothing else can set")
        self.optimizer = optimizer
        self.factor, self.patience, self.threshold, self.min_lr = factor, patience, threshold, min_lr
        self._best: float | None = None
        self._waited = 0

    def update(self, loss: float | Float[Array, ""]) -> bool:
        """Take the next loss, a number or an array (), on the host. Returns whether the learning rate was lowered.

        Raises:
            TypeError: the optimizer's `lr` has become a function.
        """
        optimizer, loss = self.optimizer, float(loss)
        if callable(optimizer.lr):
            raise TypeError("ReduceOnPlateau: the optimizer's lr has become a function of the step")
        best = self._best
        if math.isfinite(loss) and (best is None or loss < best - self.threshold * abs(best)):
            self._best, self._waited = loss, 0
            return False
        self._waited += 1
        if self._waited <= self.patience:
            return False
        self._waited, lowered = 0, max(optimizer.lr * self.factor, self.min_lr)
        if lowered >= optimizer.lr:
            return False
        optimizer.lr = lowered
        return True

    def memory(self) -> dict[str, Any]:
        """Its state and the current learning rate, in a form for JSON: for the metadata of `save`."""
        return {"best": self._best, "waited": self._waited, "lr": self.optimizer.lr}

    def restore(self, memory: dict[str, Any]) -> None:
        """Take over what `memory` of another one gave, and set the optimizer's learning rate.

        Raises:
            ValueError: `memory` has other keys; nothing is changed.
        """
        if memory.keys() != self.memory().keys():
            raise ValueError(f"ReduceOnPlateau.restore: expected {', '.join(self.memory())}, not {', '.join(memory)}")
        self._best, self._waited, self.optimizer.lr = memory["best"], memory["waited"], memory["lr"]
