"""The vector in which the parameters of a model lie side by side, and their gradients likewise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from weakref import ref

from .arrays import Array, device_name
from .device import device_of
from .parameter import Parameter


class HasParameters(Protocol):
    """A layer, in the eyes of a vector."""

    def parameters(self) -> list[Parameter]: ...


def _nothing() -> None:
    """A reference to a layer that is gone."""


class ParameterVector:
    """Parameters side by side in one array `value`, and their gradients in another, `grad`.

    Each starts on a multiple of 64 bytes; the gaps hold zeros, in which no optimizer step, norm or clip does anything.
    Making one turns the values of its parameters into views of it. `replaced` says that they have since moved
    elsewhere: into the vector of a larger model, or to another device or dtype. `device` is where it lies.

    Args:
        parameters: at least one.
        root: the layer that they are of; None if it is gone.
        owner: what the message of an error begins with.

    Raises:
        TypeError: the parameters differ in dtype or device.
    """

    def __init__(
        self, parameters: Iterable[Parameter], root: HasParameters | None, owner: object = "ParameterVector"
    ) -> None:
        self.parameters, self._root = tuple(parameters), _nothing if root is None else ref(root)
        self.replaced = False
        first = self.parameters[0].value
        for parameter in self.parameters:
            value = parameter.value
            if value.dtype != first.dtype or device_name(value) != device_name(first):
                raise TypeError(
                    f"{owner}: the parameters of one model must share a dtype and a device, but "
                    f"{self.parameters[0]!r} and {parameter!r} do not: call "
                    "model.to(device=..., dtype=...) once it is built"
                )
        step = 64 // first.dtype.itemsize
        self.device, self._starts, self.size = device_of(first), {}, 0
        for parameter in self.parameters:
            start = -(-self.size // step) * step
            self._starts[id(parameter)] = start
            self.size = start + max(parameter.size, 1)
        self.value = self.device.zeros(self.size, first.dtype)
        self._grad: Array | None = None
        with self.device:
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
        return self.device.zeros(self.size, self.value.dtype)

    @property
    def has_grad(self) -> bool:
        """Whether any gradient was asked for yet."""
        return self._grad is not None

    def start(self, parameter: Parameter) -> int:
        """Where `parameter` begins in the vector."""
        return self._starts[id(parameter)]

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

    def in_use(self) -> tuple[Parameter, ...]:
        """The parameters without those that were since replaced in the layer that they are of, or removed from it."""
        root = self._root()
        if root is None:
            return self.parameters
        now = {id(parameter) for parameter in root.parameters()}
        return tuple(parameter for parameter in self.parameters if id(parameter) in now)

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
        return ParameterVector._rebuild, (self.parameters, self._root(), self.replaced)

    @staticmethod
    def _rebuild(parameters: tuple[Parameter, ...], root: HasParameters | None, replaced: bool) -> ParameterVector:
        if not replaced:
            return ParameterVector(parameters, root)
        vector = ParameterVector.__new__(ParameterVector)  # takes nothing from the one that replaced it
        vector.parameters, vector.replaced = parameters, True
        return vector


def pack(
    parameters: Sequence[Parameter], root: HasParameters, owner: object | None = None
) -> tuple[ParameterVector, slice]:
    """The vector that holds `parameters`, all of the layer `root`, and the slice that they fill; made now if need be.

    Smaller vectors are absorbed into a new one if it takes all of them that is in use. The message of an error begins
    with `owner`, or `root` if there is none.

    Raises:
        TypeError: the parameters differ in dtype or device.
        ValueError: there are no parameters, or another model owns some of them together with others.
    """
    owner = root if owner is None else owner
    if not parameters:
        raise ValueError(f"{owner}: there are no parameters here to lie in a vector")
    vectors = {id(p.vector): p.vector for p in parameters if p.vector is not None}
    mine = {id(p) for p in parameters}
    for vector in vectors.values():
        part = vector.span(parameters)
        if part is not None:
            return vector, part
        used = vector.in_use()
        others = [p for p in used if id(p) not in mine]
        if 0 < len(others) < len(used):
            raise ValueError(
                f"{owner}: only {len(used) - len(others)} of the {len(used)} parameters that "
                "another model keeps in one vector are parameters of this one. Two models may share all their "
                "parameters or none, or one may contain the other: copy the shared layer with copy.deepcopy, or "
                "optimize one model that contains both"
            )
    vector = ParameterVector(parameters, root, owner)
    return vector, slice(0, vector.size)
