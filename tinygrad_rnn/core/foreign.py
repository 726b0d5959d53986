"""What is no array for this library, and how to make one of it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .arrays import NDArray
from .device import Device


def is_array(value: object) -> bool:
    """Whether `value` is an array of NumPy (no subclass, whose operators may differ), CuPy or a testing device."""
    if type(value) is np.ndarray or isinstance(value, np.generic):  # a number of NumPy is one without axes
        return True
    cupy = sys.modules.get("cupy")
    return (cupy is not None and type(value) is cupy.ndarray) or (
        hasattr(value, "__array_namespace__") and isinstance(getattr(value, "device", None), Device)
    )


def as_array(owner: str, name: str, values: Any) -> NDArray[Any]:
    """`values`, numbers in a list or in an array of any kind but a masked one, as an array of NumPy.

    Raises:
        TypeError: they are a masked array.
        ValueError: they are lists of different lengths.
    """
    check_not_masked(owner, name, values)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{owner}: {name} holds items of different lengths, where one row was expected") from error


def is_masked(value: object) -> bool:
    """Where nobody has imported `numpy.ma`, which takes NumPy a tenth of its own time, there is nothing masked."""
    return "numpy.ma" in sys.modules and isinstance(value, np.ma.MaskedArray)


def check_not_masked(owner: str, name: str, values: Any) -> None:
    """Where subclasses of arrays are taken, `values` must not be masked.

    Raises:
        TypeError: they are.
    """
    if is_masked(values):
        check_is_array(owner, name, values)


def check_is_array(owner: object, name: str, value: Any, wanted: str = "") -> None:
    """`value` must be an array; `wanted` says of what kind, such as `"an integer array"`.

    Raises:
        TypeError: it is not; the message says how to make one.
    """
    if is_array(value):
        return
    who = owner if isinstance(owner, str) else repr(owner)
    kind = type(value)
    came = f"a {kind.__name__}" if kind.__module__ == "builtins" else f"a {kind.__module__}.{kind.__name__}"
    if is_masked(value):
        cure = f"{name}.filled(0), and say by lengths or targets of -1 what does not count; a mask would be ignored"
    elif hasattr(value, "detach"):  # a tensor of PyTorch
        cure = f"{name}.detach().cpu().numpy()"
    elif hasattr(value, "to_numpy"):  # a series or a table of pandas or Polars
        cure = f"{name}.to_numpy()"
    elif hasattr(value, "__array__"):
        cure = f"np.asarray({name})"
    elif wanted:
        raise TypeError(f"{who}: {name} must be {wanted}, not {came}")
    else:
        raise TypeError(f"{who}: {name} is {came}, not an array: make one with device.asarray({name})")
    raise TypeError(f"{who}: {name} is {came}, not an array. Give {cure}")
