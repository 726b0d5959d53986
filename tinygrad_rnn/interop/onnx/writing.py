"""Models as files of ONNX."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ...core.files import as_path, check_target, replacing
from ...core.layer import Layer
from ...core.roles import Recurrent
from ...models.many_to_one import ManyToOne
from ...saving.safe_file import shortened
from ..extras import missing
from ..filling import refuse_all
from .graph import Graph
from .layers import Run, write

_OPSET, _IR = 17, 8
"""Of 2022, which every runtime reads."""
_MOST_BYTES = 2**31 - 2**20


def to_onnx(model: Layer, path: str | os.PathLike[str], *, step: bool = False, softmax: bool = False) -> None:
    """Write a model to a file of ONNX: the whole sequence, or one step with its state, for streaming.

    The sequence has the inputs `x` (T, B, D), or ids (T, B) as int64, and `lengths` (B,), int32; B may be any number,
    and T any number from 1 on. The outputs are `y` and the final states. What is past the end of a row does not matter,
    and its output is 0. Some runtimes refuse a length of 0, so inside the graph such a row has one step, whose result
    is discarded. The initial state is 0. ONNX Runtime computes recurrent layers only in float32, so convert a float64
    model first.

    A step has the inputs `x` (B, D), or ids (B,), and a state for each cell, such as `layers.1.h`; its outputs are `y`
    and the next states, `layers.1.h.next`. Begin with zeros.

    Args:
        model: a `Recurrent` or a `ManyToOne`. Built of RNN, LSTM and GRU cells, `Bidirectional` with two cells of one
            kind, `Sequential`, `Residual`, `DropConnect`, `Embedding`, `OneHot`, `Linear`, `TiedLinear`, `LayerNorm`,
            `Standardize`, activations, `Softmax`, and dropout, which does nothing at inference.
        path: the file; an existing one is replaced.
        step: whether to write one step.
        softmax: whether the last output goes through a softmax.

    Raises:
        ImportError: the package `onnx` is missing; the message has the line that installs it.
        TypeError: an argument is of the wrong class.
        ValueError: layers have no counterpart in ONNX (the message lists them, and why), `step` is True for a model
            that has none, or the model is larger than a file of ONNX can be. No file is changed.
        OSError: it could not be written.
    """
    where = as_path(path, "to_onnx")
    call = f"to_onnx({where!r})"
    if not isinstance(model, (Recurrent, ManyToOne)):
        raise TypeError(
            f"{call}: model is a {type(model).__name__}, where a Recurrent or a ManyToOne was expected; of others, "
            "such as an EncoderDecoder, write the parts one by one"
        )
    for name, value in (("step", step), ("softmax", softmax)):
        if not isinstance(value, bool):
            raise TypeError(f"{call}: {name} must be True or False, not {value!r:.80}")
    check_target(where, call)
    encoder: Any = model.encoder if isinstance(model, ManyToOne) else model
    if step and not (encoder.causal and getattr(model, "pool", "last") == "last"):
        raise ValueError(
            f"{call}: {shortened(model, 200)} has no step, for it needs the whole row; leave out step=True"
        )
    try:
        import onnx
    except ImportError as error:
        raise missing("onnx", "onnx", call) from error
    graph = Graph(onnx, model.dtype)
    sequence = ["B"] if step else ["T", "B"]
    dtype, shape = (np.int64, sequence) if model.takes_ids else (None, [*sequence, model.in_size or "D"])
    x = graph.input("x", dtype, shape)
    problems: list[str] = []
    states: dict[str, tuple[str, int]] = {}
    if step:
        y = write(encoder, "encoder." if encoder is not model else "", x, Run(graph, None, problems, states))
    else:
        rows = _Rows(graph, x)
        x = rows.clear(x, features=not model.takes_ids, zero=graph.constant(np.zeros((), dtype or graph.dtype)))
        y = write(encoder, "encoder." if encoder is not model else "", x, Run(graph, rows.some, problems, states))
        states = {name: (rows.begun(state), size) for name, (state, size) in states.items()}
        y = rows.pool(model, y, problems) if encoder is not model else y
    for i, layer in enumerate(model.layers if isinstance(model, ManyToOne) else ()):
        y = write(layer, f"layers.{i}.", y, Run(graph, None, problems, {}))
    y = graph.node("Softmax", y, axis=-1) if softmax else y
    refuse_all(call, problems, "these layers cannot be written:")
    if not step and encoder is model:
        y = rows.clear(y, features=True, zero=graph.number(0))
    graph.output("y", y, [*(sequence if encoder is model else ["B"]), model.out_size or "H"])
    for name, (state, size) in states.items():
        graph.output(f"{name}.next", state, ["B", size])
    if graph.size > _MOST_BYTES:
        raise ValueError(
            f"{call}: the weights take {graph.size:,} bytes, but a file of ONNX holds up to 2 GiB; export parts"
        )
    helper = onnx.helper
    made = helper.make_graph(graph.nodes, "model", graph.inputs, graph.outputs, graph.constants)
    opsets = [helper.make_opsetid("", _OPSET)]
    data = helper.make_model(
        made, producer_name="tinygrad_rnn", ir_version=_IR, opset_imports=opsets
    ).SerializeToString()
    with replacing(where, call) as file:
        file.write(data)


class _Rows:
    """Where the rows of a batch end, as nodes."""

    def __init__(self, graph: Graph, x: str) -> None:
        self.graph = graph
        lengths = graph.input("lengths", np.int32, ["B"])
        self.some = graph.node("Max", lengths, graph.constant(np.array(1, np.int32)))
        """The lengths, at least 1."""
        self.lengths = graph.node("Cast", lengths, to=graph.kind(np.int64))
        steps = graph.node("Gather", graph.node("Shape", x), graph.constant(np.array(0)))
        times = graph.node("Range", graph.constant(np.array(0)), steps, graph.constant(np.array(1)))
        self.times = graph.node("Unsqueeze", times, graph.ints(1))
        self.active = graph.node("Less", self.times, self.lengths)

    def clear(self, x: str, *, features: bool, zero: str) -> str:
        """X with `zero` past the end of each row."""
        graph = self.graph
        mask = graph.node("Unsqueeze", self.active, graph.ints(2)) if features else self.active
        return graph.node("Where", mask, x, zero)

    def begun(self, state: str) -> str:
        """A final state (B, H); that of a row without a step is the initial one, 0."""
        graph = self.graph
        some = graph.node("Greater", self.lengths, graph.constant(np.array(0)))
        return graph.node("Where", graph.node("Unsqueeze", some, graph.ints(1)), state, graph.number(0))

    def pool(self, model: Any, ys: str, problems: list[str]) -> str:
        """The outputs (T, B, D) as one vector a row, 0 where a row has no step."""
        graph = self.graph
        if model.pool == "max":
            ys = self.clear(ys, features=True, zero=graph.number(-np.inf))
            return self.begun(graph.node("ReduceMax", ys, axes=[0], keepdims=0))
        if model.pool == "mean":
            total = self._sum(self.active, ys)
            count = graph.node("Unsqueeze", graph.node("Cast", self.some, to=graph.kind()), graph.ints(1))
            return graph.node("Div", total, count)
        if model.pool == "last":
            last = graph.node("Equal", self.times, graph.node("Sub", self.lengths, graph.constant(np.array(1))))
            y = self._sum(last, ys)
            if model._backward_from is None:
                return y
            first = graph.node("And", self.active, graph.node("Equal", self.times, graph.constant(np.array(0))))
            halves = [(y, 0, model._backward_from), (self._sum(first, ys), model._backward_from, 1 << 31)]
            parts = [graph.node("Slice", a, graph.ints(i), graph.ints(j), graph.ints(1)) for a, i, j in halves]
            return graph.node("Concat", *parts, axis=1)
        problems.append(f'pool, {shortened(model.pool, 100)}: it has no counterpart; take "last", "mean" or "max"')
        return ys

    def _sum(self, mask: str, ys: str) -> str:
        """The sum over the steps (T, B) in a mask: (B, D)."""
        graph = self.graph
        chosen = graph.node("Where", graph.node("Unsqueeze", mask, graph.ints(2)), ys, graph.number(0))
        return graph.node("ReduceSum", chosen, graph.ints(0), keepdims=0)
