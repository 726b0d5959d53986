"""The types of arrays and their shapes, and a few functions that all modules need.

A shape is part of a type: `xs: Float[Array, "T B D"]`. The tests check these at every call (jaxtyping and
beartype); elsewhere they are documentation, and jaxtyping is not imported (importing it takes 50 to 70 ms).
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    Array: TypeAlias = NDArray[np.floating[Any]]
    Integers: TypeAlias = NDArray[np.integer[Any]]
    Booleans: TypeAlias = NDArray[np.bool]
else:
    Array = Integers = Booleans = Any  # a CuPy array is one too

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool as Bool
    from jaxtyping import Float as Float
    from jaxtyping import Integer as Integer
    from jaxtyping import Shaped as Shaped
    from numpy.random import Generator as Generator
    from numpy.typing import NDArray as NDArray
else:
    Generator = Any  # numpy.random takes 16 ms to import, which NumPy itself puts off until it is used

    class Shaped:
        """Stands in for jaxtyping, which is not loaded: any array, unchecked."""

        def __class_getitem__(cls, item: object) -> Any:
            return Any

    Bool = Float = Integer = NDArray = Shaped


def namespace(array: Any) -> Any:
    """The module whose functions take `array`: numpy, cupy, or the module of a testing device."""
    if type(array) is np.ndarray:  # asking the array takes ten times as long
        return np
    find = getattr(array, "__array_namespace__", None)
    return find() if find is not None else sys.modules["cupy"]  # CuPy 14 lacks the method


def device_name(array: Any) -> str:
    """The device that `array` is on, such as `"cpu"` or `"cuda:0"`."""
    device = array.device
    return f"cuda:{device.id}" if hasattr(device, "id") else str(device)


def sigmoid(a: Any) -> Any:
    """The logistic function 1 / (1 + e^-a) of each number, in a form that never overflows."""
    found = namespace(a).tanh(0.5 * a)
    found *= 0.5  # in place, which saves two arrays
    found += 0.5
    return found


def no_gradient(array: Any) -> Any:
    """Zeros of the shape, dtype and device of `array`, all in the memory of one number: do not write to them.

    None where `array` holds integers or one-hot rows, which have no gradient.
    """
    if array.dtype.kind != "f":
        return None
    xp = namespace(array)
    if xp is np:
        return _zeros(array.shape, array.dtype).view()
    return xp.broadcast_to(xp.zeros((), array.dtype), array.shape)


@functools.lru_cache  # safe, as they are read-only; making them takes a fiftieth of a step of a small network
def _zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    return np.ndarray(shape, dtype, bytes(dtype.itemsize), strides=(0,) * len(shape))


def select(mask: Booleans, chosen: Any, other: Any) -> Any:
    """`chosen` where `mask` (over the leading axes) is True, else `other`, an array or a number.

    None where `chosen` is None, as the gradient w.r.t. integers is.
    """
    if chosen is None:
        return None
    mask = mask.reshape(mask.shape + (1,) * (chosen.ndim - mask.ndim))
    return namespace(chosen).where(mask, chosen, other)


def is_empty(mask: Any) -> bool:
    """Whether no entry of `mask` is True; always False on a GPU, where looking would wait for all work in flight."""
    return isinstance(mask, np.ndarray) and not mask.any()
