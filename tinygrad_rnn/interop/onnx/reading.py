"""Models from files of ONNX: a chain of layers, followed from the input of the graph to its output."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from ...core.arrays import NDArray
from ...layers.one_hot import OneHot
from ...layers.softmax import Softmax
from ...layers.standardize import Standardize
from ...models.bidirectional import Bidirectional
from ...models.residual import Residual
from ...models.sequential import Sequential
from ...saving.safe_file import shortened
from ..filling import Weight, fill, refuse_all
from .axes import ARRANGING, axes_after
from .file import STANDARD, read_graph
from .nodes import ACTIVATIONS, RECURRENT, attributes, embedding, layer_norm, linear, recurrent
from .others import Others

_PASSED = ("Identity", "Dropout")
_LEAST_ROOM = 56_000_000  # bytes


class Value(NamedTuple):
    """What flows between nodes: its axes, and the layers that made it of the input."""

    axes: tuple[str, ...]
    """`a` and `b` are the first two of the input, of time and batch in any order; `1` has one entry; `dir` has the
    directions, and `F` the features."""
    layers: tuple[Any, ...] = ()
    pending: tuple[str, Any] | None = None
    """A product to which a bias may still be added, or a mean by whose deviation is still to be divided."""


def from_onnx(path: str | os.PathLike[str]) -> Any:
    """The model in a file of ONNX, as a `Sequential`.

    It reads chains of RNN, LSTM and GRU (layout 0 and 1, one or both directions), Gather as an embedding, OneHot,
    MatMul and Add or Gemm, LayerNormalization, Softmax, activations, and what `to_onnx` writes of a `Recurrent`; with
    the squeezes and transposes between them. Axes of time and batch may come in any order in the file; here they are
    (T, B, D). A GRU has its reset where `linear_before_reset` says. An LSTM may have peepholes and coupled gates, where
    f is 1 - i, as in ONNX Runtime; a recurrent layer without B has no bias.

    Args:
        path: the file. Weights in other files are not read.

    Raises:
        ImportError: the package `onnx` is missing; the message has the line that installs it.
        TypeError: `path` is not a path.
        FileNotFoundError, IsADirectoryError, PermissionError: it is not a file that can be read.
        ValueError: it is not an ONNX file, or nodes have no counterpart here: the message lists all of them.
    """
    call, graph, opset, constants, problems = read_graph(path)
    reader = _Reader(graph, opset, constants, problems)
    for node in graph.node:
        reader.read(node)
    final = reader.output(graph.output[0].name) if graph.output else None
    refuse_all(call, problems, "these nodes cannot be read:")
    if final is None or not final.layers:
        raise ValueError(
            f"{call}: its first output is not made of its input by layers alone; let it be the "
            "output of all steps, as a final state is the output of no layer"
        )
    try:
        model = Sequential(*final.layers)
    except ValueError as error:
        raise ValueError(f"{call}: its layers do not fit. {error}") from error
    dtypes = {str(p.value.dtype) for p in model.parameters()}
    if len(dtypes) > 1:
        raise ValueError(f"{call}: its weights are {' and '.join(sorted(dtypes))}; export it in one of them")
    known = set(map(id, model.parameters()))
    fill([w for w in reader.weights if id(w.parameter) in known])
    return model


class _Reader:
    """Follows what flows through a graph."""

    def __init__(self, graph: Any, opset: int, constants: dict[str, NDArray[Any]], problems: list[str]) -> None:
        self.opset, self.constants, self.problems = opset, constants, problems
        self.room = _LEAST_ROOM + 2 * sum(array.nbytes for array in constants.values())
        self.values: dict[str, Value | None] = {}
        self.weights: list[Weight] = []
        self.time: set[str] = set()
        main = [i for i in graph.input if i.name not in constants][:1]
        self.others = Others(graph, constants, {i.name for i in graph.input} - {i.name for i in main})
        for found in main:
            rank = len(found.type.tensor_type.shape.dim)
            ids = found.type.tensor_type.elem_type in (6, 7)  # int32 and int64
            axes = {(2, True): ("a", "b"), (1, True): ("b",), (3, False): ("a", "b", "F"), (2, False): ("b", "F")}
            if (rank, ids) not in axes:
                problems.append(f"the input {shortened(found.name, 80)} has {rank} axes, not time, batch and features")
            self.values[found.name] = Value(axes.get((rank, ids), ("a", "b", "F")))

    def read(self, node: Any) -> None:
        """Follow one node; what cannot be followed is a problem once, and ends there."""
        if node.op_type == "Constant":
            return
        if node.domain not in STANDARD:
            title = f"{shortened(node.domain, 80)}.{shortened(node.op_type, 80)}"
            self.problems.append(f"{title}: no operator of ONNX itself, so no layer is known that computes it")
            self.values |= dict.fromkeys(node.output)
            return
        data = [name for name in node.input if name in self.values]
        if node.op_type == "Shape" or not data:
            self.others.follow(node)
            return
        value: Value | None = None
        if all(self.values[name] is not None for name in data):
            try:
                value = self._value(node, data)
            except ValueError as error:
                title = f"{node.op_type} {shortened(node.name or node.output[0], 80)}".strip()
                self.problems.append(f"{title}: {error}")
        for name in node.output[:1]:
            self.values[name] = value

    def output(self, name: str) -> Value | None:
        """What an output of the graph is made of."""
        value = self.values.get(name)
        try:
            return self._settled(value) if value and value.pending else value
        except ValueError as error:
            self.problems.append(f"the output {shortened(name, 80)}: {error}")
            return None

    def _value(self, node: Any, data: list[str]) -> Value:
        op, x = node.op_type, self.values[data[0]]
        assert x is not None
        given = [self.constants.get(name) for name in node.input]
        others = [array for name, array in zip(node.input, given, strict=True) if name not in data]
        if op == "Add" and len(data) == 2:
            return self._residual(x, self.values[data[1]])
        if op == "Where" and len(data) == 1 and self.others.clears(node):
            return x  # clears the padding, as all layers here do
        if len(data) > 1:
            raise ValueError("it joins several paths of the graph, and a Sequential is one; build the model, and copy")
        if x.pending and not (op == "Add" and x.pending[0] == "MatMul") and not (op == "Div" and x.pending[0] == "Sub"):
            x = self._settled(x)
        if op == "Dropout" and len(given) > 2 and node.input[2] and (given[2] is None or given[2].any()):
            raise ValueError("it drops at inference too, with training_mode; export the model for inference")
        if op in _PASSED:
            return x
        if op in ARRANGING:
            axes = axes_after(node, x.axes, given, x.layers[-1] if x.layers else None)
            return x._replace(axes=axes, layers=self._merged(node, x))
        if op in RECURRENT:
            return self._recurrent(node, x, given)
        if op == "Gather" and node.input[1] in data and given[0] is not None and not attributes(node).get("axis", 0):
            return self._put(x, embedding(given[0]), added="F")
        if op == "OneHot" and given[1] is not None and given[1].size == 1 and given[2] is not None:
            if given[2].tolist() != [0, 1] or attributes(node).get("axis", -1) not in (-1, len(x.axes)):
                raise ValueError("its vectors are not 1 at the id and 0 elsewhere, along the last axis")
            return self._put(x, (OneHot(int(given[1].item())), []), added="F")
        if op == "LayerNormalization" and given[1] is not None:
            self._features_last(x)
            if attributes(node).get("axis", -1) not in (-1, len(x.axes) - 1):
                raise ValueError("it is over several axes, where the last one was expected")
            bias = given[2] if len(given) > 2 else None
            if bias is None and len(given) > 2 and node.input[2]:
                raise ValueError("its bias is computed, where a constant was expected")
            eps = float(str(np.float32(attributes(node).get("epsilon", 1e-5))))  # as it was written before rounding
            return self._put(x, layer_norm(given[1], bias, eps))
        if op in ACTIVATIONS:
            activation: Any = ACTIVATIONS[op]
            return self._put(x, (activation(), []))
        default = 1 if self.opset < 13 else -1
        if op == "Softmax" and attributes(node).get("axis", default) in (-1, len(x.axes) - 1):
            self._features_last(x)
            return self._put(x, (Softmax(), []))
        if op in ("MatMul", "Gemm", "Add", "Sub", "Div") and others and others[0] is not None:
            return self._affine(node, x, given, others[0])
        raise ValueError("there is no layer that computes it; build the model, and copy its weights")

    def _affine(self, node: Any, x: Value, given: list[NDArray[Any] | None], other: NDArray[Any]) -> Value:
        op, options = node.op_type, attributes(node)
        self._features_last(x)
        first = node.input[0] in self.values
        if op == "MatMul" and first and other.ndim == 2:
            return x._replace(pending=("MatMul", other))
        if op == "Gemm" and first and given[1] is not None and not options.get("transA") and len(x.axes) == 2:
            w = given[1].T if options.get("transB") else given[1]
            bias = given[2] if len(given) > 2 else None
            if options.get("alpha", 1.0) == options.get("beta", 1.0) == 1.0 and (
                bias is not None or len(node.input) < 3
            ):
                return self._put(x, linear(w, bias))
        if op == "Add" and x.pending:
            return self._put(x._replace(pending=None), linear(x.pending[1], other))
        if op == "Sub" and first and other.ndim == 1:
            return x._replace(pending=("Sub", other))
        if op == "Div" and first and x.pending and other.ndim == 1:
            layer = Standardize(tuple(x.pending[1].tolist()), tuple(other.tolist()))
            return self._put(x._replace(pending=None), (layer, []))
        raise ValueError("its constants do not make it a linear layer")

    def _settled(self, x: Value) -> Value:
        """A product without a bias is a Linear whose bias is 0."""
        kind, array = x.pending or ("", np.zeros(0))
        if kind == "Sub":
            raise ValueError("a mean is subtracted before it, but nothing is divided by a deviation")
        return self._put(x._replace(pending=None), linear(array))

    def _put(self, x: Value, made: tuple[Any, list[Weight]], added: str = "") -> Value:
        layer, weights = made
        if not added:
            self._features_last(x)
        self._own(weights)
        return x._replace(axes=(*x.axes, added) if added else x.axes, layers=(*x.layers, layer))

    def _own(self, weights: list[Weight]) -> None:
        """Keep the weights of a layer; a few nodes may share a constant, but not so many that a small file is huge."""
        self.room -= sum(weight.array.nbytes for weight in weights)
        if self.room < 0:
            raise ValueError("with it, the layers take far more memory than the file, whose constants they share")
        self.weights += weights

    def _features_last(self, x: Value) -> None:
        if x.axes[-1] != "F" or "dir" in x.axes:
            raise ValueError("the last axis of what comes in is not that of the features")

    def _recurrent(self, node: Any, x: Value, given: list[NDArray[Any] | None]) -> Value:
        layout = attributes(node).get("layout", 0)
        if len(x.axes) != 3 or x.axes[2] != "F" or x.axes[0] == x.axes[1]:
            raise ValueError("what comes in has not the axes of time, batch and features")
        time, batch = (x.axes[1], x.axes[0]) if layout else x.axes[:2]
        if time != "1":
            self.time.add(time)
        wrong = [f"it runs over axis {time} of the input, others over another"] if len(self.time) > 1 else []
        lengths = node.input[4] if len(node.input) > 4 else ""
        if lengths and self.others.roles.get(lengths) != "lengths":
            wrong.append("its lengths are neither an input of the graph nor made of one")
        for i in (5, 6):
            name = node.input[i] if len(node.input) > i else ""
            if name and name not in self.others.zeros | self.others.states:
                wrong.append("its initial state is neither 0 nor an input of the graph")
        try:
            made = recurrent(node, given)
        except ValueError as error:
            wrong.append(str(error))
        if wrong:
            raise ValueError("; ".join(wrong))
        self._own(made[1])
        axes = (batch, time, "dir", "F") if layout else (time, "dir", batch, "F")
        return Value(axes, (*x.layers, made[0]))

    def _merged(self, node: Any, x: Value) -> tuple[Any, ...]:
        """The layers, the last one with its outputs merged if the node does that."""
        merge = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceProd": "mul"}.get(node.op_type)
        if merge is None:
            return x.layers
        last = x.layers[-1] if x.layers else None
        if not isinstance(last, Bidirectional):
            raise ValueError("it adds up what does not come from two directions")
        return (*x.layers[:-1], Bidirectional(last.forward_cell, last.backward_cell, merge=merge))

    def _residual(self, one: Value | None, other: Value | None) -> Value:
        assert one is not None
        assert other is not None
        one, other = (self._settled(v) if v.pending else v for v in (one, other))
        short, long = sorted((one, other), key=lambda value: len(value.layers))
        n = len(short.layers)
        same = all(a is b for a, b in zip(short.layers, long.layers, strict=False))
        if not same or len(long.layers) == n or short.axes != long.axes:
            raise ValueError("it adds up paths of which none is the continuation of the other")
        return long._replace(layers=(*short.layers, Residual(*long.layers[n:])))
