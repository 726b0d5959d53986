"""The backends, and which of them computes with an array.

A kernel is a driver, such as `kernels.lstm`, which is the same for all arrays, and some functions that each backend has
of its own: its table is in its `backend.py`. `plain` calls the functions of the array's own library one by one, so it
serves NumPy, CuPy and the devices of `testing` alike. It is the definition. `compiled` is code that Numba compiles, for
float32 and float64 on the CPU, once `set_compiled` has asked for it. `cuda` has kernels for the same dtypes on a GPU,
unless `set_gpu_kernels` has asked for "plain".

Why compile: a step is a product with few rows and some twenty short operations on numbers that it has just made. NumPy
calls each of them by itself, and its BLAS brings the weights into an order of its own at each product. Compiled, all
steps of a block are one call, and each thread brings the weights into order once for a sequence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arguments import check_bool
from . import gpu
from .kernel import Backend
from .plain.backend import PLAIN

_DTYPES = frozenset({np.dtype("float32"), np.dtype("float64")})  # a set: quick to look into
_compiled: Backend | None = None  # that of Numba, while it is asked for


def backend(array: Any) -> Backend:
    """The one that computes with `array`."""
    if isinstance(array, np.ndarray):
        return PLAIN if _compiled is None or array.dtype not in _DTYPES else _compiled
    if not gpu.is_on_gpu(array) or array.dtype not in _DTYPES or gpu.wanted == "plain":
        return PLAIN
    from .cuda.backend import CUDA

    return CUDA


def is_compiled(array: Any) -> bool:
    """Whether compiled code computes with `array`."""
    return _compiled is not None and backend(array) is _compiled


def set_compiled(on: bool = True) -> None:
    """Let Numba compile the steps of every `RNNCell`, `GRUCell` and `LSTMCell`, and `SoftmaxCrossEntropy`.

    Numba also compiles the products of their inputs, where that is faster: if NumPy uses OpenBLAS, from 128 rows on.

    This holds for the whole process, for models on the CPU. Depending on the processor, a training step of an LSTM
    takes a half to two thirds of the time with 128 units, and seven to nine tenths with 512; all results are the same
    to rounding. It needs Numba: `pip install 'tinygrad-rnn[numba]'`. The import of Numba takes half a second, and the
    first sequence of each cell and dtype some seconds, once on a machine: compiled code is kept on the disk. If that is
    damaged or cannot be written, it is compiled again, and a RuntimeWarning says so once.

    Raises:
        TypeError: `on` is not a bool.
        ImportError: Numba is missing, is switched off, or has a version that does not fit this package.

    Example:
        >>> set_compiled(False)
    """
    global _compiled
    if not check_bool("set_compiled", "on", on):
        _compiled = None
        return
    try:
        import numba
    except ModuleNotFoundError as error:
        raise ImportError("set_compiled: Numba is missing: pip install 'tinygrad-rnn[numba]'") from error
    if numba.config.DISABLE_JIT:
        raise ImportError("set_compiled: Numba compiles nothing where NUMBA_DISABLE_JIT is set")
    try:
        from .compiled.backend import COMPILED
    except (ImportError, AttributeError, TypeError) as error:  # much of what it uses is private to Numba
        raise ImportError(
            f"set_compiled: Numba {numba.__version__} does not fit this package: {error}. Install a version that does: "
            "pip install 'tinygrad-rnn[numba]'"
        ) from error
    _compiled = COMPILED
