"""Compiled functions of the package run by Python, as they are written: of what was compiled no mutant could be made.

What they are given is checked at the door as ever. This stands in for the primitives, and refuses what the compiler
could not know: a row is read or written to only after it went through `row`. And for `numpy.empty`, whose numbers may
by chance be those that a function forgets to write.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.kernels.compiled.door import Door


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
    assert not found.size or found.strides == (array.itemsize,)
    return found


def multiply(a: Any, w: Any, out: Any) -> None:
    out[...] = np.hstack([a @ panel for panel in w])


def unwritten(shape: Any, dtype: Any) -> Any:
    """As `numpy.empty` of floats: NaN throughout."""
    return np.full(shape, np.nan, dtype)


def by_python(door: Any) -> Any:
    """A compiled function, run as it is written: of what was compiled no mutant could be made."""
    if not isinstance(door, Door):  # it is already
        return door

    def given(argument: Any) -> Any:
        is_float = isinstance(argument, np.ndarray) and argument.dtype == float
        return argument.view(Gapped) if is_float else argument

    return lambda *arguments: door.function(*map(given, door.declaration.prepared(arguments)))
