"""How many threads BLAS, which computes NumPy's matrix products, may use: one, unless more are asked for.

The products of a step are small, a batch of rows by a square of weights. To divide one costs more than it saves; and on
a machine that does other work too, each waits until the last of its threads gets a turn, so that a product of 0.06 ms
may take 30. BLAS by itself uses all cores.
"""

from __future__ import annotations

import os

from .checks import check_size

_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")
_decided = next((os.environ[name] for name in _VARIABLES if name in os.environ), "")
_count = int(_decided) if _decided.isdecimal() else None


def set_threads(count: int) -> None:
    """Let BLAS use `count` threads, in the whole process, from now on.

    The first `Parameter` or `Device("cpu")` that is made sets one, unless this was called before, or an environment
    variable such as `OPENBLAS_NUM_THREADS` says how many. More may pay from some 512 units on, where the cores do
    nothing else. The results are the same to rounding, whatever the number. It has nothing to do with a GPU.

    Raises:
        TypeError: `count` is no integer.
        ValueError: it is below 1.

    Example:
        >>> set_threads(1)
    """
    global _count
    check_size("set_threads", "count", count)
    from threadpoolctl import threadpool_limits  # 10 ms, which the import of the package is spared

    threadpool_limits(count, user_api="blas")
    _count = count


def set_default_threads() -> None:
    """One thread, where nobody has decided."""
    if _count is None and not _decided:
        set_threads(1)


def one_thread() -> bool:
    """Whether BLAS is known to use a single one."""
    return _count == 1
