"""How many threads compute: one, unless more are asked for.

BLAS, which computes NumPy's matrix products, by itself uses all cores. But the products of a step are small, a batch of
rows by a square of weights. To divide one costs more than it saves; and on a machine that does other work too, each
waits until the last of its threads gets a turn, so that a product of 0.06 ms may take 30. Between products, its threads
keep their cores busy with waiting.

So BLAS has one thread, always. Where there are more, the rows are divided: each thread takes some of a batch through a
whole sequence, or some of a large product, and waits for no other until the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import copy_context
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..core.arrays import Array, namespace
from ..core.checks import check_size

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Result = TypeVar("Result")

BLOCK = 1 << 15
"""Numbers of a block: 128 kB in float32, so that a core's cache of 512 kB or more holds some arrays of that size."""

_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")
_decided = next((os.environ[name] for name in _VARIABLES if name in os.environ), "")
_count = int(_decided) if _decided.isdecimal() else None
_limited = False  # whether BLAS was told to use one
_pool: ThreadPoolExecutor | None = None  # of all threads but that which calls
_lock = Lock()


def set_threads(count: int) -> None:
    """Let `count` threads compute, in the whole process, from now on; BLAS, which NumPy's products call, has one.

    The first `Parameter` or `Device("cpu")` that is made sets one, unless this was called before, or an environment
    variable such as `OPENBLAS_NUM_THREADS` says how many. More make an `RNNCell`, `GRUCell` or `LSTMCell` faster over
    sequences, each taking some rows of the batch, where a step is enough work and the cores do nothing else; and a
    large `Linear`, `SoftmaxCrossEntropy` or update of an optimizer. The results are the same to rounding, whatever the
    number. It has nothing to do with a GPU.

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
        _limit_blas()


def set_default_threads() -> None:
    """As many as were decided on, else one."""
    if not _limited:
        set_threads(_count or 1)


def divide(work: Callable[[slice], Result], rows: int, least: int) -> list[Result]:
    """`work` on parts of so many rows, of at least `least` each, by as many threads as there may be; in their order.

    For what is on a GPU, which is to be one part, `least` is `rows`.
    """
    parts = max(min(_count or 1, rows // max(least, 1)), 1)
    if parts == 1:
        return [work(slice(0, rows))]
    first, *others = (slice(start, stop) for start, stop in pairwise(rows * i // parts for i in range(parts + 1)))
    given = [(part, _submit(work, part)) for part in others]
    try:
        done = [work(first)]
    finally:
        for _, future in given:
            if future is not None:
                future.exception()  # waits for it
    return done + [work(part) if future is None else future.result() for part, future in given]


def divide_blocks(work: Callable[[slice], object], array: Array) -> None:
    """`work` on blocks of the rows of `array` (N, ...), for several short operations on each, by all threads.

    So what one has written, the next still finds in the cache of the processor. What is on a GPU is one block.
    """
    rows = len(array)
    if namespace(array) is not np:
        work(slice(0, rows))
        return
    most = max(BLOCK * rows // max(array.size, 1), 1)

    def run(part: slice) -> None:
        for start in range(part.start, part.stop, most):
            work(slice(start, min(start + most, part.stop)))

    divide(run, rows, 4 * most)


def _submit(work: Callable[[slice], Result], part: slice) -> Future[Result] | None:
    """None where no thread can be had, such as while Python shuts down: then nobody has begun, and nobody will."""
    global _pool
    from concurrent.futures import Future, ThreadPoolExecutor  # 7 ms, which the import of the package is spared

    future: Future[Result] = Future()
    context = copy_context()  # with the caller's np.errstate

    def run() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(context.run(work, part))
            except BaseException as error:
                future.set_exception(error)

    with _lock:
        try:
            if _pool is None:
                _pool = ThreadPoolExecutor(max((_count or 2) - 1, 1), "tinygrad_rnn", _limit_blas)
            _pool.submit(run)
        except RuntimeError:  # which comes when it has been put in line, where there is no thread for it
            return None if future.cancel() else future
    return future


def _limit_blas() -> None:
    global _limited
    from threadpoolctl import threadpool_limits  # 10 ms, which the import of the package is spared

    threadpool_limits(1, user_api="blas")
    _limited = True


def _after_fork() -> None:
    """A child process has none of its parent's threads."""
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
