"""The vector in which the parameters of a model lie side by side, and their gradients likewise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .arrays import Array, device_name
from .device import device_of
from .parameter import Parameter


class ParameterVector:
    """Parameters side by side in one array `value`, and their gradients in another, `grad`.

    Each starts on a multiple of 64 bytes; the gaps hold zeros, in which no optimizer step, norm or clip does anything.
    Making one turns the values of its parameters into views of it. `replaced` says that they have since moved
    elsewhere: into the vector of a larger model, or to another device or dtype.

    Raises:
        TypeError: the parameters differ in dtype or device.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.replaced = False
        first = self.parameters[0].value
        for parameter in self.parameters:
            value = parameter.value
            if value.dtype != first.dtype or device_name(value) != device_name(first):
                raise TypeError(
                    f"the parameters of one model must share a dtype and a device, but {self.parameters[0]!r} and "
                    f"{parameter!r} do not: call model.to(device=..., dtype=...) once it is built"
                )
        step = 64 // first.dtype.itemsize
        self._device, self._starts, self.size = device_of(first), {}, 0
        for parameter in self.parameters:
            start = -(-self.size // step) * step
            self._starts[id(parameter)] = start
            self.size = start + max(parameter.size, 1)
        self.value = self._device.zeros(self.size, first.dtype)
        self._grad: Array | None = None
        for parameter in self.parameters:
            self._take(parameter)

    @property
    def grad(self) -> Array:
        """The gradients, made on first use."""
        if self._grad is None:
            self._grad = self.zeros()
            for parameter in self.parameters:  # so that what is written to the whole is kept by whoever moves a part
                if parameter._vector is self:
                    parameter._grad = self.view(self._grad, parameter)
        return self._grad

    def zeros(self) -> Array:
        """Zeros laid out like the vector."""
        return self._device.zeros(self.size, self.value.dtype)

    @property
    def has_grad(self) -> bool:
        """Whether any gradient was asked for yet."""
        return self._grad is not None

    def view(self, vector: Array, parameter: Parameter, offset: int = 0) -> Array:
        """The part that belongs to `parameter`, in its shape, of a `vector` laid out like this one from `offset` on."""
        start = self._starts[id(parameter)] - offset
        return vector[start : start + parameter.size].reshape(parameter.shape)

    def span(self, parameters: Sequence[Parameter]) -> slice | None:
        """The slice of the vectors that `parameters` fill alone; None if some lie elsewhere, or others between."""
        if not parameters or any(p.vector is not self for p in parameters):
            return None
        if len(parameters) == len(self.parameters):
            return slice(0, self.size)
        start = min(self._starts[id(p)] for p in parameters)
        stop = max(self._starts[id(p)] + p.size for p in parameters)
        inside = sum(start <= other < stop for other in self._starts.values())
        return slice(start, stop) if inside == len(parameters) else None

    def _take(self, parameter: Parameter) -> None:
        value = self.view(self.value, parameter)
        value[...] = parameter.value
        grad = None
        if parameter._grad is not None:
            grad = self.view(self.grad, parameter)
            grad[...] = parameter._grad
        if parameter._vector is not None:
            parameter._vector.replaced = True
        parameter._value, parameter._grad, parameter._vector = value, grad, self

    def __reduce__(self) -> tuple[Any, ...]:
        return ParameterVector._rebuild, (self.parameters, self.replaced)

    @staticmethod
    def _rebuild(parameters: tuple[Parameter, ...], replaced: bool) -> ParameterVector:
        if not replaced:
            return ParameterVector(parameters)
        vector = ParameterVector.__new__(ParameterVector)  # takes nothing from the one that replaced it
        vector.parameters, vector.replaced = parameters, True
        return vector


def pack(parameters: Sequence[Parameter]) -> tuple[ParameterVector, slice]:
    """The vector that holds `parameters` and the slice that they fill, made now unless there is one.

    Smaller vectors are absorbed into a new one if it takes them whole.

    Raises:
        ValueError: there are no parameters, or another model owns some of them together with others.
    """
    if not parameters:
        raise ValueError("there are no parameters here to lie in a vector")
    vectors = {id(p.vector): p.vector for p in parameters if p.vector is not None}
    mine = {id(p) for p in parameters}
    for vector in vectors.values():
        part = vector.span(parameters)
        if part is not None:
            return vector, part
        others = [p for p in vector.parameters if id(p) not in mine]
        if others:
            raise ValueError(
                f"only {len(vector.parameters) - len(others)} of the {len(vector.parameters)} parameters that another "
                "model keeps in one vector are parameters of this one. Two models may share all their parameters or "
                "none, or one may contain the other: copy the shared layer with copy.deepcopy, or optimize one model "
                "that contains both"
            )
    vector = ParameterVector(parameters)
    return vector, slice(0, vector.size)
