"""The products of a recurrent network, made fast: those of a step, and those of a block of steps.

A kernel goes through a sequence in blocks of steps. What does not depend on the recurrence is computed for a block at
once: that makes large products of it. And going back, the gradients inside the network take the memory of a block, not
of the sequence. Each thread goes so through some rows of the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ..core.arrays import Array, namespace
from ..core.one_hot import OneHotRows, as_rows
from .compiling import compiled_version, is_compiled
from .threads import divide

Result = TypeVar("Result")

ROWS = 256
"""Rows that a block has at least, where there are as many: enough for fast products."""
NUMBERS = 1 << 20
"""A block may have more rows, up to so many numbers."""
SMALL = 10**6
"""The most multiplications of a product that OpenBLAS takes for small."""
FEW = 96
"""Rows, up to which a product is faster in small parts."""
LONG = 512
"""The most columns k of a part (m, k) of the rows."""
LARGE = 10**7
"""Multiplications of a single product that are worth a thread: some 0.2 ms."""
FEWEST = 8
"""Rows that a thread has at least: a product of fewer takes hardly less time."""
WORTH = 15 * 10**5
"""Multiplications of a step that are worth a thread: some 30 µs, in ten of which the calls hold Python's lock. Compiled
steps never hold it, and are worth one at any size."""


def block_steps(T: int, B: int, width: int) -> int:
    """How many of T steps, each of B rows of `width` numbers, make a block.

    Blocks of more than `ROWS` rows, which make the largest products a tenth faster, are an eighth of all at most,
    unless one step is more: so one takes little memory beside the cache.
    """
    rows = max(ROWS, min(NUMBERS // width, T * B // 8))
    return min(T, max(rows // max(B, 1), 1))


def blocks(T: int, steps: int) -> list[slice]:
    """T steps in blocks of `steps`, which is 0 where T is; the last may be shorter."""
    return [slice(start, min(start + steps, T)) for start in range(0, T, steps or 1)]


def over_rows(work: Callable[[slice], Result], B: int, w_h: Array) -> list[Result]:
    """`work` on some of the B rows in each thread, for a kernel whose step is a product with `w_h`."""
    worth = 1 if is_compiled(w_h) else WORTH
    least = max(FEWEST, -(-worth // w_h.size)) if namespace(w_h) is np else B
    return divide(work, B, least)


def of_rows(array: Any, rows: slice) -> Any:
    """`array` (T, B, ...) of some rows; None where it is None."""
    return None if array is None else array[:, rows]


def of_steps(array: Any, block: slice) -> Any:
    """`array` (T, B, ...) of the steps of a block; None where it is None."""
    return None if array is None else array[block]


def back_over_rows(
    work: Callable[..., tuple[Array, ...]], B: int, w_h: Array, gradients: tuple[Array, ...]
) -> Sequence[Array]:
    """As `over_rows`, for a backward: `work(rows, *gradients)` adds to the gradients of the weights.

    The thread of the first rows adds to `gradients` themselves, each other one to zeros of its own, which are added
    to them afterwards, in the order of the rows. What `work` gives, the gradients by the state before the sequence, is
    given of all B rows, an array each.
    """

    def run(rows: slice) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        own = tuple(namespace(dw).zeros(dw.shape, dw.dtype) for dw in gradients) if rows.start else gradients
        return work(rows, *own), own

    first, *others = over_rows(run, B, w_h)
    for _, own in others:
        for dw, part in zip(gradients, own, strict=True):
            dw += part
    states = zip(first[0], *(part for part, _ in others), strict=True)
    return [namespace(w_h).concatenate(parts) for parts in states]


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
    if not m:  # a single matrix by dot, which is quicker to call
        return functools.partial(_product, xp.matmul if stack else xp.dot, xp.ascontiguousarray(w))
    pieces = K // k
    parts = np.ascontiguousarray(_padded(w).reshape(*stack, pieces, 1, k, N // n, n).swapaxes(-2, -3))
    sums = np.empty((*stack, pieces, rows, N), w.dtype) if pieces > 1 else None

    def multiply(a: Array, out: Array) -> object:
        if a.shape[-2] != rows:
            return np.matmul(a, w, out=out)
        parts_of_a = np.moveaxis(a.reshape(*a.shape[:-2], rows // m, 1, m, pieces, k), -2, -5)
        whole = out[..., None, :, :] if sums is None else sums
        parts_of_out = whole.reshape(*stack, pieces, rows // m, m, N // n, n).swapaxes(-2, -3)
        np.matmul(parts_of_a, parts, out=parts_of_out)
        return out if sums is None else np.add.reduce(sums, axis=-3, out=out)

    return multiply


def _product(function: Callable[..., object], w: Array, a: Array, out: Array) -> object:
    return function(a, w, out=out)


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


def input_side(xs: Any, w: Array, b: Array) -> Callable[[slice, Array], None]:
    """`project(block, out)`, which sets `out` (steps, G, B, H) to `xs @ w + b` of the steps of a block.

    `xs` is (T, B, D), or one-hot rows, which are looked up; `w` is (G, D, H) and `b` (G, 1, H), gate by gate.
    """
    if isinstance(xs, OneHotRows):
        tables, set_rows = w + b, compiled_version(look_up, w)
        return lambda block, out: set_rows(xs[block], tables, out)
    T, B, _ = xs.shape
    project = compiled_version(projection, w)(w, b, T * B)
    return lambda block, out: project(xs[block], out)


def input_gradient(dxs: Array | None, w: Array) -> Callable[[slice, Array], None]:
    """`project_back(block, das)`, which sets `dxs` (T, B, D) of the steps of a block to `das @ w.T`.

    `das` is (steps, B, N) and `w` (D, N). Where `dxs` is None, it does nothing.
    """
    if dxs is None:
        return lambda block, das: None
    T, B, D = dxs.shape
    no_bias = namespace(w).zeros((1, 1, D), w.dtype)
    project = compiled_version(projection, w)(w.T[None], no_bias, T * B)
    return lambda block, das: project(das, dxs[block, None])


def projection(w: Array, b: Array, rows: int) -> Callable[[Array, Array], None]:
    """`project(xs, out)`, which sets `out` (steps, G, B, H) to `xs @ w + b`, for `xs` (steps, B, D).

    `w` is (G, D, H), and must not change while `project` is in use; `b` is (G, 1, H). `rows`, the steps of all calls
    times B, only tells whether it pays to prepare `w`.
    """
    xp = namespace(w)

    def project(xs: Array, out: Array) -> None:
        steps, G, B, H = out.shape
        product = xp.matmul(as_rows(xs), w)
        xp.add(product.reshape(G, steps, B, H).swapaxes(0, 1), b, out=out)

    return project


def look_up(xs: OneHotRows, tables: Array, out: Array) -> None:
    """Set `out` (steps, G, B, H) to one-hot rows `xs` (steps, B, V) times each of the `tables` (G, V, H)."""
    for k, table in enumerate(tables):
        out[:, k] = xs @ table


def no_input_gradient(xs: Any, dtype: Any) -> Array | None:
    """`dxs` like `xs` (T, B, D), not yet filled; None for one-hot rows."""
    return None if isinstance(xs, OneHotRows) else namespace(xs).empty(xs.shape, dtype)


def product(a: Any, b: Array) -> Array:
    """`a @ b`, of matrices, or one-hot rows or columns; a large one is divided among the threads.

    By its rows, or, where they are few, by its columns: BLAS copies b at each call, and so each thread its part of it.
    """
    if not isinstance(a, np.ndarray) or a.size * b.shape[1] < 2 * LARGE:
        whole: Array = a @ b  # not by `divide`, which takes as long as the product of a row
        return whole
    (rows, K), N = a.shape, b.shape[1]
    out = np.empty((rows, N), b.dtype)
    if rows <= FEW:
        divide(lambda part: np.matmul(a, b[:, part], out=out[:, part]), N, -(-LARGE // (rows * K)))
    else:
        divide(lambda part: np.matmul(a[part], b, out=out[part]), rows, -(-LARGE // (K * N)))
    return out


def add_gradient(dw: Array, x: Any, d: Array) -> None:
    """`dw += x.T @ d`, for weights (K, N): of inputs `x` (..., K), or one-hot rows, and of `d` (..., N)."""
    x, d = as_rows(x), as_rows(d)
    if isinstance(x, OneHotRows):
        compiled_version(add_by_id, d)(x, d, dw)
    else:
        dw += x.T @ d


def add_by_id(x: OneHotRows, d: Array, dw: Array) -> None:
    """`dw += x.T @ d`, for one-hot rows `x` (N, K) and `d` (N, M)."""
    x.T.add_product(d, dw)


def add_sum(db: Array, d: Array) -> None:
    """`db += d` (..., N) summed over all but its last axis: by a product with ones, which is a fast sum."""
    d = as_rows(d)
    db += namespace(d).ones(len(d), d.dtype) @ d


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
