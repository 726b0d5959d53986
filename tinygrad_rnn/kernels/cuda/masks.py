"""Random masks on a GPU: `masks.cu`, whose numbers are those of `kernels.plain.masks`."""

from __future__ import annotations

import functools
import math
from typing import Any

import cupy
import numpy as np

from ...core.arrays import Array, NDArray
from .sources import text

THREADS, ENTRIES = 128, 8
"""Threads of a block, and the entries of the mask that each computes."""


def random_mask(
    key: NDArray[np.uint64],
    probability: float,
    value: float,
    shape: tuple[int, ...],
    like: Array,
    rows: tuple[int, int] | None = None,
) -> Array:
    """As in `kernels.plain.masks`, in one operation, without a copy from the host."""
    mask: Array = cupy.empty(shape, like.dtype)
    count, threshold = math.prod(shape), np.uint64(round(probability * 2**32))
    runs, size, first, step = 1, count, 0, 0
    threads = -(-count // ENTRIES)  # a run
    if rows is not None and rows[1] != shape[-2]:
        size = shape[-2] * shape[-1]
        threads = -(-size // ENTRIES) + 1  # it may begin within a count
        runs, first, step = math.prod(shape[:-2]), rows[0] * shape[-1], rows[1] * shape[-1]
    if count:
        kernel = _kernel(like.dtype.name, cupy.cuda.Device().id)
        division = map(np.int64, (runs, size, first, step, threads))
        blocks = -(-runs * threads // THREADS)
        kernel((blocks,), (THREADS,), (*key, threshold, like.dtype.type(value), *division, mask))
    return mask


@functools.cache
def _kernel(dtype: str, device: int) -> Any:
    """Compiled for the current device, once."""
    return cupy.RawModule(code=text(dtype, "masks")).get_function("random_mask")
