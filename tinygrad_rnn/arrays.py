"""Array, state and shape types, and the few array functions that know them: trees, padding, one-hot rows.

A shape is part of a type: `xs: Float[Array, "T B D"]`. The tests check these at every call (jaxtyping and
beartype); elsewhere they are documentation, and jaxtyping is not imported (it would cost 50 to 70 ms).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
else:
    Generator = Any  # numpy.random takes 16 ms to import, which NumPy itself puts off until it is used

    class Shaped:
        """Stands in for jaxtyping, which is not loaded: any array, unchecked."""

        def __class_getitem__(cls, item: object) -> Any:
            return Any

    Bool = Float = Integer = Shaped

State: TypeAlias = tuple[Any, ...]
"""A tree of tuples of arrays, the batch on the first axis of each. A recursive type would make every
`(h,) = state` an error for mypy, so the leaves are `Any`."""


def namespace(array: Any) -> Any:
    """The module whose functions take `array`: numpy, cupy, or that of a testing device."""
    if type(array) is np.ndarray:  # to ask the array takes ten times as long
        return np
    find = getattr(array, "__array_namespace__", None)
    return find() if find is not None else sys.modules["cupy"]  # CuPy 14 lacks the method


def device_name(array: Any) -> str:
    """`"cpu"`, `"cuda:0"` …: where `array` lies."""
    device = array.device
    return f"cuda:{device.id}" if hasattr(device, "id") else str(device)


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`function` of the leaves of one or several states of the same structure, as such a state."""
    if isinstance(tree, tuple):
        return tuple(tree_map(function, *branches) for branches in zip(tree, *others, strict=True))
    return function(tree, *others)


def no_gradient(array: Any) -> Any:
    """Zeros of the shape, dtype and device of `array`, in the memory of one number: not to be written to.

    None where `array` holds integers or one-hot rows, which have no gradient.
    """
    if array.dtype.kind != "f":
        return None
    xp = namespace(array)
    if xp is np:
        return _zeros(array.shape, array.dtype).view()
    return xp.broadcast_to(xp.zeros((), array.dtype), array.shape)


@functools.lru_cache  # they cannot be written to; to make them would be a fiftieth of a step of a small network
def _zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    return np.ndarray(shape, dtype, bytes(dtype.itemsize), strides=(0,) * len(shape))


def select(mask: Booleans, chosen: Any, other: Any) -> Any:
    """`chosen` where `mask` (over the leading axes) is True, else `other`, an array or a number.

    None where `chosen` is None, as the gradient of integers is.
    """
    if chosen is None:
        return None
    mask = mask.reshape(mask.shape + (1,) * (chosen.ndim - mask.ndim))
    return namespace(chosen).where(mask, chosen, other)


def is_empty(mask: Any) -> bool:
    """Whether no entry of `mask` is True; False for a mask on a GPU, which is not waited for."""
    return isinstance(mask, np.ndarray) and not mask.any()


def clear_padding(values: Any, active: Booleans | None) -> Any:
    """`values` (T, B, ...) with 0 where `active` (T, B) is False. `active` None: nothing is padding."""
    if active is None:
        return values
    if isinstance(values, OneHotRows):
        return OneHotRows(namespace(active).where(active, values.ids, 0), values.size)
    return select(active, values, 0)


class OneHotRows:
    """One-hot rows that are never made dense: a product with them is a look-up, or a sum of rows.

    Stands for the array of shape `(*ids.shape, size)` that is 1 at the ids and 0 elsewhere. Its dtype is bool, the
    smallest that holds 0 and 1, so a product has the dtype of its other factor. The ids are not checked here.

    Example:
        >>> rows = OneHotRows(np.array([2, 0, 2]), 3)
        >>> w = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        >>> rows @ w
        array([[5., 6.],
               [1., 2.],
               [5., 6.]])
        >>> rows.T @ np.ones((3, 1))
        array([[1.],
               [0.],
               [2.]])
    """

    __array_ufunc__ = None  # so that `array @ rows` is a TypeError, not an array of objects

    def __init__(self, ids: Integers, size: int) -> None:
        self.ids, self.size = ids, size
        self.shape: tuple[int, ...] = (*ids.shape, size)
        self.ndim, self.dtype, self.device = len(self.shape), np.dtype(bool), ids.device

    def __getitem__(self, index: Any) -> OneHotRows:
        return OneHotRows(self.ids[index], self.size)

    def __matmul__(self, w: Array) -> Array:
        rows: Array = w.take(self.ids, axis=0)
        return rows

    @property
    def T(self) -> OneHotColumns:
        """The transpose of rows (N, size)."""
        return OneHotColumns(self.ids, self.size)

    def __repr__(self) -> str:
        return f"OneHotRows(shape={self.shape})"


class OneHotColumns:
    """The transpose of `OneHotRows` (N, size): `columns @ rows` sums the rows (N, H) that have the same id."""

    __array_ufunc__ = None

    def __init__(self, ids: Integers, size: int) -> None:
        self.ids, self.size = ids, size

    def __matmul__(self, rows: Array) -> Array:
        total: Array = namespace(rows).zeros((self.size, rows.shape[1]), rows.dtype)
        self.add_product(rows, total)
        return total

    def add_product(self, rows: Array, total: Array) -> None:
        """`total += columns @ rows`, without the zeros for ids that do not occur."""
        ids, size, xp = self.ids, self.size, namespace(rows)
        if xp is not np or ids.size * size <= 1 << 13:
            # The dense product. On a GPU because it is deterministic there (atomic additions are not).
            total += (xp.arange(size)[:, None] == ids).astype(rows.dtype) @ rows
            return
        # Id by id: the rows are sorted by it, and those of each are added up by a product with ones. 2 to 80 times
        # faster than the dense product.
        order = ids.argsort(kind="stable")
        ids, rows = ids[order], rows.take(order, axis=0)
        starts = np.concatenate(([0], np.flatnonzero(ids[1:] != ids[:-1]) + 1))
        ones, sums = np.ones(len(ids), rows.dtype), np.empty((len(starts), rows.shape[1]), rows.dtype)
        for out, (start, stop) in zip(sums, pairwise([*starts.tolist(), len(ids)]), strict=True):
            np.dot(ones[start:stop], rows[start:stop], out=out)
        total[ids[starts]] += sums


if TYPE_CHECKING:
    Input: TypeAlias = Array | OneHotRows
else:
    Input = Any


def as_rows(x: Any) -> Any:
    """`x` (..., D) as a matrix (N, D), without a copy where its rows lie at equal distances."""
    if x.ndim == 2:
        return x
    if isinstance(x, OneHotRows):
        return OneHotRows(x.ids.reshape(-1), x.size)
    return x.reshape(-1, x.shape[-1])
