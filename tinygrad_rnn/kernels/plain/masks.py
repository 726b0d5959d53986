"""Random masks by Philox, which computes its n-th number from a key and n, so that any device can do it by itself.

The numbers are those of NumPy's `Philox`, Philox4x64-10, from its first on: 64 bits each, of which an entry of the mask
takes 32, the lower half first.

References:
    Salmon et al., *Parallel Random Numbers: As Easy as 1, 2, 3*, 2011.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from ...core.arrays import Array, NDArray
from ...core.device import device_of

_own = threading.local()


def random_mask(
    key: NDArray[np.uint64],
    probability: float,
    value: float,
    shape: tuple[int, ...],
    like: Array,
    rows: tuple[int, int] | None = None,
) -> Array:
    """`value` with `probability`, to 32 bits, else 0, of `shape` and with the dtype and device of `like`.

    `key` (2,) decides all; it holds unsigned numbers of 64 bits. With `rows`, `shape` is (..., B, D), and the mask is a
    part of a larger one, of rows[1] rows, which begins at row rows[0]; the numbers of other rows are not computed.
    """
    count = math.prod(shape)
    runs, size, first, step = 1, count, 0, 0  # numbers side by side, how many, where they begin, and from run to run
    if rows is not None and rows[1] != shape[-2]:
        size = shape[-2] * shape[-1]
        runs, first, step = math.prod(shape[:-2]), rows[0] * shape[-1], rows[1] * shape[-1]
    below = round(probability * 2**32)
    chosen = np.empty((runs, size), bool)
    for run in range(runs):
        np.less(_numbers(key, first + run * step, size), below, out=chosen[run])
    mask: Array = device_of(like).asarray(chosen.reshape(shape)).astype(like.dtype)
    mask *= value
    return mask


def _numbers(key: NDArray[np.uint64], first: int, count: int) -> NDArray[np.uint32]:
    """The numbers of 32 bits from number `first` on; each count of Philox gives eight."""
    at, left_out = divmod(first, 8)
    words = _philox(key, at).random_raw((left_out + count + 1) // 2).astype("<u8", copy=False)
    halves: NDArray[np.uint32] = words.view("<u4")
    return halves[left_out : left_out + count]


def _philox(key: NDArray[np.uint64], at: int) -> Any:
    """NumPy's generator with this key, after so many counts. To make one takes 30 µs, to set the key 1 µs."""
    if not hasattr(_own, "philox"):
        _own.philox = np.random.Philox()
        _own.start = _own.philox.state | {"buffer_pos": 4}  # nothing is left over from before
        _own.start["state"] = {"counter": np.zeros(4, np.uint64), "key": key}
    _own.start["state"]["key"] = key
    _own.start["state"]["counter"][0] = at
    _own.philox.state = _own.start
    return _own.philox
