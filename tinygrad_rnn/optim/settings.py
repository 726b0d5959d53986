"""Checks of what optimizers, clippers and schedules are set to: rates, limits, counts."""

from __future__ import annotations

import inspect
import math
import numbers
import operator
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


def check_number(owner: str, name: str, value: Any, within: str, *, finite: bool = True) -> float:
    """`value` as a Python float, so that a NumPy number does not make float64 arrays of float32 ones.

    Raises:
        TypeError: it is not a number, see `is_number`.
        ValueError: it is NaN, not `within` the range, or infinite where it must be `finite`.
    """
    if not is_number(value):
        raise TypeError(f"{owner}: {name} must be a number, not {value!r:.80}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if not _RANGES[within](number):
        raise ValueError(f"{owner}: {name} must be {within}, not {value!s:.80}")
    if finite and number == math.inf:
        raise ValueError(f"{owner}: {name} must be finite, not {value!s:.80}")
    return number


def check_count(owner: str, name: str, value: Any, least: int) -> int:
    """`value` as a Python int.

    Raises:
        TypeError: it is not an integer; True and False are none, nor are arrays.
        ValueError: it is below `least`, or has more than 63 bits.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{owner}: {name} must be an integer, not {value!r:.80}")
    count = operator.index(value)
    if count < least:
        raise ValueError(f"{owner}: {name} must be at least {least}, not {count!s:.80}")
    if count.bit_length() > 63:
        raise ValueError(f"{owner}: {name} must be below 2**63, not an integer of {count.bit_length()} bits")
    return count


class _Number:
    """An attribute that is checked whenever it is set."""

    def __init__(self, within: str, finite: bool) -> None:
        self._within, self._finite = within, finite

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, instance: object, value: Any) -> None:
        # Without a `__get__`, reading the attribute takes no longer than if it were plain.
        vars(instance)[self._name] = check_number(
            type(instance).__name__, self._name, value, self._within, finite=self._finite
        )


def number(within: str, *, finite: bool = True) -> Any:
    """What a class assigns to an attribute that must always be a number `within` this range: see `check_number`."""
    return _Number(within, finite)


def check_lr(owner: str, lr: Any) -> None:
    """`lr` must be a number of at least 0, or a function of the step number.

    Raises:
        TypeError: it is neither, or a function that cannot take one argument.
        ValueError: it is negative, NaN or infinite.
    """
    if is_number(lr):
        check_number(owner, "lr", lr, "at least 0")
        return
    try:
        if isinstance(lr, (type, Layer)):
            raise TypeError
        inspect.signature(lr).bind(0)
    except TypeError as error:
        raise TypeError(
            f"{owner}: lr must be a number or a function of the step number, such as schedules.constant(0.1), not "
            f"{lr!r:.80}. If it is a schedule of another library, write a function: lr=lambda step: ..."
        ) from error
    except ValueError:  # a function of C does not always say its arguments
        pass
