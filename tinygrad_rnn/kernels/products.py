"""The products of a recurrent network, made fast: those of a step, and those of a block of steps.

A kernel goes through a sequence in blocks of steps. What does not depend on the recurrence is computed for a block at
once: that makes large products of it, whose results are still in the cache when the steps use them. And going back,
the gradients inside the network take the memory of a block, not of the sequence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, OneHotRows, as_rows, namespace
from ..threads import one_thread

ROWS = 256
"""Those that a block should have: enough for fast products."""
NUMBERS = 1 << 18
"""Those that it may have instead, where that makes more rows: few enough for the cache."""
SMALL = 10**6
"""The most multiplications of a product that OpenBLAS takes for small."""


def block_steps(T: int, B: int, width: int) -> int:
    """How many of T steps, each of B rows of `width` numbers, make a block."""
    return min(T, max(max(ROWS, NUMBERS // width) // max(B, 1), 1))


def blocks(T: int, steps: int) -> list[slice]:
    """T steps in blocks of `steps`, which is 0 where T is; the last may be shorter."""
    return [slice(start, min(start + steps, T)) for start in range(0, T, steps or 1)]


def multiplier(w: Array, rows: int) -> Callable[..., object]:
    """`multiply(a, out=out)`, which sets `out` (*stack, rows, N) to `a @ w`, for `a` (rows, K) or (*stack, rows, K).

    `w` is (*stack, K, N), in any layout, and must not change meanwhile; `out` has no gaps, for it is written through
    reshaped views. Another number of rows is right too, but slower.

    The matrix product of OpenBLAS first copies w into an order of its own, at each call, which for 32 rows takes a
    quarter of the time. With AVX-512 it has another for small matrices, of up to `SMALL` multiplications, that does
    not. So w is copied once, in parts of some columns each, and `matmul` takes a part of the rows and one of the
    columns at a time: on a Zen 4 core 110 in place of 85 GFLOP/s, in float32. It is one product elsewhere, on several
    threads (small matrices get only one), where it is small itself, and where no parts of a good size divide it.
    """
    (*stack, K, N), xp = w.shape, namespace(w)
    m, n = _parts(w, rows, K, N)
    if not m:  # of two axes by dot, which is quicker to call
        return functools.partial(_product, xp.matmul if stack else xp.dot, xp.ascontiguousarray(w))
    parts = np.ascontiguousarray(_with_gaps(w).reshape(*stack, 1, K, N // n, n).swapaxes(-2, -3))

    def multiply(a: Array, out: Array) -> object:
        if a.shape[-2] != rows:
            return np.matmul(a, w, out=out)
        parts_of_a = a.reshape(*a.shape[:-2], rows // m, 1, m, K)
        parts_of_out = out.reshape(*stack, rows // m, m, N // n, n).swapaxes(-2, -3)
        return np.matmul(parts_of_a, parts, out=parts_of_out)

    return multiply


def _product(function: Callable[..., object], w: Array, a: Array, out: Array) -> object:
    return function(a, w, out=out)


def _with_gaps(w: Array) -> Array:
    """`w`, or, of a transpose, a copy with gaps: rows 2^k numbers apart would share the same lines of the cache."""
    if w.strides[-1] == w.itemsize:
        return w
    *stack, K, N = w.shape
    spaced: Array = np.empty((*stack, N, K + 16), w.dtype)[..., :K]
    spaced[...] = w.swapaxes(-1, -2)
    return spaced.swapaxes(-1, -2)


def input_side(xs: Any, w: Array, b: Array, rows: int) -> Callable[[slice, Array], None]:
    """`project(block, out)`, which sets `out` (steps, G, B, H) to `xs @ w + b` of the steps of a block.

    `xs` is (T, B, D), or one-hot rows, which are looked up; `w` is (G, D, H) and `b` (G, 1, H), gate by gate. A full
    block has `rows` rows. `out` has no gaps.
    """
    if isinstance(xs, OneHotRows):
        tables = w + b

        def look_up(block: slice, out: Array) -> None:
            for k, table in enumerate(tables):
                out[:, k] = xs[block] @ table

        return look_up

    multiply = multiplier(w, rows)

    def project(block: slice, out: Array) -> None:
        steps, G, B, H = out.shape
        if G == 1:
            multiply(as_rows(xs[block]), out=out.reshape(1, steps * B, H))
            out += b
        else:
            product = namespace(out).empty((G, steps * B, H), out.dtype)
            multiply(as_rows(xs[block]), out=product)
            namespace(out).add(product.reshape(G, steps, B, H).swapaxes(0, 1), b, out=out)

    return project


def input_gradient(xs: Any, w: Array, rows: int) -> tuple[Array | None, Callable[[slice, Array], None]]:
    """`dxs` (T, B, D), not yet filled, and `fill(block, das)`, which sets `dxs[block]` to `das @ w.T`.

    `das` is (steps, B, N) and `w` (D, N); a full block has `rows` rows. For one-hot rows `dxs` is None.
    """
    if isinstance(xs, OneHotRows):
        return None, lambda block, das: None
    dxs: Array = namespace(xs).empty(xs.shape, w.dtype)
    multiply = multiplier(w.T, rows)

    def fill(block: slice, das: Array) -> None:
        multiply(as_rows(das), out=as_rows(dxs[block]))

    return dxs, fill


def add_gradient(dw: Array, x: Any, d: Array) -> None:
    """`dw += x.T @ d`, for weights (K, N): of inputs `x` (..., K), or one-hot rows, and of `d` (..., N).

    In small products, as `multiplier`, but without a copy: 110 in place of 97 GFLOP/s there, on a block of steps.
    """
    x, d, (K, N) = as_rows(x), as_rows(d), dw.shape
    if isinstance(x, OneHotRows):
        x.T.add_product(d, dw)
        return
    rows = len(d)
    n, m = _parts(d, N, rows, K)  # those of d.T @ x: here wide parts of x are the faster ones
    if not m:
        dw += x.T @ d
        return
    product = np.empty((K, N), d.dtype)
    parts_of_x, parts_of_d = x.T.reshape(K // m, 1, m, rows), d.reshape(rows, N // n, n).swapaxes(0, 1)
    np.matmul(parts_of_x, parts_of_d, out=product.reshape(K // m, m, N // n, n).swapaxes(1, 2))
    dw += product


def _parts(array: Array, rows: int, K: int, N: int) -> tuple[int, int]:
    """How many rows and columns the parts of a product (rows, K) @ (K, N) have; 0 where it is faster whole.

    The bounds, up to 32 rows by 64 columns, at least 8 by 16, were found by measuring.
    """
    if namespace(array) is not np or rows * K * N <= SMALL or not one_thread() or not _has_small_product():
        return 0, 0
    n = _divisor(N, min(64, max(SMALL // (32 * K), 32)))
    m = _divisor(rows, min(32, SMALL // (K * n)))
    return (m, n) if m >= 8 and n >= 16 else (0, 0)


def _divisor(size: int, most: int) -> int:
    """The largest divisor of `size` that is at most `most`; 0 where that is 0."""
    return next((d for d in range(min(size, most), 0, -1) if size % d == 0), 0)


@functools.cache
def _has_small_product() -> bool:
    """Whether NumPy's matrix product is that of OpenBLAS with AVX-512."""
    config = np.show_config(mode="dicts")
    blas, found = config["Build Dependencies"]["blas"]["name"], config["SIMD Extensions"].get("found", [])
    return "openblas" in blas and any(name == "X86_V4" or name.startswith("AVX512") for name in found)
