"""Products of few rows with one large matrix, many times over: what a recurrent network does at each step."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from ..arrays import Array, namespace
from ..threads import one_thread


def multiplier(w: Array, rows: int) -> Callable[..., object]:
    """`multiply(a, out=out)`, which sets `out` (..., rows, N) to `a @ w`, for any `a` (rows, K) or (..., rows, K).

    `w` is (..., K, N), and must not change meanwhile.

    The matrix product of OpenBLAS first copies w into an order of its own, at each call, which for 32 rows takes a
    quarter of the time. With AVX-512 it has another for small matrices, of up to 10^6 multiplications, that does not.
    So w is copied once, in blocks of columns, and `matmul` takes one block of rows and one of columns at a time: 110 in
    place of 85 GFLOP/s on one thread. Elsewhere, on several threads (small matrices get only one), and where no blocks
    of a good size divide the matrices, it is one product.
    """
    xp, (*stack, K, N) = namespace(w), w.shape
    product: Callable[..., object] = functools.partial(_product, xp.matmul if stack else xp.dot, w)
    if xp is not np or rows * K * N <= 10**6 or not one_thread() or not _has_small_product():
        return product
    m = _divisor(rows, 32)
    n = _divisor(N, min(64, 10**6 // (m * K)))
    if min(m, n) < 16:
        return product
    blocks = np.ascontiguousarray(w.reshape(*stack, 1, K, N // n, n).swapaxes(-2, -3))

    def multiply(a: Array, out: Array) -> object:
        blocks_of_a = a.reshape(*a.shape[:-2], rows // m, 1, m, K)
        blocks_of_out = out.reshape(*stack, rows // m, m, N // n, n).swapaxes(-2, -3)
        return np.matmul(blocks_of_a, blocks, out=blocks_of_out)

    return multiply


def _product(function: Callable[..., object], w: Array, a: Array, out: Array) -> object:
    return function(a, w, out=out)


def multiplied(a: Array, w: Array) -> Array:
    """`a @ w`, with `multiplier`."""
    out: Array = namespace(a).empty((len(a), w.shape[1]), a.dtype)
    multiplier(w, len(a))(a, out=out)
    return out


def _divisor(size: int, most: int) -> int:
    """The largest divisor of `size` that is at most `most`; 0 where there is none."""
    return next((d for d in range(min(size, most), 0, -1) if size % d == 0), 0)


@functools.cache
def _has_small_product() -> bool:
    """Whether NumPy's matrix product is that of OpenBLAS with AVX-512."""
    config = np.show_config(mode="dicts")
    blas, found = config["Build Dependencies"]["blas"]["name"], config["SIMD Extensions"].get("found", [])
    return "openblas" in blas and any(name == "X86_V4" or name.startswith("AVX512") for name in found)
