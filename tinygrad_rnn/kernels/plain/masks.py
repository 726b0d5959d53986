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
    key: NDArray[np.uint64], probability: float, value: float, shape: tuple[int, ...], like: Array
) -> Array:
    """`value` with `probability`, to 32 bits, else 0, of `shape` and with the dtype and device of `like`.

    `key` (2,) decides all; it holds unsigned numbers of 64 bits.
    """
    count = math.prod(shape)
    words = _philox(key).random_raw((count + 1) // 2).astype("<u8", copy=False)
    chosen = words.view("<u4")[:count].reshape(shape) < round(probability * 2**32)
    mask: Array = device_of(like).asarray(chosen).astype(like.dtype)
    mask *= value
    return mask


def _philox(key: NDArray[np.uint64]) -> Any:
    """NumPy's generator with this key, at its first number. To make one takes 30 µs, to set the key 1 µs."""
    if not hasattr(_own, "philox"):
        _own.philox = np.random.Philox()
        _own.start = _own.philox.state | {"buffer_pos": 4}  # nothing is left over from before
        _own.start["state"] = {"counter": np.zeros(4, np.uint64), "key": key}
    _own.start["state"]["key"] = key
    _own.philox.state = _own.start
    return _own.philox
