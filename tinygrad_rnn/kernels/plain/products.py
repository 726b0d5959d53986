"""Products, by the array's own library: those of a step, made fast, and those of a block of steps.

A backend that has others puts its own in the place of `projection`, `look_up` and `add_by_id`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core import blas
from ...core.arrays import Array, namespace
from ...core.one_hot import OneHotRows, as_rows
from ..threads import divide

SMALL = 10**6
"""The most multiplications of a product that OpenBLAS takes for small."""
FEW = 96
"""Rows, up to which a product is faster in small parts."""
LARGE = 10**7
"""Multiplications of a single product that are worth a thread: some 0.2 ms."""
LONG = 512
"""The most columns k of a part (m, k) of the rows."""


def multiplier(w: Array, rows: int) -> Callable[..., object]:
    """`multiply(a, out=out)`, which sets `out` (*stack, rows, N) to `a @ w`, for `a` (rows, K) or (*stack, rows, K).

    `w` is (*stack, K, N), in any layout, and must not change while `multiply` is in use; `out` has no gaps, as `dot`
    demands. Another number of rows is right too, but slower.

    The matrix product of OpenBLAS first copies w into an order of its own, at each call, which for 32 rows takes a
    quarter of the time. With AVX-512 it has another for small matrices, of up to `SMALL` multiplications, that does
    not. So w is copied once, in parts (k, n), and `matmul` takes a part (m, k) of the rows and one of those at a time;
    products along K are added up. In float32, of 32 rows by (256, 1024), 133 in place of 90 GFLOP/s on one core of an
    Intel Sapphire Rapids, and 110 in place of 85 on an AMD Zen 4. It stays one product on other machines, and where it
    is small itself, has more than `FEW` rows, or no parts of a good size divide it.
    """
    (*stack, K, N), xp = w.shape, namespace(w)
    k, m, n = _parts(w, rows, K, N)
    if not m:
        whole = xp.ascontiguousarray(w)
        # The method `dot` of an array, for a single matrix, takes two thirds of the time to call.
        return (lambda a, out: xp.matmul(a, whole, out=out)) if stack else (lambda a, out: a.dot(whole, out))
    pieces = K // k
    parts = np.ascontiguousarray(_padded(w).reshape(*stack, pieces, 1, k, N // n, n).swapaxes(-2, -3))
    sums = np.empty((*stack, pieces, rows, N), w.dtype) if pieces > 1 else None

    def multiply(a: Array, out: Array) -> object:
        if a.shape[-2] != rows:
            return np.matmul(a, w, out=out)
        parts_of_a = np.moveaxis(a.reshape(*a.shape[:-2], rows // m, 1, m, pieces, k), -2, -5)
        filled = out[..., None, :, :] if sums is None else sums
        parts_of_out = filled.reshape(*stack, pieces, rows // m, m, N // n, n).swapaxes(-2, -3)
        np.matmul(parts_of_a, parts, out=parts_of_out)
        return out if sums is None else np.add.reduce(sums, axis=-3, out=out)

    return multiply


def _padded(w: Array) -> Array:
    """`w`, or, of a transpose, a padded copy."""
    if w.strides[-1] == w.itemsize:
        return w
    *stack, K, N = w.shape
    padded = empty_padded((*stack, N, K), w.dtype)
    padded[...] = w.swapaxes(-1, -2)
    return padded.swapaxes(-1, -2)


def empty_padded(shape: tuple[int, ...], dtype: Any) -> Array:
    """As `numpy.empty`, but with unused numbers after each row of 64 or more.

    Rows that lie 2^k numbers apart would share the same few lines of the cache.
    """
    *lead, N = shape
    width = N if N < 64 else N // 32 * 32 + 48  # an odd multiple of 16
    padded: Array = np.empty((*lead, width), dtype)[..., :N]
    return padded


def product(a: Any, b: Array) -> Array:
    """`a @ b`, of matrices, or one-hot rows or columns; a large one is divided among the threads.

    By its rows, or, where they are few, by its columns: BLAS copies b at each call, and so each thread its part of it.
    BLAS has one thread, whatever the size: it leaves a small product to one by itself.
    """
    whole: Array
    if not isinstance(a, np.ndarray):
        whole = a @ b
        return whole
    multiplications = a.size * b.shape[1]
    if multiplications < 2 * LARGE:  # not by `divide`, which takes as long as the product of a row
        # `dot` is quicker to call than `@`, but slower at a large product.
        whole = a.dot(b) if multiplications < blas.undivided else _whole(a, b)
        return whole
    (rows, K), N = a.shape, b.shape[1]
    out = np.empty((rows, N), b.dtype)
    if rows <= FEW:
        divide(lambda part: np.matmul(a, b[:, part], out=out[:, part]), N, -(-LARGE // (rows * K)))
    else:
        divide(lambda part: np.matmul(a[part], b, out=out[part]), rows, -(-LARGE // (K * N)))
    return out


@blas.with_one_blas_thread
def _whole(a: Array, b: Array) -> Array:
    return a @ b


def by_gate(w: Array, gates: int, sigmoids: int) -> Array:
    """Weights (K, G*H), or a bias (G*H,), gate by gate, (G, K, H), for the steps of a forward.

    Those of the first gates, the `sigmoids`, are halved, which rounds nothing: sigmoid(a) = 0.5 tanh(0.5 a) + 0.5.
    """
    w = w.reshape(-1, gates, w.shape[-1] // gates).swapaxes(0, 1).copy()
    w[:sigmoids] *= 0.5
    return w


def empty_gates(like: Array, T: int, gates: int, B: int, H: int) -> Array:
    """Room for the gates of T steps, (T, G, B, H), of the dtype and device of `like`."""
    room: Array = namespace(like).empty((T, gates, B, H), like.dtype)
    return room


def projection(w: Array, b: Array | None, rows: int) -> Callable[[Array, Array], None]:
    """`project(xs, out)`, which sets `out` (steps, G, B, H) to `xs @ w + b`, for `xs` (steps, B, D).

    `w` is (G, D, H), and must not change while `project` is in use; `b` is (G, 1, H), or None for 0. `rows`, the steps
    of all calls times B, only tells whether it pays to prepare `w`.
    """
    xp = namespace(w)

    def project(xs: Array, out: Array) -> None:
        steps, G, B, H = out.shape
        product = xp.matmul(as_rows(xs), w).reshape(G, steps, B, H).swapaxes(0, 1)
        if b is None:
            out[...] = product
        else:
            xp.add(product, b, out=out)

    return project


def add_product(x: Array, d: Array, dw: Array) -> None:
    """`dw += x.T @ d`, for `x` (..., K) and `d` (..., N) of rows."""
    dw += as_rows(x).T @ as_rows(d)


def look_up(xs: OneHotRows, tables: Array, out: Array) -> None:
    """Set `out` (steps, G, B, H) to one-hot rows `xs` (steps, B, V) times each of the `tables` (G, V, H)."""
    for k, table in enumerate(tables):
        out[:, k] = xs @ table


def add_by_id(x: OneHotRows, d: Array, dw: Array) -> None:
    """`dw += x.T @ d`, for one-hot rows `x` (N, K) and `d` (N, M)."""
    x.T.add_product(d, dw)


def _parts(array: Array, rows: int, K: int, N: int) -> tuple[int, int, int]:
    """The sizes k, m, n of the parts, (m, k) @ (k, n), of a product (rows, K) @ (K, N); 0 where it is faster whole.

    The bounds, 8 to 32 rows by 16 to 64 columns, and k from 64 to `LONG`, were found by measuring.
    """
    if namespace(array) is not np or rows > FEW or rows * K * N <= SMALL or not _has_small_product():
        return 0, 0, 0
    k = _divisor(K, LONG)
    n, m = _divisor(N, min(64, SMALL // (32 * k))), _divisor(rows, 32)
    return (k, m, n) if k >= 64 and m >= 8 and n >= 16 else (0, 0, 0)


def _divisor(size: int, most: int) -> int:
    """The largest divisor of `size` that is at most `most`; 0 where that is 0."""
    return next((d for d in range(min(size, most), 0, -1) if size % d == 0), 0)


@functools.cache
def _has_small_product() -> bool:
    """Whether NumPy's matrix product is that of OpenBLAS with AVX-512."""
    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return has_openblas() and any(name == "X86_V4" or name.startswith("AVX512") for name in found)


@functools.cache
def has_openblas() -> bool:
    """Whether NumPy's matrix product is that of OpenBLAS."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return "openblas" in blas.get("name", "")
