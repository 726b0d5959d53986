"""A trainable array and its gradient."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from .arguments import check_number, float_dtype
from .arrays import Array, device_name, namespace
from .checks import check_device
from .device import Device, device_of
from .filling import stand_in
from .foreign import check_is_array


class Parameter:
    """A trainable array `value` and the gradient of the loss w.r.t. it, `grad`, of the same shape.

    Assigning to either writes in place, so every view of it sees the change: `p.value = w`, `p.grad += g`. `grad` is
    allocated, as zeros, when it is first read: a model that is used only for inference has none.

    Args:
        value: a float array of any shape; it is copied. Everything that is computed with it has its dtype.

    Raises:
        TypeError: `value` is not a float32 or float64 array; or what is assigned is not real, or on another device.
        ValueError: an array of another shape is assigned.

    Example:
        >>> p = Parameter(np.ones(2, np.float32))
        >>> p.grad += 3
        >>> p.value -= 0.5 * p.grad
        >>> p.value
        array([-0.5, -0.5], dtype=float32)
    """

    def __init__(self, value: Array) -> None:
        if hasattr(value, "dtype"):  # of something else, such as a list, the next check speaks
            check_is_array("Parameter", "value", value)
        float_dtype("Parameter, which takes an array made by one of `initializers`", getattr(value, "dtype", None))
        outline = stand_in(value.shape, value.dtype, drawn=False)
        self._value: Array = _copy(value) if outline is None else outline
        self._grad: Array | None = None
        self._vector: Any = None  # the `ParameterVector` in which it lies

    @property
    def value(self) -> Array:
        """The array itself, not a copy."""
        return self._value

    @value.setter
    def value(self, new: Array) -> None:
        self._write(self._value, new, "value")

    @property
    def grad(self) -> Array:
        """The gradient itself, not a copy; zeros before anything was added."""
        if self._grad is None:
            if self._vector is not None:
                self._grad = self._vector.view(self._vector.grad, self)
            else:
                with device_of(self._value):
                    self._grad = namespace(self._value).zeros_like(self._value)
        return self._grad

    @grad.setter
    def grad(self, new: Array) -> None:
        if self._grad is None or new is not self._grad:  # after `p.grad += g` it is
            self._write(self.grad, new, "grad")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of `value` and `grad`."""
        return self._value.shape

    @property
    def size(self) -> int:
        """The number of entries."""
        return self._value.size

    @property
    def vector(self) -> Any:
        """The `ParameterVector` in which this parameter lies; None where it is in none, or that is no longer in use."""
        return None if self._vector is None or self._vector.replaced else self._vector

    def zero_grad(self) -> None:
        """Clear the gradient, if there is one."""
        if self._grad is not None:
            with device_of(self._grad):
                self._grad.fill(0)

    def to(self, device: Device, dtype: Any) -> None:
        """Move value and gradient, out of the vector in which they are."""
        host = device_of(self._value).to_host
        self._value = device.asarray(host(self._value), dtype)
        self._grad = None if self._grad is None else device.asarray(host(self._grad), dtype)
        if self._vector is not None:
            self._vector.replaced = True
            self._vector = None

    def _write(self, array: Array, new: Any, name: str) -> None:
        if not hasattr(new, "shape"):
            if isinstance(new, bool) or not isinstance(new, Real):
                raise TypeError(f"Parameter.{name} takes an array or a number, not a {type(new).__name__}")
            with device_of(array):
                array[...] = check_number("Parameter", name, new)
            return
        check_is_array(f"Parameter.{name}", "what was assigned", new)
        if new.dtype.kind not in "fiu":
            raise TypeError(f"Parameter.{name} takes real numbers, but an array of {new.dtype} was assigned")
        if new.shape not in ((), self.shape):
            raise ValueError(f"Parameter.{name} has shape {self.shape}, but {new.shape} was assigned")
        check_device(self, f"what {name} was assigned", new, array)
        with device_of(array):
            array[...] = new

    def __reduce__(self) -> tuple[Any, ...]:
        # What copying and pickling do: an independent Parameter outside any vector; the copied model packs its own.
        return Parameter._rebuild, (self._value, self._grad)

    @staticmethod
    def _rebuild(value: Array, grad: Array | None) -> Parameter:
        if isinstance(value, np.memmap):  # as joblib reads a large array; a copy of it lies in memory
            value = value.view(np.ndarray)
        copy = Parameter(value)
        copy._grad = None if grad is None else _copy(grad)
        return copy

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self._value.dtype}, device={device_name(self._value)})"


def _copy(array: Any) -> Array:
    """A copy on the same device, and an array also of a number of NumPy; CuPy makes it on the current one."""
    with device_of(array):
        return np.array(array) if isinstance(array, np.generic) else array.copy()
