"""One-hot rows, which are never made dense."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from .arguments import check_size
from .arrays import Array, Integers, namespace
from .blas import with_one_blas_thread
from .foreign import check_is_array


class OneHotRows:
    """One-hot rows that are never made dense: a product with them is a look-up, or a sum of rows.

    Stands for the array of shape `(*ids.shape, size)` that is 1 at the ids and 0 elsewhere. Its dtype is bool, the
    smallest that holds 0 and 1, so a product has the dtype of its other factor. The layers that take them check the
    values of the ids, but not those of padding.

    Args:
        ids: an integer array (...), each 0 to V - 1.
        size: V, the length of a row.

    Raises:
        TypeError: `ids` is not an integer array, or `size` is not an integer.

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
    dtype = np.dtype(bool)

    def __init__(self, ids: Integers, size: int) -> None:
        if type(ids) is not np.ndarray:
            check_is_array("OneHotRows", "ids", ids, "an integer array")
        if ids.dtype.kind not in "iu":  # a cast would cut 0.9 to 0
            raise TypeError(f"OneHotRows: ids must be an integer array, not {ids.dtype}")
        if type(size) is not int or not 0 < size < 1 << 48:
            size = check_size("OneHotRows", "size", size)
        self.ids, self.size = ids, size
        self.shape: tuple[int, ...] = (*ids.shape, size)
        self.ndim, self.device = ids.ndim + 1, ids.device

    def __getitem__(self, index: Any) -> OneHotRows:
        return OneHotRows(self.ids[index], self.size)

    def __matmul__(self, w: Array) -> Array:
        rows: Array = w.take(self.ids, axis=0)
        return rows

    def with_ids(self, ids: Integers) -> OneHotRows:
        """One-hot rows of the same size at other ids."""
        return OneHotRows(ids, self.size)

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

    @with_one_blas_thread
    def add_product(self, rows: Array, total: Array) -> None:
        """`total += columns @ rows`, without adding zeros for ids that do not occur."""
        ids, size, xp = self.ids, self.size, namespace(rows)
        if xp is not np or ids.size * size <= 1 << 13:
            # The dense product. On a GPU it is deterministic, which atomic additions are not.
            total += (xp.arange(size)[:, None] == ids).astype(rows.dtype) @ rows
            return
        # The rows are sorted by id, and the rows of each id are summed by a product with ones. This is 2 to 80 times
        # faster than the dense product.
        order = ids.argsort(kind="stable")
        ids, rows = ids[order], rows.take(order, axis=0)
        starts = np.concatenate(([0], np.flatnonzero(ids[1:] != ids[:-1]) + 1))
        ones, sums = np.ones(len(ids), rows.dtype), np.empty((len(starts), rows.shape[1]), rows.dtype)
        for out, (start, stop) in zip(sums, pairwise([*starts.tolist(), len(ids)]), strict=True):
            np.dot(ones[start:stop], rows[start:stop], out=out)
        total[ids[starts]] += sums


class TableRows:
    """Rows of a table, `table[ids]`, that are not looked up yet: an embedding hands them to the cell that follows.

    `table[ids] @ w` equals `(table @ w)[ids]`, which is cheaper where there are more ids than rows of the table. The
    code that computes the product chooses between the two.
    """

    def __init__(self, ids: Integers, parameter: Any) -> None:
        self.ids, self.parameter = ids, parameter
        self.shape: tuple[int, ...] = (*ids.shape, parameter.shape[1])
        self.ndim, self.dtype, self.device = len(self.shape), self.table.dtype, ids.device

    @property
    def table(self) -> Array:
        """The value of the parameter (V, D), as it is now."""
        value: Array = self.parameter.value
        return value

    def __getitem__(self, index: Any) -> TableRows:
        return TableRows(self.ids[index], self.parameter)

    def with_ids(self, ids: Integers) -> TableRows:
        """Rows of the same table at other ids."""
        return TableRows(ids, self.parameter)

    def dense(self) -> Array:
        """The rows looked up, an array (*ids.shape, D)."""
        rows: Array = self.table.take(self.ids, axis=0)
        return rows

    def __repr__(self) -> str:
        return f"TableRows(shape={self.shape})"


class TableGradient(NamedTuple):
    """In place of a gradient (T, B, D) w.r.t. `TableRows`, the gradient (V, D) w.r.t. the whole table."""

    table: Array


if TYPE_CHECKING:
    Input: TypeAlias = Array | OneHotRows
else:
    Input = Any


def as_rows(x: Any) -> Any:
    """`x` (..., D) as a matrix (N, D), without a copy where its rows are evenly spaced in memory."""
    if x.ndim == 2:
        return x
    if isinstance(x, OneHotRows):
        return OneHotRows(x.ids.reshape(-1), x.size)
    return x.reshape(-1, x.shape[-1])
