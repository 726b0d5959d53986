"""The linear recurrence on a GPU: `linear.cu`. `plain.linear` says what these functions take and give."""

from __future__ import annotations

import functools
from typing import Any

import cupy
import numpy as np

from ...core.arrays import Array
from ...core.rows import Rows
from .launch import flags
from .sources import text

THREADS = 128
"""Of a block."""


def forward_steps(a: Array, b: Array, hs: Array, h_prev: Array, rows: Rows, begun: Array | None) -> None:
    """As in `plain.linear`, in one operation."""
    if b.size:
        assert hs.flags.c_contiguous and h_prev.flags.c_contiguous
        given = (None if begun is None else cupy.ascontiguousarray(begun)), *map(cupy.ascontiguousarray, (a, b))
        _launch("linear_forward", hs, h_prev, *given, rows=rows, shape=b.shape)


def backward_steps(a: Array, dhs: Array, dh: Array, rows: Rows, dbegun: Array | None) -> Array:
    """As in `plain.linear`, in one operation."""
    if dhs.size:
        assert dhs.flags.c_contiguous and dh.flags.c_contiguous
        _launch("linear_backward", dhs, dh, dbegun, cupy.ascontiguousarray(a), rows=rows, shape=dhs.shape)
    return dh


def _launch(name: str, *arrays: Any, rows: Rows, shape: tuple[int, ...]) -> None:
    T, B, H = shape
    kernel = _kernel(name, arrays[0].dtype.name, cupy.cuda.Device().id)
    pointers = (np.uintp(0) if array is None else array for array in (*arrays, *map(flags, rows[1:])))
    kernel((-(-B * H // THREADS),), (THREADS,), (*pointers, *map(np.int32, (T, B, H))))


@functools.cache
def _kernel(name: str, dtype: str, device: int) -> Any:
    """Compiled for the current device, once."""
    return cupy.RawModule(code=text(dtype, "linear")).get_function(name)
