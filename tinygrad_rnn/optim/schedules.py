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
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from ..core.arguments import check_size
from .settings import check_number, shown

__all__ = [
    "constant",
    "step_decay",
    "piecewise",
    "exponential",
    "linear",
    "polynomial",
    "cosine",
    "warm_restarts",
    "one_cycle",
]


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


def piecewise(lr: float, *, then: Mapping[int, float]) -> Callable[[int], float]:
    """`lr`, then others: `then={1000: 0.01, 5000: 0.001}` gives 0.01 from step 1000 on, and 0.001 from step 5000 on.

    Raises:
        TypeError: `lr` or a value of `then` is not a number, or `then` is not a mapping of integers.
        ValueError: a learning rate is negative or not finite, or the steps are not above 0 and rising.
    """
    rates = [(0, check_number("piecewise", "lr", lr, "at least 0"))]
    if not isinstance(then, Mapping):
        raise TypeError(f"piecewise: then must be a dict of learning rates by step, not {shown(then)}")
    for step, rate in then.items():
        first = check_size("piecewise", "a step of then", step, 1)
        rates.append((first, check_number("piecewise", f"then[{first}]", rate, "at least 0")))
    for (before, _), (after, _) in pairwise(rates):
        if after <= before:
            raise ValueError(f"piecewise: the steps of then must rise, but {after} follows {before}")
    return partial(_piecewise, tuple(rates))


def exponential(lr: float, *, rate: float) -> Callable[[int], float]:
    """`lr`, multiplied by `rate` after every step.

    Raises:
        TypeError: `lr` or `rate` is not a number.
        ValueError: `lr` is negative or not finite, or `rate` is not above 0 and at most 1.
    """
    lr = check_number("exponential", "lr", lr, "at least 0")
    return partial(_exponential, lr, check_number("exponential", "rate", rate, "above 0 to 1"))


def linear(lr: float, *, steps: int, warmup: int = 0, final: float = 0.0) -> Callable[[int], float]:
    """Linear warm-up, then a straight line to `final`, which it reaches after `steps` steps in all, and keeps.

    With `final` above `lr`, the line rises.

    Raises:
        TypeError, ValueError: as `cosine`.
    """
    return partial(_polynomial, "linear", *_checked("linear", lr, steps, warmup, final), 1.0)


def polynomial(lr: float, *, steps: int, power: float, warmup: int = 0, final: float = 0.0) -> Callable[[int], float]:
    """Linear warm-up, then a fall to `final` in proportion to a power of the steps that are left of `steps` in all.

    Raises:
        TypeError, ValueError: as `cosine`; or `power` is not a number above 0.
    """
    power = check_number("polynomial", "power", power, "above 0")
    return partial(_polynomial, "polynomial", *_checked("polynomial", lr, steps, warmup, final), power)


def cosine(lr: float, *, steps: int, warmup: int = 0, final: float = 0.0) -> Callable[[int], float]:
    """Linear warm-up, then half a cosine down (without restarts: Loshchilov and Hutter, *SGDR*, 2017).

    During the first `warmup` steps the learning rate rises from `lr / warmup` to `lr`. Then it falls to `final`, which
    it reaches after `steps` steps in all, and keeps.

    Raises:
        TypeError: `lr` or `final` is not a number, or `steps` or `warmup` is not an integer.
        ValueError: `lr` or `final` is negative or not finite, `steps` is below 1, or `warmup` is not 0 to below
            `steps`.
    """
    return partial(_cosine, *_checked("cosine", lr, steps, warmup, final))


def warm_restarts(lr: float, *, steps: int, growth: int = 1, final: float = 0.0) -> Callable[[int], float]:
    """Half a cosine from `lr` down to `final` in `steps` steps, then again from `lr`, each time `growth` times as long.

    Loshchilov and Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, 2017.

    Raises:
        TypeError: `lr` or `final` is not a number, or `steps` or `growth` is not an integer.
        ValueError: `lr` or `final` is negative or not finite, or `steps` or `growth` is below 1.
    """
    lr, steps, _, final = _checked("warm_restarts", lr, steps, 0, final)
    return partial(_warm_restarts, lr, steps, check_size("warm_restarts", "growth", growth, 1), final)


def one_cycle(
    lr: float, *, steps: int, rise: float = 0.3, start: float | None = None, final: float | None = None
) -> Callable[[int], float]:
    """Half a cosine up from `start` to `lr`, then half a cosine down to `final`, at the last of `steps` steps.

    The rise takes the part `rise` of the steps. By default, `start` is `lr / 25` and `final` is `start / 10,000`.

    Smith and Topin, *Super-Convergence*, 2018, here with cosines in place of lines.

    Raises:
        TypeError: `lr`, `rise`, `start` or `final` is not a number, or `steps` is not an integer.
        ValueError: `lr`, `start` or `final` is negative or not finite, `steps` is below 1, or `rise` is not above 0
            and below 1.
    """
    lr = check_number("one_cycle", "lr", lr, "at least 0")
    start = lr / 25 if start is None else check_number("one_cycle", "start", start, "at least 0")
    final = start / 10_000 if final is None else check_number("one_cycle", "final", final, "at least 0")
    rise = check_number("one_cycle", "rise", rise, "above 0 to below 1")
    return partial(_one_cycle, lr, check_size("one_cycle", "steps", steps, 1), rise, start, final)


def _checked(owner: str, lr: Any, steps: Any, warmup: Any, final: Any) -> tuple[float, int, int, float]:
    """The arguments of `cosine`."""
    lr = check_number(owner, "lr", lr, "at least 0")
    steps = check_size(owner, "steps", steps, 1)
    warmup = check_size(owner, "warmup", warmup, 0)
    if warmup >= steps:
        raise ValueError(f"{owner}: warmup must be below steps, {steps}, not {warmup}")
    return lr, steps, warmup, check_number(owner, "final", final, "at least 0")


# Functions of the module, because one within a function cannot be pickled.


def _constant(lr: float, step: int) -> float:
    check_size("constant", "the step", step, 0)
    return lr


def _step_decay(lr: float, every: int, factor: float, step: int) -> float:
    passed: float = factor ** (check_size("step_decay", "the step", step, 0) // every)
    return lr * passed


def _piecewise(rates: tuple[tuple[int, float], ...], step: int) -> float:
    step = check_size("piecewise", "the step", step, 0)
    return next(rate for first, rate in reversed(rates) if first <= step)


def _exponential(lr: float, rate: float, step: int) -> float:
    passed: float = rate ** check_size("exponential", "the step", step, 0)
    return lr * passed


def _polynomial(owner: str, lr: float, steps: int, warmup: int, final: float, power: float, step: int) -> float:
    step = check_size(owner, "the step", step, 0)
    if step < warmup:
        return lr * (step + 1) / warmup
    left: float = (max(steps - step, 0) / (steps - warmup)) ** power
    return left * lr + (1 - left) * final


def _cosine(lr: float, steps: int, warmup: int, final: float, step: int) -> float:
    step = check_size("cosine", "the step", step, 0)
    if step < warmup:
        return lr * (step + 1) / warmup
    if step >= steps:
        return final
    return _half_cosine(lr, final, (step - warmup) / (steps - warmup))


def _warm_restarts(lr: float, steps: int, growth: int, final: float, step: int) -> float:
    step = check_size("warm_restarts", "the step", step, 0)
    if growth == 1:
        step %= steps
    while step >= steps:
        step, steps = step - steps, steps * growth
    return _half_cosine(lr, final, step / steps)


def _one_cycle(lr: float, steps: int, rise: float, start: float, final: float, step: int) -> float:
    step = check_size("one_cycle", "the step", step, 0)
    peak, last = rise * steps - 1, steps - 1
    if step >= last:
        return final
    return (
        _half_cosine(start, lr, step / peak) if step < peak else _half_cosine(lr, final, (step - peak) / (last - peak))
    )


def _half_cosine(first: float, last: float, passed: float) -> float:
    """From `first` to `last`, when this part of the way has passed."""
    part = 0.5 + 0.5 * math.cos(math.pi * passed)
    return part * first + (1 - part) * last
