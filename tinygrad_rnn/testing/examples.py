"""Calls that check a layer: random inputs, one forward, one backward, and every array by its name.

There is one class for each way to call a layer. Its `variables` are the inputs that have a gradient. Arrays in states
are named by their path, `state[1][0]`.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from ..core.arrays import Array, Booleans, Generator, Integers
from ..core.device import Device
from ..core.layer import Layer
from ..core.one_hot import OneHotRows
from ..core.returns import Where, check_array, check_returned, check_tuple, stacked
from ..core.roles import Feedforward, Loss, Recurrent
from ..core.states import Leaf, State, StateSpec, tree_map
from ..layers.attention.base import Attention
from ..layers.pooling.base import Pool
from ..models.encoder_decoder import EncoderDecoder
from ..models.many_to_one import ManyToOne

STEPS, BATCH, FEATURES = 4, 3, 5
"""T, B and, if the layer takes any number, D. With T = 1 or B = 1 some wrong gradients look right."""
OTHER_STEPS = 6
"""The steps of the other sequence if there are two (queries or sources): all axes differ, so mix-ups show."""

Arrays = dict[str, Any]
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


class FeedforwardExample(Example):
    """Maps `x` (T, B, D) to `y`."""

    layer: Feedforward

    def __init__(self, layer: Feedforward, rng: Generator) -> None:
        super().__init__(layer, rng)
        self.x = _input(layer, rng, (STEPS, BATCH))
        if getattr(layer, "takes_gaps", False):
            self.x[1, 0, 0] = np.nan

    @property
    def inputs(self) -> Arrays:
        return {"x": self.x}

    def call(self, function: Callable[..., Any]) -> Any:
        return function(self.x)

    def named(self, *outputs: Any) -> Arrays:
        (y,) = outputs
        return {"y": y}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("y"), cache)

    def named_back(self, *gradients: Any) -> Arrays:
        (dx,) = gradients
        return {"x": dx}


class RecurrentExample(Example):
    """Maps `xs` (T, B, D) and a state to `ys` and a state."""

    layer: Recurrent
    gives = "(ys, state, cache)"
    gives_back = "(dxs, dstate)"

    def __init__(
        self, layer: Recurrent, rng: Generator, lengths: Integers | None = None, starts: Booleans | None = None
    ) -> None:
        super().__init__(layer, rng)
        steps, batch = _size(lengths) if starts is None else starts.shape
        self.lengths = None if lengths is None else lengths.copy()
        self.starts = None if starts is None else starts.copy()
        self.xs = _input(layer, rng, (steps, batch))
        self.state = draw_state(rng, self.layer.state_spec, batch)

    @property
    def inputs(self) -> Arrays:
        return {"xs": self.xs, **leaves("state", self.state)}

    def call(self, function: Callable[..., Any]) -> Any:
        return function(self.xs, self.state, lengths=self.lengths, starts=self.starts)

    def named(self, *outputs: Any) -> Arrays:
        (steps, batch), out = self.xs.shape[:2], self.layer.out_size
        shape = (steps, batch, out)
        ys, state = check_returned(Where(self.layer, "forward"), outputs, "(ys, state)", shape, batch, None)
        return {"ys": ys, **leaves("state", state)}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("ys"), planted("state", self.state, upstream), cache)

    def named_back(self, *gradients: Any) -> Arrays:
        dxs, dstate = gradients
        return {"xs": dxs, **leaves("state", dstate)}


class StepsExample(RecurrentExample):
    """The same sequence with a loop of `step_forward`, and backward with a loop of `step_backward`."""

    how = ", step by step,"

    def run(self) -> tuple[Arrays, Any]:
        ys, state, caches = [], self.state, []
        for t in range(self.xs.shape[0]):
            if self.starts is not None:
                state = self.layer.begin(state, self.starts[t])
            made = self.layer.step_forward(self.xs[t], state)
            y, state, cache = check_tuple(self.layer, "step_forward", t, made, "(y, state, cache)")
            ys.append(y)
            caches.append(cache)
        whole = {} if isinstance(ys[0], OneHotRows) else {"ys": stacked(self.layer, "step_forward", "y", ys)}
        return {**whole, **leaves("state", state)}, caches

    def back(self, upstream: Arrays, cache: Any) -> Any:
        dstate, dxs = planted("state", self.state, upstream), []
        for t in reversed(range(len(cache))):
            dy = upstream["ys"][t] if "ys" in upstream else None
            made = self.layer.step_backward(dy, dstate, cache[t])
            dx, dstate = check_tuple(self.layer, "step_backward", t, made, "(dx, dstate)")
            if self.starts is not None:
                dstate = self.layer.begin_backward(dstate, self.starts[t])
            dxs.append(dx)
        has_gradient = "xs" in self.variables
        return stacked(self.layer, "step_backward", "dx", dxs[::-1]) if has_gradient else None, dstate


class AttentionExample(Example):
    """Maps `queries` (T, B, Q) and `memory` (S, B, M), which has the lengths, to the context and the weights."""

    layer: Attention
    gives = "(context, weights, cache)"
    gives_back = "(dqueries, dmemory)"
    sizes: ClassVar[Mapping[str, int]] = {"T": OTHER_STEPS, "B": BATCH, "S": STEPS}
    ends: ClassVar[Mapping[str, str]] = {"S": "lengths"}
    own_axes: ClassVar[Mapping[str, str]] = {"memory": "SB", "weights": "TBS"}

    def __init__(self, layer: Attention, rng: Generator, lengths: Integers | None = None) -> None:
        super().__init__(layer, rng)
        steps, batch = _size(lengths)
        self.lengths = None if lengths is None else lengths.copy()
        self.queries = draw(rng, (OTHER_STEPS, batch, layer.query_size or FEATURES))
        self.memory = draw(rng, (steps, batch, layer.memory_size or FEATURES))

    @property
    def inputs(self) -> Arrays:
        return {"queries": self.queries, "memory": self.memory}

    def call(self, function: Callable[..., Any]) -> Any:
        return function(self.queries, self.memory, lengths=self.lengths)

    def named(self, *outputs: Any) -> Arrays:
        context, weights = outputs
        return {"context": context, "weights": weights}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("context"), upstream.get("weights"), cache)

    def named_back(self, *gradients: Any) -> Arrays:
        dqueries, dmemory = gradients
        return {"queries": dqueries, "memory": dmemory}


class EncoderDecoderExample(Example):
    """Maps `sources` (S, B, D) and `targets` (T, B, E) to `ys`; long sources have short targets."""

    layer: EncoderDecoder
    gives = "(ys, cache)"
    gives_back = "(dsources, dtargets)"
    sizes: ClassVar[Mapping[str, int]] = {"T": STEPS, "B": BATCH, "S": OTHER_STEPS}
    ends: ClassVar[Mapping[str, str]] = {"T": "target_lengths", "S": "source_lengths"}
    own_axes: ClassVar[Mapping[str, str]] = {"sources": "SB"}

    def __init__(self, layer: EncoderDecoder, rng: Generator, lengths: Integers | None = None) -> None:
        super().__init__(layer, rng)
        steps, batch = _size(lengths)
        self.target_lengths = None if lengths is None else lengths.copy()
        self.source_lengths = None if lengths is None else lengths[::-1].copy()
        self.sources = _input(self.layer.encoder, rng, (max(steps, OTHER_STEPS), batch))
        self.targets = _input(self.layer.decoder, rng, (steps, batch))

    @property
    def inputs(self) -> Arrays:
        return {"sources": self.sources, "targets": self.targets}

    def call(self, function: Callable[..., Any]) -> Any:
        lengths = {"source_lengths": self.source_lengths, "target_lengths": self.target_lengths}
        return function(self.sources, self.targets, **lengths)

    def named(self, *outputs: Any) -> Arrays:
        (ys,) = outputs
        return {"ys": ys}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("ys"), cache)

    def named_back(self, *gradients: Any) -> Arrays:
        dsources, dtargets = gradients
        return {"sources": dsources, "targets": dtargets}


class PoolExample(Example):
    """Maps `xs` (T, B, D) to `y` (B, H)."""

    layer: Pool
    gives_back = "dxs"
    own_axes: ClassVar[Mapping[str, str]] = {"y": "B"}

    def __init__(self, layer: Pool, rng: Generator, lengths: Integers | None = None) -> None:
        super().__init__(layer, rng)
        steps, batch = _size(lengths)
        self.lengths = None if lengths is None else lengths.copy()
        self.xs = draw(rng, (steps, batch, layer.in_size or FEATURES))

    @property
    def inputs(self) -> Arrays:
        return {"xs": self.xs}

    def call(self, function: Callable[..., Any]) -> Any:
        return function(self.xs, lengths=self.lengths)

    def named(self, *outputs: Any) -> Arrays:
        (y,) = outputs
        return {"y": y}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("y"), cache)

    def named_back(self, *gradients: Any) -> Arrays:
        (dxs,) = gradients
        return {"xs": dxs}


class ManyToOneExample(RecurrentExample):
    """Maps `xs` (T, B, D) and a state to `y` (B, K) and a state."""

    layer: ManyToOne  # type: ignore[assignment]  # it has what of a `Recurrent` is needed here
    gives = "(y, state, cache)"
    own_axes: ClassVar[Mapping[str, str]] = {"y": "B"}

    def __init__(self, layer: ManyToOne, rng: Generator, lengths: Integers | None = None) -> None:
        super().__init__(layer, rng, lengths)  # type: ignore[arg-type]

    def call(self, function: Callable[..., Any]) -> Any:
        return function(self.xs, self.state, lengths=self.lengths)

    def named(self, *outputs: Any) -> Arrays:
        y, state = outputs
        return {"y": y, **leaves("state", state)}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("y"), planted("state", self.state, upstream), cache)


class LossExample(Example):
    """Maps `ys` (T, B, V) and targets, one of them ignored, to the loss.

    Other ways have weights (T, B), of which some are 0, and with these distributions as targets.
    """

    layer: Loss
    gives = "(loss, cache)"
    gives_back = "dys"

    def __init__(
        self, layer: Loss, rng: Generator, lengths: Integers | None = None, weighted: bool = False, soft: bool = False
    ) -> None:
        super().__init__(layer, rng)
        steps, batch = _size(lengths)
        self.lengths = None if lengths is None else lengths.copy()
        self.ys = draw(rng, (steps, batch, FEATURES * layer.outputs_per_target))
        self.targets: Any
        if soft:
            self.targets = rng.dirichlet([1.0] * FEATURES, (steps, batch))
            self.targets[0, 0] = np.eye(FEATURES)[0]
        elif layer.takes_ids:
            self.targets = rng.integers(0, FEATURES, (steps, batch))
            self.targets[1, 0] = getattr(layer, "ignore_index", 0)
        else:  # halfway between multiples of 0.1, so that no prediction is where a loss may have a kink
            self.ys = self.ys.round(1)
            self.targets = rng.integers(0, 10, (steps, batch, FEATURES)) / 10 + 0.05
            if getattr(layer, "missing", None):
                self.targets[1, 1, 2] = np.nan
        self.weights: Any = None
        if soft or weighted:
            self.how = f", with {'soft targets and ' * soft}weights,"
            self.weights = rng.random((steps, batch)) + 0.1
            self.weights[[0, 2], [batch - 1, 0]] = 0

    @property
    def inputs(self) -> Arrays:
        return {"ys": self.ys}

    def call(self, function: Callable[..., Any]) -> Any:
        weights = {} if self.weights is None else {"weights": self.weights}
        return function(self.ys, self.targets, lengths=self.lengths, **weights)

    def named(self, *outputs: Any) -> Arrays:
        (loss,) = outputs
        return {"loss": loss}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(cache, upstream["loss"])

    def named_back(self, *gradients: Any) -> Arrays:
        (dys,) = gradients
        return {"ys": dys}


def examples(
    layer: Layer, rng: Generator, lengths: Integers | None = None, starts: Booleans | None = None
) -> list[Example]:
    """Every way to call `layer`; `starts` are only for a `Recurrent`, weights for a `Loss` that takes some.

    Raises:
        TypeError: the layer has none of the roles.
    """
    if isinstance(layer, Feedforward):
        return [FeedforwardExample(layer, rng)]
    if isinstance(layer, Loss):
        weighted = [LossExample(layer, rng, lengths, weighted=True)] if takes_weights(layer) else []
        soft = [LossExample(layer, rng, lengths, soft=True)] if weighted and layer.takes_distributions else []
        return [LossExample(layer, rng, lengths), *weighted, *soft]
    if isinstance(layer, Recurrent):
        whole = RecurrentExample(layer, rng, lengths, starts)
        return [whole, StepsExample(layer, rng, None, starts)] if layer.causal and lengths is None else [whole]
    if isinstance(layer, Attention):
        return [AttentionExample(layer, rng, lengths)]
    if isinstance(layer, EncoderDecoder):
        return [EncoderDecoderExample(layer, rng, lengths)]
    if isinstance(layer, Pool):
        return [PoolExample(layer, rng, lengths)]
    if isinstance(layer, ManyToOne):
        return [ManyToOneExample(layer, rng, lengths)]
    raise TypeError(
        f"{layer!r} is neither Feedforward, Recurrent, Attention, Pool, EncoderDecoder, ManyToOne nor Loss, so there "
        "is no standard way to call it"
    )


def takes_weights(layer: Layer) -> bool:
    """Whether it is a `Loss` whose `forward` has the argument `weights`, which one of a user's own may leave out."""
    return isinstance(layer, Loss) and "weights" in inspect.signature(layer.forward).parameters


def draw(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Normal numbers, at least 0.1 away from 0, where ReLU has its kink."""
    sign = rng.choice([-1.0, 1.0], shape)
    drawn: Array = sign * (0.1 + abs(rng.standard_normal(shape)))
    return drawn


def draw_state(rng: Generator, spec: StateSpec, batch: int) -> State:
    """A state as declared, in float64. An axis of any size gets size 3; integers repeat 3, 0, 1, 2."""

    def array(leaf: Leaf) -> Any:
        shape = (batch, *(3 if size is None else size for size in leaf.shape))
        if not leaf.integer:
            return draw(rng, shape)
        rows = (3 + np.arange(batch)) % 4
        return np.broadcast_to(rows.reshape(batch, *(1 for _ in leaf.shape)), shape).copy()

    state: State = tree_map(array, spec)
    return state


def floats(arrays: Arrays) -> Arrays:
    """The arrays that have a gradient."""
    return {name: array for name, array in arrays.items() if array is not None and array.dtype.kind == "f"}


def leaves(name: str, tree: Any) -> Arrays:
    """The arrays of a state by their paths: `{"state[1][0]": array}`."""
    if not isinstance(tree, tuple):
        return {name: tree}
    return {key: leaf for i, part in enumerate(tree) for key, leaf in leaves(f"{name}[{i}]", part).items()}


def planted(name: str, like: Any, arrays: Arrays) -> Any:
    """A state with the structure of `like` and the leaves in `arrays`, else None: the inverse of `leaves`."""
    if not isinstance(like, tuple):
        return arrays.get(name)
    return tuple(planted(f"{name}[{i}]", part, arrays) for i, part in enumerate(like))


def same(expected: Arrays, found: Arrays, message: str, tolerance: float = 0.0) -> None:
    """Assert that arrays of the same names are equal: to the bit, or within `tolerance` of the largest entry."""
    assert expected.keys() == found.keys(), f"{message}: there are {sorted(found)}, expected {sorted(expected)}"
    for name, array in expected.items():
        other = found[name]
        assert array.shape == other.shape, f"{message}: {name} has shape {other.shape}, expected {array.shape}"
        if tolerance:
            wrong = ~(abs(array - other) <= tolerance * max(abs(array).max(initial=0), 1e-6))
        else:
            wrong = (array != other) & ~((array != array) & (other != other))  # NaN equals NaN
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise AssertionError(f"{message}: {name} at {list(index)} is {other[index]}, expected {array[index]}")


def move(tree: Any, device: Device, dtype: str) -> Any:
    """A state, or an array, on `device`; floating-point ones in `dtype`."""
    return tree_map(lambda array: device.asarray(array, dtype if array.dtype.kind == "f" else None), tree)


def _input(layer: Feedforward | Recurrent, rng: Generator, lead: tuple[int, int]) -> Any:
    if layer.takes_ids:
        return rng.integers(0, layer.in_size or FEATURES, lead)
    return draw(rng, (*lead, layer.in_size or FEATURES))


def _size(lengths: Integers | None) -> tuple[int, int]:
    return (STEPS, BATCH) if lengths is None else (max(STEPS, *lengths.tolist()), len(lengths))
