"""How many threads compute: one, unless more are asked for.

BLAS, which computes NumPy's matrix products, by itself uses all cores. But the products of a step are small, a batch of
rows by a square of weights. To divide one costs more than it saves; and on a machine that does other work too, each
waits until the last of its threads gets a turn, so that a product of 0.06 ms may take 30.

So where there are more, a kernel divides the batch: each thread takes some rows through the whole sequence, with a BLAS
of one thread, and waits for no other until the end. BLAS divides products among the threads while no kernel runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import pairwise
from threading import Lock
from typing import Any, TypeVar

from .checks import check_size

Result = TypeVar("Result")

_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")
_decided = next((os.environ[name] for name in _VARIABLES if name in os.environ), "")
_count = int(_decided) if _decided.isdecimal() else None
_blas: tuple[Any, ...] | None = None  # the libraries, once they were looked for
_pool: ThreadPoolExecutor | None = None  # of all threads but that which calls
_lock = Lock()
_kernels = 0  # how many run now, in whatever threads of a user's


def set_threads(count: int) -> None:
    """Let `count` threads compute, in the whole process, from now on.

    The first `Parameter` or `Device("cpu")` that is made sets one, unless this was called before, or an environment
    variable such as `OPENBLAS_NUM_THREADS` says how many. More make an `RNNCell`, `GRUCell` or `LSTMCell` faster over
    sequences, each taking some rows of the batch, where a step is enough work and the cores do nothing else; and they
    serve the large products of other layers. The results are the same to rounding, whatever the number. It has nothing
    to do with a GPU.

    Raises:
        TypeError: `count` is no integer.
        ValueError: it is below 1.

    Example:
        >>> set_threads(1)
    """
    global _count, _pool
    check_size("set_threads", "count", count)
    with _lock:
        if count != _count:
            _pool = None  # one of another size is made when it is needed; the old one ends what it has
        _count = count
        if not _kernels:  # else the last of them does it
            _limit_blas(count)


def set_default_threads() -> None:
    """One thread, where nobody has decided."""
    if _count is None and not _decided:
        set_threads(1)


def divide(work: Callable[[slice], Result], rows: int, least: int) -> list[Result]:
    """`work` on parts of so many rows, of at least `least` each, by as many threads as there may be; in their order.

    Meanwhile BLAS has one thread. What is on a GPU is one part: `least` is `rows`.
    """
    count = _count or 1
    if count == 1:
        return [work(slice(0, rows))]
    with _one_blas_thread():
        parts = max(min(count, rows // max(least, 1)), 1) if _can_divide() else 1
        first, *others = (slice(start, stop) for start, stop in pairwise(rows * i // parts for i in range(parts + 1)))
        given = [(part, _submit(work, part)) for part in others]
        try:
            done = [work(first)]
        finally:
            for _, future in given:
                if future is not None:
                    future.exception()  # waits for it
        return done + [work(part) if future is None else future.result() for part, future in given]


def _submit(work: Callable[[slice], Result], part: slice) -> Future[Result] | None:
    """None where Python is shutting down, and has no threads any more."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor((_count or 2) - 1, "tinygrad_rnn")
        try:
            return _pool.submit(copy_context().run, work, part)  # with the caller's np.errstate
        except RuntimeError:
            return None


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    global _kernels
    with _lock:
        _kernels += 1
        if _kernels == 1:
            _limit_blas(1)
    try:
        yield
    finally:
        with _lock:
            _kernels -= 1
            if _kernels == 0:
                _limit_blas(_count or 1)


def _limit_blas(count: int) -> None:
    for library in _libraries():
        library.set_num_threads(count)


def _can_divide() -> bool:
    """Whether each thread can have a BLAS of one: with OpenMP a number holds for the thread that sets it alone."""
    return all(getattr(library, "threading_layer", "") != "openmp" for library in _libraries())


def _libraries() -> tuple[Any, ...]:
    global _blas
    if _blas is None:
        from threadpoolctl import ThreadpoolController  # 10 ms, which the import of the package is spared

        _blas = tuple(ThreadpoolController().select(user_api="blas").lib_controllers)
    return _blas


def _after_fork() -> None:
    """A child process has none of its parent's threads."""
    global _pool, _lock, _kernels
    _pool, _lock, _kernels = None, Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
