"""Layers that are made to be filled from a file, where drawing their weights would be a waste, or an attack.

A file says of which size a layer is before it shows a number of it. So a model is made twice. In outline, no parameter
has memory of its own, and its shapes are compared with the tensors of the file; where they match, it is made to be
filled. Neither draws a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np

from .arrays import Array


class TooLarge(ValueError):
    """A layer wants an array that the file has no numbers for."""


class Filling(NamedTuple):
    """How the arrays of layers are made now."""

    outline: bool
    """Whether the parameters get no memory either."""
    most: int
    """How many numbers an array may have."""


_FILLING: ContextVar[Filling | None] = ContextVar("filling", default=None)  # so other threads draw as ever


@contextmanager
def filling(how: Filling | None) -> Iterator[None]:
    """Layers made in this block, and in this thread, are made to be filled; None: as they are in a program."""
    token = _FILLING.set(how)
    try:
        yield
    finally:
        _FILLING.reset(token)


def stand_in(shape: tuple[int, ...], dtype: object = np.float32, *, drawn: bool = True) -> Array | None:
    """An array of this shape in the memory of one number, which stands for one that would be `drawn`; None: make it.

    What is cheap to make is only made in outline by this. All entries are 1, which divides and normalises without harm.

    Raises:
        TooLarge: it has more numbers than the file.
    """
    how = _FILLING.get()
    if how is None or not (drawn or how.outline):
        return None
    if math.prod(shape) > how.most:
        raise TooLarge(f"an array {shape} is wanted, for which the file does not have the numbers")
    one: Array = np.ones((), dtype)  # type: ignore[call-overload]
    return np.ndarray(shape, one.dtype, one, strides=(0,) * len(shape))
