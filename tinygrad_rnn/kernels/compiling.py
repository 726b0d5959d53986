"""Whether Numba compiles what is slow in NumPy, such as the steps of the kernels: no, unless asked for.

A step is a product with few rows and some twenty short operations on numbers that it has just made. NumPy calls each of
them by itself, and its BLAS brings the weights into an order of its own at each product. Compiled, all steps of a block
are one call, and each thread brings the weights into order once for a sequence. What stands in `kernels` is the
definition, and what runs where Numba is not.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Steps = TypeVar("Steps", bound=Callable[..., Any])

_DTYPES = frozenset({np.dtype("float32"), np.dtype("float64")})  # a set: quick to look into

_on = False


def set_compiled(on: bool = True) -> None:
    """Let Numba compile the steps of every `RNNCell`, `GRUCell` and `LSTMCell`, and `SoftmaxCrossEntropy`.

    Also the products of their inputs, where that is faster: where NumPy's are OpenBLAS's, and there are 128 rows.

    It holds for the whole process. A training step of an LSTM takes a half to two thirds of the time, with 128 units,
    and seven to nine tenths, with 512, by the processor; all results are the same to rounding. It needs Numba:
    `pip install 'tinygrad-rnn[numba]'`. Importing that takes half a second, and the first sequence of each cell and
    dtype some seconds, once on a machine: what was compiled is kept on the disk. It concerns only models on the CPU.

    Raises:
        TypeError: `on` is no bool.
        ImportError: Numba is missing, or told to compile nothing.

    Example:
        >>> set_compiled(False)
    """
    global _on
    if not isinstance(on, bool):
        raise TypeError(f"set_compiled: on is {on!r}; expected True or False")
    if on:
        try:
            numba = importlib.import_module("numba")
        except ModuleNotFoundError as error:
            message = "set_compiled: Numba is missing: pip install 'tinygrad-rnn[numba]'"
            raise ImportError(message) from error
        if numba.config.DISABLE_JIT:
            raise ImportError("set_compiled: Numba compiles nothing where NUMBA_DISABLE_JIT is set")
    _on = on


def is_compiled(array: Any) -> bool:
    """Whether compiled steps compute with `array`: with float32 and float64 on the CPU."""
    return _on and isinstance(array, np.ndarray) and array.dtype in _DTYPES


def compiled_version(steps: Steps, array: Any) -> Steps:
    """`steps`, a function of a module of `kernels`; or that of its name in `kernels.compiled`, where such run."""
    return _compiled(steps) if is_compiled(array) else steps


@functools.cache  # a step of a small model takes little more than to look it up
def _compiled(steps: Any) -> Any:
    package, _, module = steps.__module__.rpartition(".")
    return getattr(importlib.import_module(f"{package}.compiled.{module}"), steps.__name__)
