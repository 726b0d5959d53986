"""Checks of what optimizers, clippers and schedules are set to: rates, limits, counts."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable
from functools import partial
from typing import Any

from ..core.layer import Layer

_RANGES: dict[str, Any] = {
    "at least 0": lambda value: value >= 0,
    "above 0": lambda value: value > 0,
    "0 to below 1": lambda value: 0 <= value < 1,
    "above 0 to 1": lambda value: 0 < value <= 1,
    "above 0 to below 1": lambda value: 0 < value < 1,
    "finite": math.isfinite,
}


def is_number(value: Any) -> bool:
    """Whether `value` is a real number of Python or NumPy; True and False are none, nor are arrays."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def as_float(value: Any) -> float:
    """A number as a Python float; infinity where it is an integer too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def check_number(owner: str, name: str, value: Any, within: str, *, finite: bool = True) -> float:
    """`value` as a Python float, so that a NumPy number does not make float64 arrays of float32 ones.

    Raises:
        TypeError: it is not a number, see `is_number`.
        ValueError: it is NaN, not `within` the range, or infinite where it must be `finite`.
    """
    if not is_number(value):
        raise TypeError(f"{owner}: {name} must be a number, not {shown(value)}")
    result = as_float(value)
    if not _RANGES[within](result):
        raise ValueError(f"{owner}: {name} must be {within}, not {shown(value, str)}")
    if finite and result == math.inf:
        raise ValueError(f"{owner}: {name} must be finite, not {shown(value, str)}")
    return result


def check_lr(owner: str, name: str, lr: Any) -> Any:
    """`lr`, which must be a number of at least 0, or a function of the step number.

    Raises:
        TypeError: it is neither, or a function that does not take one argument.
        ValueError: it is negative, NaN or infinite.
    """
    if is_number(lr):
        check_number(owner, name, lr, "at least 0")
    elif not takes(lr, 1):
        raise TypeError(
            f"{owner}: {name} must be a number or a function of the step number, such as schedules.constant(0.1), not "
            f"{shown(lr)}. If it is a schedule of another library, write a function: {name}=lambda step: ..."
        )
    return lr


def takes(function: Any, count: int) -> bool:
    """Whether `function` can be called with so many arguments; classes and layers are no functions here."""
    if not callable(function) or isinstance(function, (type, Layer)):
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a function written in C need not say what it takes
        pass
    return True


def shown(value: Any, text: Callable[[Any], str] = repr) -> str:
    """`value` in a message, cut short. Python refuses to write out an integer of thousands of digits."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"an integer of {value.bit_length()} bits"
    return f"{text(value):.80}"


class _Setting:
    """An attribute that is checked whenever it is set. Without a `__get__`, it is read as fast as any other."""

    def __init__(self, check: Callable[[str, str, Any], Any]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, instance: object, value: Any) -> None:
        vars(instance)[self._name] = self._check(type(instance).__name__, self._name, value)


def setting(check: Callable[[str, str, Any], Any]) -> Any:
    """What a class assigns to an attribute that is set to `check(class, attribute, value)`."""
    return _Setting(check)


def number(within: str, *, finite: bool = True) -> Any:
    """What a class assigns to an attribute that must be a number `within` this range: see `check_number`."""
    return setting(partial(check_number, within=within, finite=finite))
