"""Checks of arguments that are no arrays: sizes, numbers, choices, generators and dtypes."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

import numpy as np

FLOATS = np.dtype("float32"), np.dtype("float64")
"""What layers compute in."""


def is_generator(value: object) -> bool:
    """Whether `value` is a `numpy.random.Generator`."""
    return isinstance(value, np.random.Generator)


def check_rng(owner: object, rng: Any) -> None:
    """`rng` must be a `numpy.random.Generator`.

    Raises:
        TypeError: it is not.
    """
    if not is_generator(rng):
        raise TypeError(f"{owner}: rng must be a numpy.random.Generator, such as np.random.default_rng(0), not {rng!r}")


def check_size(owner: object, name: str, size: Any, least: int = 1) -> int:
    """`size` must be an integer of at least `least`; gives it as an int, which does not overflow.

    Raises:
        TypeError: not an integer.
        ValueError: below that, or above 2^48.
    """
    if isinstance(size, (bool, np.bool)) or not hasattr(size, "__index__"):
        raise TypeError(f"{owner}: {name} must be an integer, not {size!r}")
    try:
        number = operator.index(size)
    except TypeError as error:  # an array of floats, or of several numbers
        raise TypeError(f"{owner}: {name} must be an integer, not {size!r}") from error
    if number < least:
        raise ValueError(f"{owner}: {name} must be at least {least}, not {size}")
    if number > 1 << 48:  # more than any memory holds
        raise ValueError(f"{owner}: {name} must be at most 2^48, not a number of {number.bit_length()} bits")
    return number


def check_number(owner: object, name: str, number: Any, least: float = -math.inf) -> float:
    """`number` must be a real number of at least `least`; gives it as a float.

    Raises:
        TypeError: not a number; a bool is none.
        ValueError: below `least`, or NaN where there is one; or an integer that no float holds.
    """
    if isinstance(number, bool) or not isinstance(number, Real):  # a np.bool is not a Real
        raise TypeError(f"{owner}: {name} must be a number, not {number!r}")
    try:
        value = float(number)
    except OverflowError as error:
        raise ValueError(f"{owner}: {name} is an integer too large for a float") from error
    if least > -math.inf and not value >= least:
        raise ValueError(f"{owner}: {name} must be at least {least}, not {value}")
    return value


def check_numbers(owner: object, name: str, numbers: Any, least: float = -math.inf) -> tuple[float, ...]:
    """`numbers` must be one or more finite numbers of at least `least`; gives them as floats, which a file can hold.

    Raises:
        TypeError: not a list, a tuple or a NumPy array with one axis; or an entry is not a number.
        ValueError: there is none, or an entry is not finite or below `least`.
    """
    given = numbers.tolist() if isinstance(numbers, np.ndarray) and numbers.ndim == 1 else numbers
    if not isinstance(given, (list, tuple)):
        raise TypeError(
            f"{owner}: {name} must be a list, a tuple or a NumPy array (N,) of numbers, not {numbers!r:.60}"
        )
    if not given:
        raise ValueError(f"{owner}: {name} must hold at least one number")
    floats = tuple(check_number(owner, f"{name}[{i}]", number, least) for i, number in enumerate(given))
    for i, number in enumerate(floats):
        if not math.isfinite(number):
            raise ValueError(f"{owner}: {name}[{i}] must be finite, not {number}")
    return floats


def check_str(owner: str, name: str, value: Any) -> None:
    """`value` must be a str.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, str):
        raise TypeError(f"{owner}: {name} must be a str, not {value!r:.80}")


def check_bool(owner: object, name: str, value: Any) -> bool:
    """`value` must be True or False; gives it back.

    Raises:
        TypeError: it is something else, such as 1 or "no", which would count as True.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be True or False, not {value!r:.80}")
    return value


def check_choice(owner: str, name: str, value: Any, *choices: str) -> None:
    """`value` must be one of `choices`.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str) or value not in choices:
        *others, last = (f'"{choice}"' for choice in choices)
        raise ValueError(f"{owner}: {name} must be {', '.join(others)} or {last}, not {value!r}")


def check_rate(owner: str, name: str, rate: Any) -> float:
    """`rate`, a probability of dropping, must be a number from 0 to below 1; gives it as a float.

    Raises:
        TypeError: not a number.
        ValueError: below 0, or 1 or more.
    """
    if not 0 <= check_number(owner, name, rate) < 1:
        raise ValueError(f"{owner}: {name} must be 0 to below 1, not {rate}")
    return float(rate)


def check_eps(owner: object, name: str, eps: Any) -> float:
    """`eps`, which keeps a division from being one by 0, must be above 0 in float32 too; gives it as a float.

    Raises:
        TypeError: not a number.
        ValueError: 0 or less, or so small that float32 takes it for 0, or not finite.
    """
    value = check_number(owner, name, eps)
    if not value > 0:  # also NaN
        raise ValueError(f"{owner}: {name} must be above 0, not {value}")
    if value == math.inf:
        raise ValueError(f"{owner}: {name} must be finite, not {value}")
    if value < 1e-37:
        raise ValueError(f"{owner}: {name} is {value}, which float32 may take for 0: give at least 1e-37")
    return value


def float_dtype(owner: str, dtype: Any) -> np.dtype[Any]:
    """`dtype` as a NumPy dtype; it must be float32 or float64.

    Raises:
        TypeError: it is neither.
    """
    for kind in FLOATS:
        try:
            if isinstance(dtype, (str, type, np.dtype)) and dtype == kind:
                return kind
        except (TypeError, ValueError):  # it is no name of a dtype, or an array
            break
    raise TypeError(f"{owner}: dtype must be float32 or float64, not {dtype}")
