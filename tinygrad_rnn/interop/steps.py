"""What a model computes in a step: a list of operations, each with its weights as arrays on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..cells.drop_connect import DropConnect
from ..cells.gru import GRUCell
from ..cells.layer_norm_lstm import LayerNormLSTMCell
from ..cells.lstm import LSTMCell
from ..cells.rnn import RNNCell
from ..cells.zoneout import Zoneout
from ..core.arrays import Array
from ..core.device import on_host
from ..core.layer import Layer, runs
from ..core.parameter import Parameter
from ..core.roles import Recurrent
from ..core.states import leaves
from ..layers.activation import ReLU, Sigmoid, Tanh
from ..layers.dropout import Dropout
from ..layers.embedding import Embedding
from ..layers.layer_norm import LayerNorm
from ..layers.linear import Linear
from ..layers.locked_dropout import LockedDropout
from ..layers.one_hot import OneHot
from ..layers.softmax import Softmax
from ..layers.standardize import Standardize
from ..layers.tied_linear import TiedLinear
from ..models.bidirectional import Bidirectional
from ..models.encoder_decoder import EncoderDecoder
from ..models.many_to_one import ManyToOne
from ..models.residual import Residual
from ..models.sequential import Sequential

LARGEST = 2**31 - 1
"""Bytes of constants, and numbers of one array: what every index of 32 bits can reach."""


class Operation(NamedTuple):
    """One layer of the step."""

    kind: str
    """Such as `"lstm"`."""
    path: str
    """Where the layer is in the model, such as `"layers.1"`; `"model"` if it is the model."""
    layer: Any
    in_size: int
    out_size: int
    weights: dict[str, Array]
    """float32, matrices as (in, out)."""
    states: dict[str, Array]
    """The initial value of each array of the state, float32."""
    inside: tuple[Operation, ...] = ()
    """The layers to whose output the input is added."""


class Problem(NamedTuple):
    """Why a layer cannot be written, and what can be done."""

    path: str
    layer: Layer
    reason: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.path}, {self.layer!r}: {self.reason}. {self.way_out}"


FORWARD_ALONE = "Use a cell that reads forward alone"
TOO_LARGE = "Make the model smaller"
REFUSED = {
    Bidirectional: ("it reads the sequence from its end too, which a step does not know", FORWARD_ALONE),
    Zoneout: ("it mixes the states at inference too", "Train with DropConnect or LockedDropout in its place"),
    EncoderDecoder: ("it reads a whole sequence before it writes one", "Export its encoder, model.encoder"),
    ManyToOne: ("it pools over a whole sequence", "Export model.encoder, and a Sequential of model.layers"),
}
"""The layers of the package that many would like to export; the others, such as decoders with attention, say `OWN`."""
OWN = (
    "no C is known for a layer of this class, or its step is not that of the built-in class",
    "Build the model from RNNCell, LSTMCell, GRUCell, LayerNormLSTMCell, Linear and the like",
)


def plan(call: str, model: Any) -> tuple[Operation, ...]:
    """The operations of one step of `model`.

    Raises:
        TypeError: `model` is not a layer.
        ValueError: a layer cannot be written in C, or a weight is not finite in float32; all of them are named.
    """
    if not isinstance(model, Layer):
        raise TypeError(f"{call}: model must be a layer, such as a Sequential, not a {type(model).__name__}")
    reader = _Reader(getattr(model, "in_size", None))
    operations = tuple(reader.read(model, ""))
    if not reader.problems and reader.one_hot:
        reader.refuse(
            "the last layer", reader.one_hot, "its one-hot rows are never made dense", "Put a Linear after it"
        )
    if reader.problems:
        lines = "".join(f"\n  {problem}" for problem in reader.problems)
        raise ValueError(f"{call}: this model cannot be written:{lines}")
    if not operations:
        raise ValueError(f"{call}: {model!r} does nothing at inference; give a model with a layer that computes")
    return operations


def all_operations(operations: tuple[Operation, ...]) -> Iterator[Operation]:
    """The operations with those inside of others."""
    for operation in operations:
        yield operation
        yield from all_operations(operation.inside)


class _Reader:
    """Walks the layers in the order of the step; it knows how many features come, and notes every problem."""

    def __init__(self, in_size: int | None) -> None:
        self.size = in_size
        self.first = True
        self.one_hot: Layer | None = None
        self.problems: list[Problem] = []
        self.bytes = 0

    def read(self, layer: Layer, path: str) -> Iterator[Operation]:
        kind = next((kind for kind in type(layer).__mro__ if kind in _READERS), None)
        method = "step_forward" if isinstance(layer, Recurrent) else "forward"
        if kind is None or not runs(layer, getattr(kind, method)):
            known = next((texts for refused, texts in REFUSED.items() if isinstance(layer, refused)), OWN)
            self.refuse(path, layer, *known)
            self.size, self.one_hot, self.first = getattr(layer, "out_size", None) or self.size, None, False
            return
        yield from _READERS[kind](self, layer, path)

    def refuse(self, path: str, layer: Layer, reason: str, way_out: str) -> None:
        self.problems.append(Problem(path or "model", layer, reason, way_out))

    def operation(
        self, kind: str, path: str, layer: Any, weights: dict[str, Array], states: dict[str, Array] | None = None
    ) -> Operation:
        """One operation that takes what comes; the layer gives `layer.out_size` features, or as many as come."""
        in_size = layer.in_size if isinstance(layer, Recurrent) or hasattr(layer, "in_size") else None
        in_size = self.size if in_size is None else in_size
        if in_size is None and not self.problems:
            self.refuse(path, layer, "no layer says how many features there are", "Put a layer with sizes before it")
        out_size = getattr(layer, "out_size", None) or in_size or 0
        self.size, self.first = out_size, False
        if self.one_hot is not None and kind not in ("linear", "rnn", "gru", "lstm", "layer_norm_lstm"):
            self.refuse(path, layer, "it takes one-hot rows, which are never made dense", "Put a cell or Linear before")
        self.one_hot = layer if kind == "one_hot" else None
        return Operation(kind, path or "model", layer, in_size or 0, out_size, weights, states or {})

    def weights(self, path: str, layer: Layer, **given: Any) -> dict[str, Array]:
        """Arrays in float32 on the host."""
        found = {}
        for name, value in given.items():
            if value is None:
                continue
            array = on_host(value.value if isinstance(value, Parameter) else value)
            self.bytes += 4 * array.size
            if self.bytes > LARGEST:
                self.refuse(path, layer, f"with it there are more than {LARGEST:,} bytes of weights", TOO_LARGE)
                return {}
            with np.errstate(over="ignore", invalid="ignore"):
                found[name] = np.asarray(array, np.float32)
            if not np.isfinite(found[name]).all():
                where = tuple(np.argwhere(~np.isfinite(found[name]))[0].tolist())
                reason = f"{name} is {array[where]} at {where}, which is not a finite number in float32"
                self.refuse(path, layer, reason, "Go back to a checkpoint before the training diverged")
        return found

    def states(self, path: str, cell: Any) -> dict[str, Array]:
        """The initial state of a cell, h or h and c; a subclass may have declared one that is learnt."""
        arrays, names = leaves(cell.initial_state(1)), ("h", "c")[: len(cell.state_sizes)]
        if [array.shape for array in arrays] != [(1, size) for size in cell.state_sizes]:
            self.refuse(path, cell, "its state is not that of the built-in class", OWN[1])
        return self.weights(path, cell, **{name: array[0] for name, array in zip(names, arrays, strict=False)})


def _in_a_row(reader: _Reader, layer: Any, path: str) -> Iterator[Operation]:
    for i, inner in enumerate(layer.layers):
        yield from reader.read(inner, f"{path}.layers.{i}".strip("."))


def _residual(reader: _Reader, layer: Any, path: str) -> Iterator[Operation]:
    in_size, known = reader.size, len(reader.problems)
    inside = tuple(_in_a_row(reader, layer, path))
    if inside:  # of layers that do nothing at inference, the sum is twice the input
        yield Operation("residual", path or "model", layer, in_size or 0, reader.size or 0, {}, {}, inside)
    elif len(reader.problems) == known:
        reader.refuse(path, layer, "its layers do nothing at inference", "Leave it out")


def _nothing(reader: _Reader, layer: Layer, path: str) -> Iterator[Operation]:
    return iter(())


def _wrapped(reader: _Reader, layer: Any, path: str) -> Iterator[Operation]:
    yield from reader.read(layer.cell, f"{path}.cell".strip("."))


def _plain(kind: str, *names: str) -> Callable[[_Reader, Any, str], Iterator[Operation]]:
    """Reads a layer without a state, with these parameters."""

    def read(reader: _Reader, layer: Any, path: str) -> Iterator[Operation]:
        weights = reader.weights(path, layer, **{name: getattr(layer, name) for name in names})
        yield reader.operation(kind, path, layer, weights)

    return read


def _tied(reader: _Reader, layer: Any, path: str) -> Iterator[Operation]:
    weights = reader.weights(path, layer, w=on_host(layer.w.value).T, b=layer.b)
    yield reader.operation("linear", path, layer, weights)


def _standardize(reader: _Reader, layer: Any, path: str) -> Iterator[Operation]:
    if not reader.first:
        reader.refuse(path, layer, "only the input of a model is standardized", "Put it first")
    weights = reader.weights(path, layer, mean=np.array(layer.mean), scale=np.array(layer.scale))
    if weights and not weights["scale"].all():
        reader.refuse(path, layer, "a scale is 0 in float32", "Give the feature in a larger unit")
    yield reader.operation("standardize", path, layer, weights)


def _cell(kind: str) -> Callable[[_Reader, Any, str], Iterator[Operation]]:
    """Reads a cell: its weights `w_x`, `w_h` and `b`, its initial state, and what else it has."""

    def read(reader: _Reader, cell: Any, path: str) -> Iterator[Operation]:
        more = {"b_h": getattr(cell, "b_h", None), "p": getattr(cell, "p", None)}
        if kind == "layer_norm_lstm":
            norms = {name: getattr(cell, name) for name in ("norm_x", "norm_h", "norm_c")}
            for name, norm in norms.items():
                if not runs(norm, LayerNorm.forward):
                    reader.refuse(f"{path}.{name}".strip("."), norm, *OWN)
            more |= {f"{name}_g": norm.g for name, norm in norms.items()} | {"norm_c_b": cell.norm_c.b}
        weights = reader.weights(path, cell, w_x=cell.w_x, w_h=cell.w_h, b=cell.b, **more)
        yield reader.operation(kind, path, cell, weights, reader.states(path, cell))

    return read


_READERS: dict[Any, Callable[[_Reader, Any, str], Iterator[Operation]]] = {
    Sequential: _in_a_row,
    Residual: _residual,
    Dropout: _nothing,
    LockedDropout: _nothing,
    DropConnect: _wrapped,
    OneHot: _plain("one_hot"),
    Embedding: _plain("embedding", "w"),
    Linear: _plain("linear", "w", "b"),
    TiedLinear: _tied,
    LayerNorm: _plain("layer_norm", "g", "b"),
    Standardize: _standardize,
    Tanh: _plain("tanh"),
    Sigmoid: _plain("sigmoid"),
    ReLU: _plain("relu"),
    Softmax: _plain("softmax"),
    RNNCell: _cell("rnn"),
    LSTMCell: _cell("lstm"),
    GRUCell: _cell("gru"),
    LayerNormLSTMCell: _cell("layer_norm_lstm"),
}
