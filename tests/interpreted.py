"""Compiled functions of the package run by Python, as they are written: of what was compiled no mutant could be made.

It stands in for the primitives, and refuses what the compiler could not know: a row is read or written to only after it
went through `row`. And for `numpy.empty`, whose numbers may by chance be those that a function forgets to write.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np


class Gapped(np.ndarray[Any, Any]):
    """An array, of whose rows none has numbers to give or to take before it went through `row`."""

    def __getitem__(self, index: Any) -> Any:
        assert self.ndim > 1 or isinstance(index, slice), "to the compiler this row may have gaps"
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        assert self.ndim > 1 or isinstance(index, slice), "to the compiler this row may have gaps"
        super().__setitem__(index, value)


def row(array: Any, *where: int) -> Any:
    assert all(index >= 0 for index in where)
    found = array.view(np.ndarray)[where]
    assert found.strides == (array.itemsize,)
    return found


def multiply(a: Any, w: Any, out: Any) -> None:
    out[...] = np.hstack([a @ panel for panel in w])


def unwritten(shape: Any, dtype: Any) -> Any:
    """As `numpy.empty` of floats: NaN throughout."""
    return np.full(shape, np.nan, dtype)


def by_python(function: Any) -> Any:
    """A compiled function, run as it is written: of what was compiled no mutant could be made."""
    written = inspect.unwrap(function)

    def given(argument: Any) -> Any:
        if not isinstance(argument, np.ndarray) or argument.dtype != float:
            return argument
        has_gaps = argument.strides[-1] != argument.itemsize  # then the door would give a copy
        return (argument.copy() if has_gaps else argument).view(Gapped)

    return lambda *arguments: written(*map(given, arguments))
