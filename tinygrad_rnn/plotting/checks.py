"""Checks of the arguments of plots: arrays on the host, with a name for each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes

AxesRow: TypeAlias = Sequence[Axes] | np.ndarray
"""Several axes, such as `figure.subplots(3)`."""


def check_floats(owner: str, name: str, x: Any, shape: str, hint: str = "") -> None:
    """`x` must be a NumPy array of floating-point numbers with as many axes as `shape` names, none of size 0.

    Raises:
        TypeError: it is not such an array.
        ValueError: its axes differ; the message ends with `hint`.
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        came = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise TypeError(
            f"plotting.{owner}: {name} is {came}, where a NumPy array of floating-point numbers was expected; for "
            f"an array on a GPU use device.to_host({name})"
        )
    if x.ndim != len(shape.strip("()").replace(",", " ").split()) or not x.size:
        raise ValueError(f"plotting.{owner}: {name} has shape {x.shape}, expected {shape}, each at least 1{hint}")


def check_names(owner: str, name: str, names: Sized, of: str, shape: tuple[int, ...], axes: str, axis: int) -> None:
    """There must be one of `names` for each entry along `axis` of the array `of`.

    Raises:
        ValueError: there are more or fewer.
    """
    if len(names) != shape[axis]:
        raise ValueError(
            f"plotting.{owner}: {len(names)} {name} were given, but {of} has shape {shape}, {axes}: "
            f"{shape[axis]} were expected"
        )


def check_mapping(owner: str, name: str, x: Any, example: str) -> None:
    """`x` must be a mapping that is not empty.

    Raises:
        TypeError: it is not a mapping.
        ValueError: it is empty.
    """
    if not isinstance(x, Mapping):
        raise TypeError(f"plotting.{owner}: {name} is a {type(x).__name__}, where a dict was expected: {example}")
    if not x:
        raise ValueError(f"plotting.{owner}: {name} is empty, so there is nothing to draw; expected {example}")


def check_axes(owner: str, axes: Any, size: int, why: str) -> None:
    """`axes` must be a sequence of length `size`.

    Raises:
        TypeError: it has no length.
        ValueError: it has another length.
    """
    if not isinstance(axes, Sized):
        raise TypeError(f"plotting.{owner}: axes is a {type(axes).__name__}, where {size} axes were expected, {why}")
    if len(axes) != size:
        raise ValueError(f"plotting.{owner}: {len(axes)} axes were given, where {size} were expected, {why}")
