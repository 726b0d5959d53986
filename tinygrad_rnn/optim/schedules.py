"""Learning rates that change: functions of the number of steps taken so far, for the `lr` of an optimizer.

They depend on nothing else, so to resume training from a checkpoint only the number of steps is needed.

Example:
    >>> from tinygrad_rnn import schedules
    >>> lr = schedules.cosine(1.0, steps=8, warmup=4, final=0.5)
    >>> [round(lr(step), 3) for step in range(10)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.927, 0.75, 0.573, 0.5, 0.5]
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..core.checks import check_size

__all__ = ["constant", "cosine", "exponential", "step_decay"]


def constant(lr: float) -> Callable[[int], float]:
    """`lr` at every step.

    Raises:
        ValueError: `lr` is negative.
    """
    _check_rate("constant", "lr", lr)
    return lambda step: lr


def step_decay(lr: float, *, every: int, factor: float) -> Callable[[int], float]:
    """`lr`, multiplied by `factor` after every `every` steps.

    Raises:
        ValueError: `lr` is negative, `every` is below 1, or `factor` is not above 0 and at most 1.
        TypeError: `every` is not an integer.
    """
    _check_rate("step_decay", "lr", lr)
    check_size("step_decay", "every", every)
    _check_factor("step_decay", "factor", factor)
    return lambda step: lr * factor ** (step // every)


def exponential(lr: float, *, rate: float) -> Callable[[int], float]:
    """`lr`, multiplied by `rate` after every step.

    Raises:
        ValueError: `lr` is negative, or `rate` is not above 0 and at most 1.
    """
    _check_rate("exponential", "lr", lr)
    _check_factor("exponential", "rate", rate)
    return lambda step: lr * rate**step


def cosine(lr: float, *, steps: int, warmup: int = 0, final: float = 0.0) -> Callable[[int], float]:
    """Linear warm-up, then half a cosine down (without restarts: Loshchilov and Hutter, *SGDR*, 2017).

    During the first `warmup` steps the learning rate rises from `lr / warmup` to `lr`. Then it falls to `final`, which
    it reaches after `steps` steps in all, and keeps.

    Raises:
        ValueError: `lr` or `final` is negative, `steps` is below 1, or `warmup` is not 0 to below `steps`.
        TypeError: `steps` or `warmup` is not an integer.
    """
    _check_rate("cosine", "lr", lr)
    check_size("cosine", "steps", steps)
    check_size("cosine", "warmup", warmup, 0)
    if warmup >= steps:
        raise ValueError(f"cosine: warmup must be below steps, {steps}, not {warmup}")
    _check_rate("cosine", "final", final)

    def schedule(step: int) -> float:
        if step < warmup:
            return lr * (step + 1) / warmup
        if step >= steps:
            return final
        part = 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (steps - warmup))
        return part * lr + (1 - part) * final

    return schedule


def _check_rate(owner: str, name: str, value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{owner}: {name} must be at least 0, not {value}")


def _check_factor(owner: str, name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{owner}: {name} must be above 0 to 1, not {value}")
