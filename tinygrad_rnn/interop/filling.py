"""Layers made for weights that are at hand, and weights written into layers: all or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..core.arrays import Array
from ..core.device import device_of
from ..core.filling import Filling, filling
from ..core.layer import Layer
from ..core.parameter import Parameter
from ..saving.safe_file import shortened

L = TypeVar("L", bound=Layer)


class Weight(NamedTuple):
    """An array that belongs into a parameter."""

    parameter: Parameter
    array: Array


def undrawn(kind: Callable[..., L], *sizes: int, dtype: Any = None, **options: Any) -> L:
    """A layer to be filled. Nothing is drawn, which would take most of the time; its sizes must be those of arrays."""
    with filling(Filling(False, 1 << 62)):
        layer = kind(*sizes, rng=np.random.default_rng(0), **options)
    return layer if dtype is None else layer.to(dtype=dtype)


def fill(weights: list[Weight]) -> None:
    """Write arrays, whose shapes were compared, into their parameters."""
    for parameter, array in weights:
        parameter.value = device_of(parameter.value).asarray(np.ascontiguousarray(array))


def refuse_all(call: str, problems: list[str], what: str) -> None:
    """An error that lists all problems, if there are any.

    Raises:
        ValueError: there are.
    """
    if problems:
        raise ValueError(f"{call}: {what}\n" + shortened("\n".join(f"- {problem}" for problem in problems), 4000))


def check_floats(arrays: Mapping[str, Array], cure: str) -> list[str]:
    """What is wrong with the dtypes and sizes of arrays: all must be float32, or all float64, and have numbers."""
    wrong = [
        f"{name} is {array.dtype}; "
        + ("no layer here has integers, as BatchNorm has" if array.dtype.kind in "biu" else cure)
        for name, array in arrays.items()
        if str(array.dtype) not in FLOATS
    ]
    wrong += [
        f"{name} has the shape {array.shape}, without a number" for name, array in arrays.items() if not array.size
    ]
    kinds = {str(array.dtype) for array in arrays.values()}
    if len(kinds) > 1 and not wrong:
        wrong.append(f"the arrays are {' and '.join(sorted(kinds))}; {cure}")
    return wrong


FLOATS = ("float32", "float64")
