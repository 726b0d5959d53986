"""How a function of arrays is compiled: what it may take, the types that this makes, and where the code is kept."""

import contextlib
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args

import numba
from numba.core import types
from numba.core.caching import FunctionCache

from ...core.arrays import Array, Booleans, Integers

# What a compiled function takes: arrays of so many axes that it reads, or writes; their dtype is that of the first.
In1: TypeAlias = Annotated[Array, 1, True]
In2: TypeAlias = Annotated[Array, 2, True]
In3: TypeAlias = Annotated[Array, 3, True]
Out1: TypeAlias = Annotated[Array, 1, False]
Out2: TypeAlias = Annotated[Array, 2, False]
Out3: TypeAlias = Annotated[Array, 3, False]
Out4: TypeAlias = Annotated[Array, 4, False]
Ids1: TypeAlias = Annotated[Integers, 1, True, types.int64]
Ids2: TypeAlias = Annotated[Integers, 2, True, types.int64]
Flags: TypeAlias = Annotated[Booleans, 2, True, types.boolean]

_NUMBERS = {bool: types.boolean, float: types.float64}

SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()
"""A hash of all that is compiled."""


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """`function`, compiled at its first call with float32 or float64, from the types that its parameters tell.

    It runs without Python's lock. The layouts of arrays are not part of the types, or it would be compiled for each of
    them; an array whose rows have gaps is copied where it is only read. What was compiled is kept beside the source, or
    in the user's cache. Its module has no `from __future__ import annotations`, for annotations are read here.
    """
    *parameters, _ = function.__annotations__.values()
    prepare = [_preparation(parameter) for parameter in parameters]

    @functools.cache
    def version(dtype: Any) -> Any:
        result: Any = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")(function)
        with contextlib.suppress(RuntimeError):  # there is nowhere to keep it
            result._cache = _Cache(function)
        result.compile(types.void(*(_type(parameter, numba.from_dtype(dtype)) for parameter in parameters)))
        result.disable_compile()
        return result

    @functools.wraps(function)
    def run(*arguments: Any) -> None:
        version(arguments[0].dtype)(*(make(argument) for make, argument in zip(prepare, arguments, strict=True)))

    return run


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's, which looks for changes in the file of a function; and for changes in those that it calls."""

    def _index_key(self, *arguments: Any) -> Any:
        return (*super()._index_key(*arguments), SOURCES)


def without_gaps(array: Any) -> Any:
    """`array`, or a copy, in whose rows the numbers lie side by side, as `row` needs it."""
    return array if _has_no_gaps(array) else array.copy()


def _as_it_is(argument: Any) -> Any:
    return argument


def _written(array: Any) -> Any:
    """`array`, which may not be a copy."""
    if not _has_no_gaps(array):
        raise ValueError(f"an array with strides {array.strides} cannot be written to by compiled code")
    return array


def _has_no_gaps(array: Any) -> bool:
    flags = array.flags
    return bool(flags.aligned and (flags.c_contiguous or array.strides[-1] == array.itemsize))


def _preparation(parameter: Any) -> Callable[[Any], Any]:
    if parameter in _NUMBERS:
        return _as_it_is
    return without_gaps if get_args(parameter)[2] else _written


def _type(parameter: Any, number: Any) -> Any:
    if parameter in _NUMBERS:
        return _NUMBERS[parameter]
    _, axes, only_read, *other = get_args(parameter)
    dtype: Any = other[0] if other else number
    return types.Array(dtype, axes, "A", readonly=only_read)
