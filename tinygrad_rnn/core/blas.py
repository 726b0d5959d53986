"""How many threads BLAS has while this library computes: one. Before and after a call, it has as many as it had.

BLAS computes the matrix products of NumPy, and by itself it uses all cores. But the products of a step are small: some
rows times a square of weights. To divide such a product costs more than it saves. On a machine that does other work
too, each thread of BLAS waits until the last one gets a turn, so a product of 0.06 ms may take 30. Between products
these threads keep their cores busy with waiting.

The number of threads holds for the whole process, also for the user's own products. So a call of this library sets the
number to one, and puts it back when it ends. The calls are counted over all threads of Python: the first thread that
enters saves the number and sets one; the last thread that leaves puts it back. Nothing is looked for, set or started
before the first call that needs it.

A signal, an interrupt or a fork may come at any moment. What makes that safe:

- A signal handler may compute. Either its thread is inside, and then there is nothing to set; or it is not, and then
  the handler enters and leaves, and all is as before. For this, a thread saves the number before it is counted, and
  puts it back before it is no longer counted.
- A signal handler may raise an error, as that of Ctrl-C does. `_leave` undoes what was done until then, and may be
  called twice.
- A handler comes while its own thread holds the lock. So the lock is one that a thread may take twice. The threads of
  this library never take it, because the handler may wait for them.
- In the child of a fork no thread is inside, and BLAS has as many threads as outside of a call.
- While Python ends, a thread that ended with it may hold the lock for good. So nothing is set any more.

To enter and leave costs 1.1 µs, or 0.8 where BLAS has one thread already, and 0.1 inside another call: on an AMD Zen 5,
by `python benchmarks/blas_threads.py`. The context manager of threadpoolctl takes 15 µs and more. Where each thread of
Python saved and put back the number by itself, without a count, it was wrong afterwards in 19 of 20 trials of four
threads.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import re
import sys
import threading
from collections.abc import Callable
from threading import RLock, get_ident
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

undivided = 2304 * 4
"""BLAS computes a product of fewer multiplications by one thread, however many it has. So nothing is set for it.

OpenBLAS from 0.3.27 on divides the product of a vector and a matrix from 115,200 x 4 multiplications on, and that of
two matrices from 524,288 on. This stands in its source, and was measured with 0.3.31. This number becomes 115,200 x 4
when such an OpenBLAS is found. Before that, and for any other BLAS, it is the least number of older ones.
"""


class _Before:
    """How many threads BLAS had before the first thread of Python entered."""

    threads = 1


class _BeforeInThread(threading.local):
    """The same, where each thread of Python has its own number."""

    threads = 1


class _Blas(NamedTuple):
    """The BLAS of NumPy."""

    get: Callable[[], int]
    """How many threads it has."""
    set: Callable[[int], object]
    by_thread: bool
    """Whether each thread of Python has a number of its own, as with OpenMP."""
    before: _Before | _BeforeInThread


_blas: _Blas | None = None  # found when it is first needed
_lock = RLock()
_inside: set[int] = set()  # threads of Python that are in a call, with those of this library that work for it


def with_one_blas_thread(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function that multiplies matrices in small steps: while it runs, BLAS has one thread.

    It is for loops of steps that are written in Python, and for methods that multiply by `@`. What goes through
    `kernels.threads.divide`, as all kernels do, or through `kernels.products.product`, has it already. Inside another
    decorated call it costs no more than a call. It pays where a product has `undivided` multiplications or more; of
    B rows by a matrix w, these are B times `w.size`. Do not decorate a generator: it would have left at its first step.
    """

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        me = get_ident()
        if me in _inside or (not _inside and _blas is not None and _blas.get() == 1):  # there is nothing to set
            return function(*args, **kwargs)
        try:
            _enter(me)
            result = function(*args, **kwargs)
        finally:
            try:
                _leave(me)
            finally:
                if me in _inside:  # an interrupt came before it was done
                    _leave(me)
        return result

    return call


def for_caller(caller: int, work: Callable[[], Result]) -> Result:
    """`work()` in a thread of this library, for a thread that is inside, and stays there until this has returned."""
    me = get_ident()
    if _blas is not None and _blas.by_thread:
        _blas.set(1)  # for good: nothing else runs in this thread
    if caller in _inside:
        _inside.add(me)
    try:
        return work()
    finally:
        _inside.discard(me)


def _enter(me: int) -> None:
    blas = None if sys.is_finalizing() else _blas or _find()
    if blas is None:
        return
    with _lock:
        first = blas.by_thread or not _inside
        if first:
            blas.before.threads = blas.get()
        _inside.add(me)
        if first and blas.before.threads > 1:
            blas.set(1)


def _leave(me: int) -> None:
    blas = _blas
    if blas is None or me not in _inside:
        return
    with _lock:
        last = blas.by_thread or len(_inside) == 1
        if last and blas.before.threads > 1:
            blas.set(blas.before.threads)
        _inside.discard(me)


def _after_fork() -> None:
    """In the child: none of its threads is inside, and its BLAS has what it had outside."""
    global _lock, _inside
    inside, _inside, _lock = _inside, set(), RLock()
    if _blas is not None and _blas.before.threads > 1 and (get_ident() in inside if _blas.by_thread else inside):
        _blas.set(_blas.before.threads)


def _find() -> _Blas | None:
    """The BLAS of NumPy; None where a signal handler needs it in the midst of the import of what finds it."""
    global _blas, undivided
    found = _openblas(sys.modules["numpy._core._multiarray_umath"].__file__)
    if found is None:
        try:
            from threadpoolctl import ThreadpoolController
        except ImportError:
            return None
        found = _controlled(ThreadpoolController().select(user_api="blas").lib_controllers)
    with _lock:
        if _blas is None:
            _blas, undivided = found
    return _blas


def _openblas(path: str | None) -> tuple[_Blas, int] | None:
    """The OpenBLAS that a library is, or was linked with, and the least product that it divides."""
    try:
        library = ctypes.PyDLL(path)  # its functions keep Python's lock: to get that back may take 5 ms
    except OSError:
        return None
    names = (f"{a}openblas_{{}}{b}" for a, b in itertools.product(("scipy_", ""), ("64_", "_64", "")))
    name = next((name for name in names if hasattr(library, name.format("get_num_threads"))), "")
    if not name:
        return None
    divides = undivided
    if all(hasattr(library, name.format(function)) for function in ("get_config", "get_corename")):
        config, core = library[name.format("get_config")], library[name.format("get_corename")]
        config.restype = core.restype = ctypes.c_char_p
        version = re.match(rb"OpenBLAS (\d+)\.(\d+)\.(\d+)", config())
        if version and [*map(int, version.groups())] >= [0, 3, 27] and not core().lower().startswith(b"neoverse"):
            divides = 115_200 * 4
    if hasattr(library, name.format("get_parallel")) and library[name.format("get_parallel")]() == 2:  # of OpenMP
        if not hasattr(library, "omp_get_max_threads"):
            return None
        return _Blas(library.omp_get_max_threads, library.omp_set_num_threads, True, _BeforeInThread()), divides
    get, put = library[name.format("get_num_threads")], library[name.format("set_num_threads")]
    return _Blas(get, put, False, _Before()), divides


def _controlled(libraries: list[Any]) -> tuple[_Blas, int]:
    """Another BLAS, as threadpoolctl found it; or one whose threads nothing controls, such as Accelerate."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {}).get("name", "")
    if "accelerate" in blas.lower():
        libraries = []
    for library in sorted(libraries, key=lambda library: "numpy" not in library.filepath):  # before that of SciPy
        if library.internal_api != "openblas":
            get = functools.partial(_or_one, library.get_num_threads)
            return _Blas(get, library.set_num_threads, False, _Before()), undivided
        found = _openblas(library.filepath)  # for its controller lets only one thread of Python set anything
        if found is not None:
            return found
    return _Blas(lambda: 1, lambda count: None, False, _Before()), sys.maxsize


def _or_one(get: Callable[[], int | None]) -> int:
    return get() or 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
