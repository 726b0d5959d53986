"""A simulated device: NumPy arrays in a type that refuses everything that a GPU refuses, or would wait for.

Code that runs on it uses no array of another device and no function that CuPy lacks, and reads values on the host only
with `to_host`. So a layer, also your own, can be checked for the GPU on a machine without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from ..core.device import Device


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


LACKING = _names("""
    asmatrix block bmat busday_count busday_offset datetime_as_string datetime_data einsum_path emath errstate
    frompyfunc fromregex geomspace getbufsize geterr geterrcall histogram_bin_edges insert is_busday isnat ma matrix
    matvec memmap nanpercentile nanquantile ndenumerate nditer nested_iters polyder polydiv polyint rec recarray
    setbufsize seterr seterrcall spacing strings unstack vecdot vecmat linalg.diagonal linalg.matrix_norm
    linalg.multi_dot linalg.outer linalg.svdvals linalg.tensordot linalg.trace linalg.vecdot linalg.vector_norm
""")
"""The functions of NumPy that CuPy 14 lacks."""

_KEYWORDS = {
    **dict.fromkeys(_names("all amax amin any max mean min prod std sum var"), _names("initial where")),
    "take": _names("mode"),
}
LACKING_KEYWORDS = {f"ndarray.{name}": s for name, s in _KEYWORDS.items()} | _KEYWORDS | {"clip": _names("max min")}
"""Keywords of NumPy's functions and methods that CuPy's lack; all of CuPy's also lack `device`, `like`, `subok`."""

WAITING = _names("""
    argwhere bincount compress delete extract flatnonzero intersect1d median nanmedian nonzero piecewise place
    setdiff1d setxor1d trim_zeros union1d unique unique_all unique_counts unique_inverse unique_values ndarray.nonzero
""")
"""Functions for which CuPy waits, because the size of what they give, or which way they go, depends on values."""

_UFUNC_METHODS = _names("add.accumulate add.at add.reduce multiply.accumulate multiply.reduce")  # the others raise
_HOST_ARGUMENTS = _names("arange empty eye identity ones zeros")  # take sizes and bounds, which are Python numbers
_PREDICATES = _names("allclose array_equal array_equiv")  # give a bool, in CuPy an array

ATTRIBUTES = _names("T base dtype flags imag itemsize mT nbytes ndim real shape size strides")
METHODS = _names("""
    all any argmax argmin argsort astype clip conj copy cumprod cumsum diagonal dot fill flatten max mean min nonzero
    prod ravel repeat reshape round sort squeeze std sum swapaxes take trace transpose var view
""")
"""Methods of a `StrictArray`: those that NumPy and CuPy arrays share, and whose results stay on the device."""


def _mixed(attempt: str, other: object) -> TypeError:
    kind = f"{type(other).__module__}.{type(other).__name__}"
    return TypeError(
        f"{attempt} was given a StrictArray and a {kind}. Nothing moves between devices by itself: move the {kind} "
        "with device.asarray, or the StrictArray with device.to_host"
    )


def _hidden(attempt: str) -> Callable[..., Any]:
    """A method that refuses `attempt`."""

    def refuse(*_: object, **__: object) -> Any:
        raise TypeError(
            f"{attempt} would move a StrictArray to the host unasked, and on a GPU wait for it: call "
            "device.to_host(array), which gives a NumPy array"
        )

    return refuse


def _waits(attempt: str) -> TypeError:
    return TypeError(
        f"{attempt} would wait for a GPU, for what it gives depends on values that are only there: choose by a mask "
        "with xp.where(mask, a, b) or xp.copyto(a, b, where=mask), or move the array, device.to_host(array)"
    )


def _unwrap(attempt: str, value: Any) -> Any:
    """The NumPy array in a `StrictArray`, also inside lists and tuples; other arrays are refused."""
    if isinstance(value, StrictArray):
        return value._array
    if isinstance(value, (np.ndarray, np.generic)):  # also NumPy scalars: results would get their dtype
        raise _mixed(attempt, value)
    if type(value) in (list, tuple):
        return type(value)(_unwrap(attempt, item) for item in value)
    return value


def _wrap(result: Any, given: tuple[Any, ...] = ()) -> Any:
    """`result` with each array and NumPy scalar as a `StrictArray`; for an array in `given`, the same object."""
    if isinstance(result, (np.ndarray, np.generic)):
        same = (array for array in given if isinstance(array, StrictArray) and array._array is result)
        return next(same, StrictArray(np.asarray(result)))
    if isinstance(result, (list, tuple)):
        return tuple(_wrap(item, given) for item in result)
    return result


class StrictNamespace:
    """NumPy, or a part of it, for `StrictArray` only, without what CuPy lacks."""

    def __init__(self, part: Any, path: str = "") -> None:
        self._part, self._path = part, path

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}.{name}".lstrip(".")
        if path in LACKING or (isinstance(self._part, np.ufunc) and path not in _UFUNC_METHODS):
            raise AttributeError(f"xp.{path} is in NumPy alone: CuPy lacks it, so this would fail on a GPU")
        value = getattr(self._part, name)
        if value is np.ndarray:
            return StrictArray
        is_part = isinstance(value, ModuleType) or (callable(value) and not isinstance(value, type))
        return StrictNamespace(value, path) if is_part else value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        path = self._path
        lacking = kwargs.keys() & (LACKING_KEYWORDS.get(path, frozenset()) | {"device", "like", "subok"})
        if lacking:
            raise TypeError(f"{path}({min(lacking)}=) is in NumPy alone: CuPy lacks it, so this would fail on a GPU")
        given = (*args, *kwargs.values())
        if path in WAITING or (path == "where" and len(given) < 3) or (path in _COUNTS and _is_counted(given[1:])):
            raise _waits(path)
        if path not in _HOST_ARGUMENTS:  # these ask a StrictArray for a Python integer, which raises
            args = tuple(_unwrap(path, value) for value in args)
            kwargs = {name: _unwrap(path, value) for name, value in kwargs.items()}
        result = self._part(*args, **kwargs)
        return _wrap(np.asarray(result) if path in _PREDICATES else result, given)


_COUNTS = _names("repeat ndarray.repeat")


def _is_counted(given: tuple[Any, ...]) -> bool:
    """Whether there is an array among the arguments, of how often each entry is repeated."""
    return any(isinstance(value, StrictArray) for value in given)


_xp = StrictNamespace(np)


class StrictArray:
    """An array of the `StrictDevice`, which makes it; it refuses whatever would implicitly leave the device.

    Operations that need its values on the host raise TypeError, and so do NumPy functions that are given one. A
    reduction is an array without axes, never a number. An index by a mask raises TypeError too: a GPU must wait for it.
    """

    __slots__ = ("_array",)

    def __init__(self, array: Any) -> None:
        self._array = array

    @property
    def device(self) -> StrictDevice:
        return StrictDevice()

    def __array_namespace__(self, *, api_version: str | None = None) -> StrictNamespace:
        return _xp

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return partial(StrictNamespace(getattr(np.ndarray, name), f"ndarray.{name}"), self)
        if name in ATTRIBUTES:
            return _wrap(getattr(self._array, name))
        raise AttributeError(f"a StrictArray has no {name}: NumPy's and CuPy's arrays do not share it")

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        if self.ndim < 2:
            _hidden("iterating over values")()
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        return _wrap(self._array[self._index(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(value, (StrictArray, int, float, complex)):
            raise _mixed("array[...] = value", value)
        self._array[self._index(index)] = _unwrap("array[...] = value", value)

    def _index(self, index: Any) -> tuple[Any, ...]:
        parts = index if isinstance(index, tuple) else (index,)
        for part in parts:
            if not (part is None or part is Ellipsis or isinstance(part, (slice, int, np.integer, StrictArray))):
                raise _mixed("array[index]", part)
            if isinstance(part, StrictArray) and part.dtype.kind == "b":
                raise _waits("an index by a mask")
        return tuple(part._array if isinstance(part, StrictArray) else part for part in parts)

    def __repr__(self) -> str:
        return f"StrictArray(shape={self.shape}, dtype={self.dtype})"  # no values: CuPy would fetch them

    def __array_function__(self, function: Any, *_: Any, **__: Any) -> Any:
        name = function.__name__
        raise TypeError(
            f"np.{name} takes NumPy arrays and was given a StrictArray: use xp.{name} of its device, with every NumPy "
            "array moved by device.asarray; or move the StrictArray, device.to_host(array)"
        )

    __array_ufunc__ = __array_function__
    __array__ = _hidden("a conversion to a NumPy array")
    __bool__ = _hidden("bool(array), as in `if` and `while`,")
    __complex__, __float__, __int__ = _hidden("complex(array)"), _hidden("float(array)"), _hidden("int(array)")
    __index__ = _hidden("an array as a Python integer")
    __hash__ = _hidden("hash(array)")
    item, tolist, tobytes = _hidden("array.item()"), _hidden("array.tolist()"), _hidden("array.tobytes()")
    get = _hidden("array.get()")  # only CuPy has it


def _operator(name: str) -> Callable[..., Any]:
    apply = StrictNamespace(getattr(np.ndarray, name), name)

    def method(self: StrictArray, *operands: Any) -> Any:
        for other in operands:
            if isinstance(other, (list, tuple)):
                raise _mixed(name, other)
            if not isinstance(other, (StrictArray, np.ndarray, np.generic, int, float, complex)):
                return NotImplemented  # such as OneHotRows, which refuse themselves
        return apply(self, *operands)

    return method


# No `imatmul`: CuPy also lacks it, so `a @= b` makes a new array.
_BINARY = _names("add and floordiv lshift mod mul or pow rshift sub truediv xor")
_OTHERS = _names("divmod rdivmod matmul rmatmul lt le eq ne gt ge neg pos abs invert")
for _name in _OTHERS.union(*({name, f"r{name}", f"i{name}"} for name in _BINARY)):
    setattr(StrictArray, f"__{_name}__", _operator(f"__{_name}__"))


class StrictDevice(Device):
    """A simulated device, for tests: its arrays refuse what arrays on a GPU refuse, or would wait for.

    `model.to(StrictDevice())` moves a model there. It computes with NumPy, so results equal those on the CPU, to the
    bit wherever the same functions are called.

    Example:
        >>> StrictDevice().asarray([1.0, 2.0]).sum()
        StrictArray(shape=(), dtype=float64)
    """

    __slots__ = ()

    def __init__(self) -> None:
        self._name = "strict"  # there is no hardware to look for

    def __repr__(self) -> str:
        return "StrictDevice()"

    @property
    def xp(self) -> Any:
        return _xp

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        array = values if isinstance(values, StrictArray) else StrictArray(np.array(values))
        return array if dtype is None else array.astype(dtype, copy=False)

    def to_host(self, array: Any) -> Any:
        if not isinstance(array, StrictArray):
            raise TypeError(f"StrictDevice.to_host takes a StrictArray, not a {type(array).__name__}")
        return array._array.copy()

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def __enter__(self) -> StrictDevice:
        return self

    def __exit__(self, *error: object) -> None:
        """It is always the current one."""

    def zeros(self, size: int, dtype: Any) -> Any:
        return StrictArray(Device("cpu").zeros(size, dtype))
