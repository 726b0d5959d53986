"""The gradient of a table: the sums of the rows that have the same id, always in the same order."""

from __future__ import annotations

import functools
from typing import Any

import cupy
import numpy as np

from ...core.arrays import Array
from ...core.one_hot import OneHotRows
from .cross_entropy import IDS
from .sources import text

THREADS, SORTING = 128, 1024
"""Of a block: that adds up, and that sorts."""


def add_by_id(x: OneHotRows, d: Array, dw: Array) -> None:
    """As in `kernels.plain.products`, in two operations, whatever the size of the vocabulary."""
    (V, M), ids = dw.shape, x.ids
    if not (ids.size and M):
        return
    if ids.dtype.char not in IDS:
        ids = ids.astype(np.int64)
    ids, d = cupy.ascontiguousarray(ids), cupy.ascontiguousarray(d)
    assert dw.strides[1] == dw.itemsize  # it is a part of the gradient
    blocks, N = -(-M // THREADS), ids.size
    starts, following, order = (cupy.empty(size, np.int32) for size in (V + 1, V, N))
    device = cupy.cuda.Device().id
    sort, add = (_kernel(name, d.dtype.name, ids.dtype.char, device) for name in ("sort_by_id", "add_rows"))
    sort((1,), (SORTING,), (ids, np.int64(N), np.int64(V), starts, following, order))
    add((V, blocks), (THREADS,), (d, starts, order, dw, np.int64(M), np.int64(dw.strides[0] // dw.itemsize)))


@functools.cache
def _kernel(name: str, dtype: str, ids: str, device: int) -> Any:
    """Compiled for the current device, once."""
    return cupy.RawModule(code=text(dtype, "sums", "by_id", Id=IDS[ids])).get_function(name)
