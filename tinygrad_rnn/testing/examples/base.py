"""`Example`, a call that checks a layer: random inputs, one forward, one backward, and every array by its name."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from ...core.arrays import Array, Generator, Integers
from ...core.device import Device
from ...core.layer import Layer
from ...core.one_hot import OneHotRows
from ...core.returns import Where, check_array, check_tuple
from ...core.roles import Feedforward, Recurrent
from ...core.states import tree_map
from ..named import Arrays, floats, move

STEPS, BATCH, FEATURES = 4, 3, 5
"""T, B and, if the layer takes any number, D. With T = 1 or B = 1 some wrong gradients look right."""
OTHER_STEPS = 6
"""The steps of the other sequence if there are two (queries or sources): all axes differ, so mix-ups show."""

E = TypeVar("E", bound="Example")


class Example(ABC):
    """One way to call `layer`, with its inputs. The layer is a copy in float64, with random parameters."""

    how = ""
    """How this way differs from the usual one, for messages."""
    sizes: ClassVar[Mapping[str, int]] = {"T": STEPS, "B": BATCH}
    """The axes that may be empty, and their sizes without lengths."""
    ends: ClassVar[Mapping[str, str]] = {"T": "lengths"}
    """The axes that have lengths, and the names of these."""
    own_axes: ClassVar[Mapping[str, str]] = {}
    """The leading axes of arrays whose axes are not (T, B), by name."""
    gives = "(y, cache)"
    """What the forward returns."""
    gives_back = "dx"
    """What the backward returns."""

    def __init__(self, layer: Layer, rng: Generator) -> None:
        self.layer = copy.deepcopy(layer).to("cpu", "float64")
        for parameter in self.layer.parameters():
            parameter.value += 0.3 * rng.standard_normal(parameter.shape)  # biases that are 0 would hide their terms
        self.streams = {name: stream.bit_generator.state for name, stream in self.layer.generators().items()}

    @property
    @abstractmethod
    def inputs(self) -> Arrays:
        """All inputs by name."""

    @property
    def given(self) -> Arrays:
        """All inputs of a call, also those without a gradient."""
        names = ["x", "xs", "ys", "state", "starts", "queries", "memory", "sources", "targets", "weights"]
        names += self.ends.values()
        return {name: getattr(self, name) for name in names if getattr(self, name, None) is not None}

    @property
    def variables(self) -> Arrays:
        """The inputs that have a gradient. Writing into one changes what `forward` computes."""
        return floats(self.inputs)

    def forward(self) -> tuple[Arrays, Any]:
        """The outputs that have a gradient, by name, and the cache. Random streams are reset at every call."""
        if self.streams:  # to look for them takes a tenth of the time
            for name, stream in self.layer.generators().items():
                stream.bit_generator.state = self.streams[name]
        outputs, cache = self.run()
        return self.floats("forward", outputs), cache

    def run(self) -> tuple[Arrays, Any]:
        """All outputs by name, and the cache."""
        made = self.call(self.layer.forward)  # type: ignore[attr-defined]  # every role has one
        *outputs, cache = check_tuple(self.layer, "forward", None, made, self.gives)
        return self.named(*outputs), cache

    @abstractmethod
    def call(self, function: Callable[..., Any]) -> Any:
        """Call `function` with the inputs: the layer, its forward, or a function that must compute the same."""

    @abstractmethod
    def named(self, *outputs: Any) -> Arrays:
        """All outputs by name."""

    def backward(self, upstream: Arrays, cache: Any) -> Arrays:
        """Map the gradients w.r.t. the outputs, by name, to those w.r.t. the variables, by name."""
        made = self.back(upstream, cache)
        gradients = check_tuple(self.layer, "backward", None, made, self.gives_back)
        return self.floats("backward", self.named_back(*gradients))

    @abstractmethod
    def back(self, upstream: Arrays, cache: Any) -> Any:
        """Call the backward."""

    @abstractmethod
    def named_back(self, *gradients: Any) -> Arrays:
        """What it returns, by the names of the inputs."""

    def floats(self, method: str, arrays: Arrays) -> Arrays:
        """The arrays that have a gradient, among those that `method` returned."""
        for name, array in arrays.items():
            if array is not None and type(array) is not OneHotRows:
                check_array(Where(self.layer, method), name, array, None, None)
        return floats(arrays)

    def gradients(self, upstream: Arrays, cache: Any) -> Arrays:
        """As `backward`, but one must come for each variable, of its shape."""
        found, who = self.backward(upstream, cache), f"{self.layer!r}{self.how.rstrip(',')}"
        for name, array in self.variables.items():
            assert name in found, f"{who}: backward gives no gradient of {name}"
            shape = found[name].shape
            assert shape == array.shape, f"{who}: gradient of {name} has shape {shape}, expected {array.shape}"
        return found

    def upstream(self, rng: Generator) -> Arrays:
        """A random gradient for every output."""
        return {name: draw(rng, output.shape) for name, output in self.forward()[0].items()}

    def everything(self, upstream: Arrays) -> Arrays:
        """Outputs, and gradients of variables and parameters, of one forward and one backward."""
        self.layer.zero_grad()
        outputs, cache = self.forward()
        variables = {f"gradient of {name}": array for name, array in self.gradients(upstream, cache).items()}
        parameters = {f"gradient of {name}": p.grad.copy() for name, p in self.layer.named_parameters()}
        return outputs | variables | parameters

    def axes(self, name: str) -> str:
        """The letters of the leading axes of an array, or of its gradient: T steps, B rows, S steps of a memory."""
        name = name.removeprefix("gradient of ")
        return self.own_axes.get(name, "B" if name.startswith("state") or name.endswith("lengths") else "TB")

    def part(self, name: str, array: Any, where: Mapping[str, slice]) -> Any:
        """A view of `array`, cut along the axes of these letters."""
        return array[(*(where.get(axis, slice(None)) for axis in self.axes(name)[: array.ndim]), ...)]

    def cut(self: E, where: Mapping[str, slice]) -> E:
        """The same example, cut along these axes. All its rows are whole."""
        cut = copy.copy(self)
        for name in self.ends.values():
            setattr(cut, name, None)
        for name, value in cut.given.items():
            setattr(cut, name, tree_map(lambda array, name=name: self.part(name, array, where), value))
        return cut

    def to(self: E, device: Device, dtype: str) -> E:
        """The same example on another device, in another dtype."""
        moved = copy.copy(self)
        moved.layer = copy.deepcopy(self.layer).to(device, dtype)
        for name, value in self.given.items():
            setattr(moved, name, move(value, device, dtype))
        return moved


def draw(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Normal numbers, at least 0.1 away from 0, where ReLU has its kink."""
    sign = rng.choice([-1.0, 1.0], shape)
    drawn: Array = sign * (0.1 + abs(rng.standard_normal(shape)))
    return drawn


def input_of(layer: Feedforward | Recurrent, rng: Generator, lead: tuple[int, int]) -> Any:
    """Random ids with these leading axes, or numbers, as the layer takes them."""
    if layer.takes_ids:
        return rng.integers(0, layer.in_size or FEATURES, lead)
    return draw(rng, (*lead, layer.in_size or FEATURES))


def size_of(lengths: Integers | None) -> tuple[int, int]:
    """T and B, with room for the lengths."""
    return (STEPS, BATCH) if lengths is None else (max(STEPS, *lengths.tolist()), len(lengths))
