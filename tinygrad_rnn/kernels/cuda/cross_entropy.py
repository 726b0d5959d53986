"""The whole cross-entropy of ids, reduction and all, in one operation forward and one back."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import cupy
import numpy as np

from ...core.arrays import Array, Booleans, Integers
from .products import address_of
from .sources import OPTIONS, text

IDS = {
    **{"b": "signed char", "h": "short", "i": "int", "l": "long long", "q": "long long"},
    **{"B": "unsigned char", "H": "unsigned short", "I": "unsigned int"},
}
"""The types of ids in CUDA, by the letter of their dtype."""


class Tokens(NamedTuple):
    """What a forward gives, of N tokens."""

    losses: Array
    """(N,), 0 where a token does not count, else times its weight."""
    largest: Array
    total: Array
    scale: Array
    """(N,), the factor of each loss in the sum: 0 where the token does not count."""
    counts: Booleans
    loss: Array
    """(), their sum or mean; unset where there is no reduction."""
    counted: Array
    """(), the sum of the weights of those that count."""


def forward(
    ys: Array,
    targets: Integers,
    *,
    weights: Array | None,
    lengths: Integers | None,
    of_class: Array | None,
    rows: int,
    ignore_index: int,
    smoothing: float,
    reduction: str,
) -> Tokens:
    """Of logits (N, V) and ids (N,), with `weights` (N,), `lengths` (B,) and `of_class` (V,), in the dtype of `ys`.

    Token n is step n // rows of row n % rows. Smoothing and class weights do not go together.
    """
    N, V = ys.shape
    ys, targets = cupy.ascontiguousarray(ys), cupy.ascontiguousarray(targets)
    kept = [
        None if array is None else cupy.ascontiguousarray(array, dtype)
        for array, dtype in ((weights, ys.dtype), (lengths, np.int64), (of_class, ys.dtype))
    ]
    addresses = [0 if array is None else address_of(array) for array in kept]
    options = np.array(
        (*addresses, N, V, rows, ignore_index, smoothing, reduction == "mean", reduction != "none"), OPTIONS
    )[()]
    losses, largest, total, scale = cupy.empty((4, N), ys.dtype)
    found = Tokens(losses, largest, total, scale, cupy.empty(N, bool), *cupy.empty(2, ys.dtype))
    arrived = counter(cupy.cuda.Device().id, cupy.cuda.get_current_stream().ptr)
    kernel = _kernel("cross_entropy_forward", ys.dtype.name, targets.dtype.char, cupy.cuda.Device().id)
    kernel((N,), (_threads(V),), (ys, targets, options, *found, arrived))
    return found


def backward(
    ys: Array, targets: Integers, smoothing: float, largest: Array, total: Array, scale: Array, dloss: Any
) -> Array:
    """The gradients by the logits (N, V); `dloss` is None, a number, or an array () or of N numbers."""
    N, V = ys.shape
    ys, targets = cupy.ascontiguousarray(ys), cupy.ascontiguousarray(targets)
    dys: Array = cupy.empty((N, V), ys.dtype)
    number, dlosses, step = 1.0, None, 0
    if isinstance(dloss, (int, float)):
        number = float(dloss)
    elif dloss is not None:
        dlosses, step = cupy.ascontiguousarray(dloss, ys.dtype), int(dloss.ndim > 0)  # which makes one axis of none
    kernel = _kernel("cross_entropy_backward", ys.dtype.name, targets.dtype.char, cupy.cuda.Device().id)
    pointer = np.uint64(0 if dlosses is None else address_of(dlosses))
    numbers = (np.int64(V), np.float64(smoothing), np.float64(number), np.int32(step))
    kernel((N,), (_threads(V),), (ys, targets, largest, total, scale, pointer, dys, *numbers))
    return dys


@functools.cache
def counter(device: int, stream: int) -> Any:
    """A zero, in which the blocks of a launch count themselves and which they leave at zero, of one stream."""
    return cupy.zeros(1, np.uint32)


@functools.cache
def _kernel(name: str, dtype: str, ids: str, device: int) -> Any:
    """Compiled for the current device, once."""
    return cupy.RawModule(code=text(dtype, "sums", "cross_entropy", Id=IDS[ids])).get_function(name)


def _threads(V: int) -> int:
    """Of a block: as many as it has logits, up to 256, in whole warps."""
    return min(-(-V // 32) * 32, 256)
