"""How many threads compute: one, unless more are asked for.

Where there are more, the rows are divided: each thread takes some rows of a batch through a whole sequence, or some of
a large product, and waits for no other thread until the end. Meanwhile BLAS has one thread in each of them;
`core.blas` says why.

No thread waits for a lock here, so a signal handler may compute, wherever the signal came. And no thread waits for a
part that nobody has begun: the thread that calls does it. So divided work may itself be divided; and where no thread
can be had, because all are busy or Python ends, the thread that calls does everything.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from itertools import pairwise
from queue import Empty, SimpleQueue
from threading import RLock, Thread, get_ident
from typing import Any, Generic, TypeVar

import numpy as np

from ..core.arrays import Array, namespace
from ..core.blas import for_caller, with_one_blas_thread
from ..core.checks import check_size

Result = TypeVar("Result")

BLOCK = 1 << 15
"""Numbers of a block: 128 kB in float32, so that a core's cache of 512 kB or more holds some arrays of that size."""

_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")
_decided = next((os.environ[name] for name in _VARIABLES if name in os.environ), "")
_count = int(_decided) if _decided.isdecimal() else None


def set_threads(count: int) -> None:
    """Let `count` threads compute in each call of this library, from now on, in the whole process.

    At first it is one, unless an environment variable such as `OPENBLAS_NUM_THREADS` says how many. More threads make
    an `RNNCell`, `GRUCell` or `LSTMCell` faster over sequences, if a step is enough work and the cores do nothing else:
    each thread takes some rows of the batch. They also make a large `Linear`, `SoftmaxCrossEntropy` or update of an
    optimizer faster. The results are the same to rounding for any number. This does not concern a GPU.

    Outside of this library, BLAS, which computes the matrix products of NumPy, keeps its number of threads.
    During a call, BLAS has one thread, in each of the `count` threads. When the call ends, BLAS has as many as before.
    So your own products are as fast as without this library, unless another thread of Python is in a call at that time.
    If you set the number of threads of BLAS at such a time, it is lost when the call in the other thread ends.

    Raises:
        TypeError: `count` is not an integer.
        ValueError: it is below 1.

    Example:
        >>> set_threads(1)
    """
    global _count, _pool
    count = check_size("set_threads", "count", count)
    if count != _count:
        _count, _pool = count, _Pool()  # the threads of the old one end when they have done what they have


def thread_count() -> int:
    """How many threads compute in a call."""
    return _count or 1


@with_one_blas_thread
def divide(work: Callable[[slice], Result], rows: int, least: int) -> list[Result]:
    """`work` on parts of so many rows, of at least `least` each, by as many threads as there may be; in their order.

    For what is on a GPU, which is to be one part, `least` is `rows`. BLAS has one thread meanwhile.
    """
    return divide_within(work, rows, least)


def divide_within(work: Callable[[slice], Result], rows: int, least: int) -> list[Result]:
    """`divide`, within a call that has given BLAS one thread."""
    parts = max(min(_count or 1, rows // max(least, 1)), 1)
    if parts == 1:
        return [work(slice(0, rows))]
    slices = [slice(start, stop) for start, stop in pairwise(rows * i // parts for i in range(parts + 1))]
    return _Division(work, slices).results()


def divide_blocks(work: Callable[[slice], object], array: Array, part: slice | None = None) -> None:
    """`work` on blocks of the rows of `array` (N, ...), for several short operations on each, by all threads.

    So what one has written, the next still finds in the cache of the processor. What is on a GPU is one block. The
    operations are on numbers one by one: nothing is said to BLAS. Where a `part` of the rows is given, it is of these.
    """
    part = slice(0, len(array)) if part is None else part
    first, size = part.start, part.stop - part.start
    most = max(BLOCK * len(array) // max(array.size, 1), 1)
    if 0 < size <= most or namespace(array) is not np:
        work(part)
        return

    def run(rows: slice) -> None:
        stop = first + rows.stop
        for start in range(first + rows.start, stop, most):
            work(slice(start, min(start + most, stop)))

    divide_within(run, size, 4 * most)


class _Division(Generic[Result]):
    """Parts of one work. Each is done once, by the thread that claims it first: the caller, or one of the pool.

    The caller does the first part, then what nobody has claimed, from the last on; then it waits for the others.
    """

    def __init__(self, work: Callable[[slice], Result], parts: list[slice]) -> None:
        self._work, self._parts = work, parts
        self._caller, self._process, self._context = get_ident(), os.getpid(), copy_context()  # with its np.errstate
        self._claims = {0: self._caller}  # which thread does which part. `setdefault`, which claims, is atomic
        self._done: dict[int, Result] = {}
        self._failed: dict[int, BaseException] = {}
        self._bell: SimpleQueue[None] = SimpleQueue()  # is rung when a part has ended in another thread

    def results(self) -> list[Result]:
        """Of all parts; or an error of one of them, when all that were begun have ended."""
        errors: list[BaseException] = []
        try:
            _pool.offer(self, len(self._parts) - 1)
            self._done[0] = self._work(self._parts[0])
            for k in reversed(range(1, len(self._parts))):
                if self._claim(k):
                    self._done[k] = self._work(self._parts[k])
        finally:
            while True:
                try:
                    self._wait()
                    break
                except BaseException as error:  # Ctrl-C, which is raised when no one writes any more
                    errors.append(error)
        errors += self._failed.values()
        self._failed.clear()  # an error would hold itself, by its traceback
        if errors:
            raise errors.pop(0)
        if len(self._done) < len(self._parts):
            raise RuntimeError(
                "the process was forked in the midst of a call, by a signal handler, and the child went on with the "
                "call. But the threads that compute a part of it are in the parent. End the child in the handler, or "
                "leave the call there by an exception"
            )
        return [self._done[k] for k in range(len(self._parts))]

    def help(self) -> None:
        """In a thread of the pool: do what nobody has claimed."""
        for k in range(1, len(self._parts)):
            if k not in self._done and k not in self._failed and self._claim(k):
                try:
                    run = partial(self._context.copy().run, self._work, self._parts[k])
                    self._done[k] = for_caller(self._caller, run)
                except BaseException as error:
                    self._failed[k] = error
                self._bell.put(None)

    def _claim(self, k: int) -> bool:
        me = get_ident()
        return self._claims.setdefault(k, me) == me

    def _wait(self) -> None:
        """For the parts that others have begun; from now on no one begins one."""
        for k in range(1, len(self._parts)):
            while not (self._claim(k) or k in self._done or k in self._failed):
                try:
                    self._bell.get(timeout=1)
                except Empty:
                    if os.getpid() != self._process:
                        return


class _Pool:
    """Threads that help with what is divided. They are started when they are first needed, and end with the pool."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[weakref.ref[_Division[Any]] | None] = SimpleQueue()
        self._size = 0
        self._growing = RLock()  # an interrupt may leave it taken: a thread can take its own again

    def offer(self, division: _Division[Any], helpers: int) -> None:
        """Ask so many threads to help; fewer, where they cannot be had."""
        if self._size < helpers:
            self._grow(helpers)
        for _ in range(min(helpers, self._size)):
            self._queue.put(weakref.ref(division))

    def forget(self) -> None:
        """Its threads are gone."""
        self._size = 0

    def _grow(self, size: int) -> None:
        if sys.is_finalizing() or not self._growing.acquire(blocking=False):
            return  # a thread would never begin, or another one is at it
        try:
            while self._size < size:
                Thread(target=_help, args=(self._queue,), name="tinygrad_rnn", daemon=True).start()
                self._size += 1
        except RuntimeError:
            pass  # there can be no more threads, or Python ends
        finally:
            self._growing.release()

    def __del__(self) -> None:
        for _ in range(self._size):
            self._queue.put(None)


def _help(queue: SimpleQueue[weakref.ref[_Division[Any]] | None]) -> None:
    """What a thread of the pool does. It holds no array while it waits."""
    while (asked := queue.get()) is not None:
        division = asked()
        if division is not None:
            division.help()
        del division


_pool = _Pool()


def _after_fork() -> None:
    """A child process has none of its parent's threads."""
    global _pool
    _pool.forget()
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
