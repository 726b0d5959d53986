"""Learning rates that change: functions of the number of steps taken so far, for the `lr` of an optimizer.

They depend on nothing else, so to resume training from a checkpoint only the number of steps is needed. They can be
pickled and copied. They raise a TypeError if the step is not an integer, and a ValueError if it is negative.

Example:
    >>> from tinygrad_rnn import schedules
    >>> lr = schedules.cosine(1.0, steps=8, warmup=4, final=0.5)
    >>> [round(lr(step), 3) for step in range(10)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.927, 0.75, 0.573, 0.5, 0.5]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from ..core.arguments import check_size
from .settings import check_number

__all__ = ["constant", "cosine", "exponential", "step_decay"]


def constant(lr: float) -> Callable[[int], float]:
    """`lr` at every step.

    Raises:
        TypeError: `lr` is not a number.
        ValueError: `lr` is negative or not finite.
    """
    return partial(_constant, check_number("constant", "lr", lr, "at least 0"))


def step_decay(lr: float, *, every: int, factor: float) -> Callable[[int], float]:
    """`lr`, multiplied by `factor` after every `every` steps.

    Raises:
        TypeError: `lr` or `factor` is not a number, or `every` is not an integer.
        ValueError: `lr` is negative or not finite, `every` is below 1, or `factor` is not above 0 and at most 1.
    """
    lr = check_number("step_decay", "lr", lr, "at least 0")
    every = check_size("step_decay", "every", every, 1)
    return partial(_step_decay, lr, every, check_number("step_decay", "factor", factor, "above 0 to 1"))


def exponential(lr: float, *, rate: float) -> Callable[[int], float]:
    """`lr`, multiplied by `rate` after every step.

    Raises:
        TypeError: `lr` or `rate` is not a number.
        ValueError: `lr` is negative or not finite, or `rate` is not above 0 and at most 1.
    """
    lr = check_number("exponential", "lr", lr, "at least 0")
    return partial(_exponential, lr, check_number("exponential", "rate", rate, "above 0 to 1"))


def cosine(lr: float, *, steps: int, warmup: int = 0, final: float = 0.0) -> Callable[[int], float]:
    """Linear warm-up, then half a cosine down (without restarts: Loshchilov and Hutter, *SGDR*, 2017).

    During the first `warmup` steps the learning rate rises from `lr / warmup` to `lr`. Then it falls to `final`, which
    it reaches after `steps` steps in all, and keeps.

    Raises:
        TypeError: `lr` or `final` is not a number, or `steps` or `warmup` is not an integer.
        ValueError: `lr` or `final` is negative or not finite, `steps` is below 1, or `warmup` is not 0 to below
            `steps`.
    """
    lr = check_number("cosine", "lr", lr, "at least 0")
    steps = check_size("cosine", "steps", steps, 1)
    warmup = check_size("cosine", "warmup", warmup, 0)
    if warmup >= steps:
        raise ValueError(f"cosine: warmup must be below steps, {steps}, not {warmup}")
    return partial(_cosine, lr, steps, warmup, check_number("cosine", "final", final, "at least 0"))


# Functions of the module, because one within a function cannot be pickled.


def _constant(lr: float, step: int) -> float:
    check_size("constant", "the step", step, 0)
    return lr


def _step_decay(lr: float, every: int, factor: float, step: int) -> float:
    passed: float = factor ** (check_size("step_decay", "the step", step, 0) // every)
    return lr * passed


def _exponential(lr: float, rate: float, step: int) -> float:
    passed: float = rate ** check_size("exponential", "the step", step, 0)
    return lr * passed


def _cosine(lr: float, steps: int, warmup: int, final: float, step: int) -> float:
    step = check_size("cosine", "the step", step, 0)
    if step < warmup:
        return lr * (step + 1) / warmup
    if step >= steps:
        return final
    part = 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (steps - warmup))
    return part * lr + (1 - part) * final
