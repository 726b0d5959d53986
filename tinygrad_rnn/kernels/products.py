"""The products of a recurrent network, made fast: those of a step, and those of a block of steps.

A kernel goes through a sequence in blocks of steps. What does not depend on the recurrence is computed for a block at
once: that makes large products of it. And going back, the gradients inside the network take the memory of a block, not
of the sequence. Each thread goes so through some rows of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ..core.arrays import Array, namespace
from ..core.one_hot import OneHotRows, as_rows
from .backends import backend, is_compiled
from .gpu import is_on_gpu
from .threads import divide_within

Result = TypeVar("Result")

ROWS = 256
"""Rows that a block has at least, where there are as many: enough for fast products."""
NUMBERS = 1 << 20
"""A block may have more rows, up to so many numbers."""
NUMBERS_OF_GPU = 1 << 26
"""Of a block on a GPU: 256 MiB in float32."""
FEWEST = 8
"""Rows that a thread has at least: a product of fewer takes hardly less time."""
WORTH = 15 * 10**5
"""Multiplications of a step that are worth a thread: some 30 µs, in ten of which the calls hold Python's lock. Compiled
steps never hold it, and are worth one at any size."""


def block_steps(T: int, B: int, width: int, like: Array) -> int:
    """How many of T steps, each of B rows of `width` numbers on the device of `like`, make a block.

    Blocks of more than `ROWS` rows, which make the largest products a tenth faster, are an eighth of all at most,
    unless one step is more: so one takes little memory beside the cache. On a GPU, which each block costs some
    launches, all steps are one block of up to `NUMBERS_OF_GPU`.
    """
    most = (NUMBERS_OF_GPU if is_on_gpu(like) else NUMBERS) // max(width, 1)
    rows = most if is_on_gpu(like) else max(ROWS, min(most, T * B // 8))
    return min(T, max(rows // max(B, 1), 1))


def blocks(T: int, steps: int) -> list[slice]:
    """T steps in blocks of `steps`, which is 0 where T is; the last may be shorter."""
    return [slice(start, min(start + steps, T)) for start in range(0, T, steps or 1)]


def over_rows(work: Callable[[slice], Result], B: int, w_h: Array) -> list[Result]:
    """`work` on some of the B rows in each thread, for a kernel whose step is a product with `w_h`."""
    worth = 1 if is_compiled(w_h) else WORTH
    least = max(FEWEST, -(-worth // max(w_h.size, 1))) if namespace(w_h) is np else B
    return divide_within(work, B, least)


def of_rows(array: Any, rows: slice) -> Any:
    """`array` (T, B, ...) of some rows; None where it is None."""
    return None if array is None else array[:, rows]


def of_steps(array: Any, block: slice) -> Any:
    """`array` (T, B, ...) of the steps of a block; None where it is None."""
    return None if array is None else array[block]


def back_over_rows(
    work: Callable[..., tuple[Array, ...]], B: int, w_h: Array, gradients: tuple[Array | None, ...]
) -> Sequence[Array]:
    """As `over_rows`, for a backward: `work(rows, *gradients)` adds to the gradients of the weights.

    The thread of the first rows adds to `gradients` themselves, each other one to zeros of its own, which are added
    to them afterwards, in the order of the rows; what is None stays None. What `work` gives, the gradients by the state
    before the sequence, is given of all B rows, an array each.
    """

    def run(rows: slice) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        own = tuple(map(zeros_like, gradients)) if rows.start else gradients
        return work(rows, *own), own

    first, *others = over_rows(run, B, w_h)
    for _, own in others:
        for dw, part in zip(gradients, own, strict=True):
            if dw is not None:
                dw += part
    if not others:
        return first[0]
    states = zip(first[0], *(part for part, _ in others), strict=True)
    return [namespace(w_h).concatenate(parts) for parts in states]


def zeros_like(dw: Array | None) -> Array | None:
    """Zeros for a gradient; None where it is None."""
    return None if dw is None else namespace(dw).zeros(dw.shape, dw.dtype)


def input_side(xs: Any, w: Array, b: Array | None) -> Callable[[slice, Array], None]:
    """`project(block, out)`, which sets `out` (steps, G, B, H) to `xs @ w + b` of the steps of a block.

    `xs` is (T, B, D), or one-hot rows, which are looked up; `w` is (G, D, H) and `b` (G, 1, H), gate by gate;
    without a bias it is None.
    """
    if isinstance(xs, OneHotRows):
        tables, set_rows = w if b is None else w + b, backend(w).look_up
        return lambda block, out: set_rows(xs[block], tables, out)
    T, B, _ = xs.shape
    project = backend(w).projection(w, b, T * B)
    return lambda block, out: project(xs[block], out)


def input_gradient(dxs: Array | None, w: Array) -> Callable[[slice, Array], None]:
    """`project_back(block, das)`, which sets `dxs` (T, B, D) of the steps of a block to `das @ w.T`.

    `das` is (steps, B, N) and `w` (D, N). Where `dxs` is None, it does nothing.
    """
    if dxs is None:
        return lambda block, das: None
    T, B = dxs.shape[:2]
    project = backend(w).projection(w.T[None], None, T * B)
    return lambda block, das: project(das, dxs[block, None])


def no_input_gradient(xs: Any, dtype: Any) -> Array | None:
    """`dxs` like `xs` (T, B, D), not yet filled; None for one-hot rows."""
    return None if isinstance(xs, OneHotRows) else namespace(xs).empty(xs.shape, dtype)


def add_gradient(dw: Array, x: Any, d: Array) -> None:
    """`dw += x.T @ d`, for weights (K, N): of inputs `x` (..., K), or one-hot rows, and of `d` (..., N)."""
    if isinstance(x, OneHotRows):
        backend(d).add_by_id(as_rows(x), as_rows(d), dw)
    else:
        backend(d).add_product(x, d, dw)


def add_sum(db: Array | None, d: Array) -> None:
    """`db += d` (..., N) summed over all but its last axis: by a product with ones, which is a fast sum.

    Where `db` is None, it does nothing.
    """
    if db is None:
        return
    d = as_rows(d)
    backend(d).add_product(namespace(d).ones((len(d), 1), d.dtype), d, db[None])
