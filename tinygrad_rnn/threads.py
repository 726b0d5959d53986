"""How many threads compute: one, unless more are asked for.

BLAS, which computes NumPy's matrix products, by itself uses all cores. But the products of a step are small, a batch of
rows by a square of weights. To divide one costs more than it saves; and on a machine that does other work too, each
waits until the last of its threads gets a turn, so that a product of 0.06 ms may take 30.

So where there are more, the kernels divide their work otherwise. The steps of a sequence follow one another in the
thread that calls; what does not depend on the recurrence, the input side of the steps to come and the gradients of the
steps that are done, is computed meanwhile in a second one, the helper. Neither waits for the other at a step, and each
number is computed as in one thread. Outside the kernels, BLAS divides products among all.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar

from .checks import check_size

Item = TypeVar("Item")
Result = TypeVar("Result")

BEHIND = 3
"""How many pieces of work may wait for the helper: each keeps its arrays in memory."""

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
    _count = count
    _limit_blas(count)


def set_default_threads() -> None:
    """One thread, where nobody has decided."""
    if _count is None and not _decided:
        set_threads(1)


def _limit_blas(count: int) -> None:
    global _blas
    if _blas is None:
        from threadpoolctl import ThreadpoolController  # 10 ms, which the import of the package is spared

        _blas = tuple(ThreadpoolController().select(user_api="blas").lib_controllers)
    for library in _blas:
        library.set_num_threads(count)


class Helper:
    """A second thread beside a loop, for what the loop need not wait for; without one, all is done at once.

    Inside its `with`, BLAS has one thread; at the end, all is done. Work may be given to it by several threads, each
    with a `Helper` of its own.

    Args:
        alone: True leaves it without a second thread, as one thread in all does.
    """

    _inside = 0  # all those in use, in whatever thread
    _lock = Lock()
    _pool: ThreadPoolExecutor | None = None

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone or (_count or 1) < 2
        self._given: deque[Future[Any]] = deque()

    def ahead(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Each item and `work(item)`, which is begun while the loop is still at the item before."""
        items = list(items)
        coming: Future[Result] | None = None
        for i, item in enumerate(items):
            # What has not been begun is done here: the helper has too much to do.
            result = work(item) if coming is None or coming.cancel() else coming.result()
            coming = None
            if not self._alone and i + 1 < len(items):
                coming = self._submit(work, items[i + 1])
            yield item, result

    def later(self, work: Callable[..., object], *args: object) -> None:
        """`work(*args)`, in the order in which it is given, by the end of the `with`."""
        if self._alone:
            work(*args)
            return
        if len(self._given) == BEHIND:
            self._given.popleft().result()
        self._given.append(self._submit(work, *args))

    def anyone(self, work: Callable[..., object], *args: object) -> None:
        """`work(*args)`, by whichever thread has less to do: in no order."""
        if sum(not future.done() for future in self._given) > 1:
            work(*args)
        else:
            self.later(work, *args)

    @classmethod
    def _submit(cls, work: Callable[..., Result], *args: Any) -> Future[Result]:
        with cls._lock:
            if cls._pool is None:
                cls._pool = ThreadPoolExecutor(1, "tinygrad_rnn helper")
            return cls._pool.submit(work, *args)

    @classmethod
    def _after_fork(cls) -> None:
        """A child process has none of its parent's threads."""
        cls._pool, cls._lock, cls._inside = None, Lock(), 0

    def __enter__(self) -> Helper:
        if not self._alone:
            with Helper._lock:
                Helper._inside += 1
                if Helper._inside == 1:
                    _limit_blas(1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._alone:
            return
        errors = [future.exception() for future in self._given]  # waits for each
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
