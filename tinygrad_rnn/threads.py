"""How many threads compute: one, unless more are asked for.

BLAS, which computes NumPy's matrix products, by itself uses all cores. But the products of a step are small, a batch of
rows by a square of weights. To divide one costs more than it saves; and on a machine that does other work too, each
waits until the last of its threads gets a turn, so that a product of 0.06 ms may take 30.

So where there are more, the kernels divide their work otherwise. The steps of a sequence follow one another in the
thread that calls; what does not depend on the recurrence, the input side of the steps to come and the gradients of the
steps that are done, is computed meanwhile in a second one, the helper. Neither waits for the other at a step. Each has
a BLAS of one thread, so that a number is computed as in one thread. BLAS divides products among all threads while no
kernel runs.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar

from .checks import check_size

Item = TypeVar("Item")
Result = TypeVar("Result")

BEHIND = 3
"""How many pieces of work that were left for later may be undone: each keeps its arrays in memory."""

_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")
_decided = next((os.environ[name] for name in _VARIABLES if name in os.environ), "")
_count = int(_decided) if _decided.isdecimal() else None
_blas: tuple[Any, ...] | None = None  # the libraries, once they were looked for


def set_threads(count: int) -> None:
    """Let `count` threads compute, in the whole process, from now on.

    The first `Parameter` or `Device("cpu")` that is made sets one, unless this was called before, or an environment
    variable such as `OPENBLAS_NUM_THREADS` says how many. Two make an `RNNCell`, `GRUCell` or `LSTMCell` faster over
    sequences, where the cores do nothing else; more than two serve the large products of other layers. The results are
    the same to rounding, whatever the number. It has nothing to do with a GPU.

    Raises:
        TypeError: `count` is no integer.
        ValueError: it is below 1.

    Example:
        >>> set_threads(1)
    """
    global _count
    check_size("set_threads", "count", count)
    with Helper._lock:
        _count = count
        if not Helper._inside:  # else the last of those in use does it
            _limit_blas(count)


def set_default_threads() -> None:
    """One thread, where nobody has decided."""
    if _count is None and not _decided:
        set_threads(1)


def _libraries() -> tuple[Any, ...]:
    global _blas
    if _blas is None:
        from threadpoolctl import ThreadpoolController  # 10 ms, which the import of the package is spared

        _blas = tuple(ThreadpoolController().select(user_api="blas").lib_controllers)
    return _blas


def _limit_blas(count: int) -> None:
    for library in _libraries():
        library.set_num_threads(count)


def _can_help() -> bool:
    """Whether a second thread can have a BLAS of one thread: with OpenMP the number holds for the calling one alone."""
    return all(getattr(library, "threading_layer", "") != "openmp" for library in _libraries())


class Helper:
    """A second thread beside a loop, for what the loop need not wait for; without one, all is done at once.

    In its `with`, BLAS has one thread; at the end, all that was left for later is done. A `Helper` belongs to the
    thread that made it; those of all threads share one second thread.

    Args:
        worth: False leaves it without the second thread, as `set_threads(1)` does.
    """

    _inside = 0  # how many are in use, in whatever threads
    _lock = Lock()
    _pool: ThreadPoolExecutor | None = None

    def __init__(self, *, worth: bool = True) -> None:
        self._limits = (_count or 1) > 1
        self._helps = self._limits and worth and _can_help()
        self._left: deque[Future[Any]] = deque()
        self._coming: Future[Any] | None = None

    def ahead(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Each item and `work(item)`, which the helper may begin while the loop is still at the item before."""
        items = list(items)
        for i, item in enumerate(items):
            coming, self._coming = self._coming, None
            # What has not been begun is done here: the helper has too much to do.
            result = work(item) if coming is None or coming.cancel() else coming.result()
            if i + 1 < len(items):
                self._coming = self._submit(work, items[i + 1])
            yield item, result

    def later(self, work: Callable[..., object], *args: object) -> None:
        """`work(*args)`, in the order in which it is given, by the end of the `with`."""
        if len(self._left) == BEHIND:
            self._left.popleft().result()
        future = self._submit(work, *args)
        if future is None:
            work(*args)
        else:
            self._left.append(future)

    def anyone(self, work: Callable[..., object], *args: object) -> None:
        """`work(*args)`, by whichever thread has less to do: in no order."""
        if sum(not future.done() for future in self._left) > 1:
            work(*args)
        else:
            self.later(work, *args)

    def _submit(self, work: Callable[..., Result], *args: Any) -> Future[Result] | None:
        """None where there is nobody to do it."""
        if not self._helps:
            return None
        with Helper._lock:
            if Helper._pool is None:
                Helper._pool = ThreadPoolExecutor(1, "tinygrad_rnn helper")
            try:
                return Helper._pool.submit(copy_context().run, work, *args)  # with the caller's np.errstate
            except RuntimeError:  # Python is shutting down
                self._helps = False
                return None

    @classmethod
    def _after_fork(cls) -> None:
        """A child process has none of its parent's threads."""
        cls._pool, cls._lock, cls._inside = None, Lock(), 0

    def __enter__(self) -> Helper:
        if self._limits:
            with Helper._lock:
                Helper._inside += 1
                if Helper._inside == 1:
                    _limit_blas(1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._limits:
            return
        try:
            if self._coming is not None and not self._coming.cancel():  # the loop has ended early
                self._coming.exception()
            errors = [future.exception() for future in self._left]  # waits for each
        finally:
            with Helper._lock:
                Helper._inside -= 1
                if Helper._inside == 0:
                    _limit_blas(_count or 1)
        if error is None:
            for failed in errors:
                if failed is not None:
                    raise failed


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Helper._after_fork)
