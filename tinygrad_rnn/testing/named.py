"""Arrays by name. Those of a state are named by their path, `state[1][0]`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.device import Device
from ..core.states import tree_map

Arrays = dict[str, Any]


def floats(arrays: Arrays) -> Arrays:
    """The arrays that have a gradient."""
    return {name: array for name, array in arrays.items() if array is not None and array.dtype.kind == "f"}


def leaves(name: str, tree: Any) -> Arrays:
    """The arrays of a state by their paths: `{"state[1][0]": array}`."""
    if not isinstance(tree, tuple):
        return {name: tree}
    return {key: leaf for i, part in enumerate(tree) for key, leaf in leaves(f"{name}[{i}]", part).items()}


def planted(name: str, like: Any, arrays: Arrays) -> Any:
    """A state with the structure of `like` and the leaves in `arrays`, else None: the inverse of `leaves`."""
    if not isinstance(like, tuple):
        return arrays.get(name)
    return tuple(planted(f"{name}[{i}]", part, arrays) for i, part in enumerate(like))


def same(expected: Arrays, found: Arrays, message: str, tolerance: float = 0.0) -> None:
    """Assert that arrays of the same names are equal: to the bit, or within `tolerance` of the largest entry."""
    assert expected.keys() == found.keys(), f"{message}: there are {sorted(found)}, expected {sorted(expected)}"
    for name, array in expected.items():
        other = found[name]
        assert array.shape == other.shape, f"{message}: {name} has shape {other.shape}, expected {array.shape}"
        if tolerance:
            wrong = ~(abs(array - other) <= tolerance * max(abs(array).max(initial=0), 1e-6))
        else:
            wrong = (array != other) & ~((array != array) & (other != other))  # NaN equals NaN
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise AssertionError(f"{message}: {name} at {list(index)} is {other[index]}, expected {array[index]}")


def move(tree: Any, device: Device, dtype: str) -> Any:
    """A state, or an array, on `device`; floating-point ones in `dtype`."""
    return tree_map(lambda array: device.asarray(array, dtype if array.dtype.kind == "f" else None), tree)
