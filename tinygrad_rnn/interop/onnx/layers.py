"""Each layer of a model as nodes of ONNX."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...cells.drop_connect import DropConnect
from ...core.layer import Layer
from ...layers.activation import ReLU, Sigmoid, Tanh
from ...layers.dropout import Dropout
from ...layers.embedding import Embedding
from ...layers.layer_norm import LayerNorm
from ...layers.linear import Linear
from ...layers.locked_dropout import LockedDropout
from ...layers.one_hot import OneHot
from ...layers.softmax import Softmax
from ...layers.standardize import Standardize
from ...layers.tied_linear import TiedLinear
from ...models.bidirectional import Bidirectional
from ...models.residual import Residual
from ...models.sequential import Sequential
from ...saving.safe_file import shortened
from ..gates import GATES, ONNX, PEEPHOLES, cell_kind, host, of_both_gates, reorder, split_biases
from ..torch.modules import cells_of
from .graph import Graph

_ACTIVATIONS = {Tanh: "Tanh", Sigmoid: "Sigmoid", ReLU: "Relu"}


class Run(NamedTuple):
    """What all layers of a graph share."""

    graph: Graph
    lengths: str | None
    """The name of the lengths, each at least 1, as int32; None in a step."""
    problems: list[str]
    """Layers that ONNX does not have, with the reason."""
    states: dict[str, tuple[str, int]]
    """For each final state, by the name of the cell and its own, what computes it and its size."""


def write(layer: Any, path: str, x: str, run: Run) -> str:
    """Add the nodes of a layer; gives the name of its output. In a step, x is (B, D), else (T, B, D)."""
    graph, kind = run.graph, type(layer)
    if kind in (Sequential, Residual):
        y = x
        for i, child in enumerate(layer.layers):
            y = write(child, f"{path}layers.{i}.", y, run)
        return graph.node("Add", x, y) if kind is Residual else y
    if kind is DropConnect:  # the cell itself at inference
        return write(layer.cell, f"{path}cell.", x, run)
    if cell_kind(layer) or (kind is Bidirectional and _alike(layer)):
        return _recurrent(layer, path, x, run)
    if kind in (Dropout, LockedDropout):
        return x
    if kind in _ACTIVATIONS:
        return graph.node(_ACTIVATIONS[kind], x)
    if kind is Softmax:
        return graph.node("Softmax", x, axis=-1)
    if kind is Embedding:
        return graph.node("Gather", graph.constant(host(layer.w)), x)
    if kind is OneHot:
        values = graph.constant(np.array([0, 1], graph.dtype))
        return graph.node("OneHot", x, graph.constant(np.array(layer.vocab_size)), values, axis=-1)
    if kind in (Linear, TiedLinear):
        w = host(layer.w) if kind is Linear else host(layer.w).T
        return graph.node("Add", graph.node("MatMul", x, graph.constant(w)), graph.constant(host(layer.b)))
    if kind is LayerNorm:
        parameters = [graph.constant(host(p)) for p in (layer.g, layer.b) if p is not None]
        return graph.node("LayerNormalization", x, *parameters, axis=-1, epsilon=layer.eps)
    if kind is Standardize and layer.gaps == "refuse":
        centred = graph.node("Sub", x, graph.constant(layer.mean, graph.dtype))
        return graph.node("Div", centred, graph.constant(layer.scale, graph.dtype))
    run.problems.append(f"{path.rstrip('.') or 'the model'}, {shortened(layer, 100)}: {_reason(layer)}")
    return x


def _alike(layer: Any) -> bool:
    """Whether the two cells are one node of ONNX, whatever is done with their outputs."""
    return cells_of(Bidirectional(layer.forward_cell, layer.backward_cell)) is not None


def _reason(layer: Layer) -> str:
    if type(layer) is Bidirectional:
        return "ONNX reads in both directions with two RNN, LSTM or GRU cells of one kind, size and options alone"
    if type(layer) is Standardize:
        return 'only with gaps="refuse" does it compute what ONNX has; fill gaps before'
    return "ONNX has no operator that computes it; take another layer, or export the parts before and after it"


def _recurrent(layer: Any, path: str, x: str, run: Run) -> str:
    """A cell, or two in both directions, as one node RNN, LSTM or GRU."""
    graph = run.graph
    both = type(layer) is Bidirectional
    cells = [layer.forward_cell, layer.backward_cell] if both else [layer]
    paths = [f"{path}forward_cell.", f"{path}backward_cell."] if both else [path]
    kind, first = cell_kind(cells[0]) or "", cells[0]
    gates = GATES[kind], ONNX[kind]
    w, r, b, p = [], [], [], []
    for cell in cells:
        w.append(reorder(of_both_gates(cell, cell.w_x), *gates).T)
        r.append(reorder(of_both_gates(cell, cell.w_h), *gates).T)
        if cell.bias:
            b.append(np.concatenate([reorder(bias, *gates) for bias in split_biases(cell)]))
        if getattr(cell, "peepholes", False):
            p.append(reorder(of_both_gates(cell, cell.p), *PEEPHOLES))
    options: dict[str, Any] = {"hidden_size": first.out_size, "direction": "bidirectional" if both else "forward"}
    if kind == "GRU":
        options["linear_before_reset"] = int(first.reset == "after")
    if getattr(first, "nonlinearity", "tanh") == "relu":
        options["activations"] = ["Relu"] * len(cells)
    if getattr(first, "coupled", False):
        options["input_forget"] = 1
    names = ("h", "c")[: len(first.state_sizes)]
    step = run.lengths is None
    given = [graph.input(f"{path}{name}", None, ["B", first.out_size]) for name in names] if step else []
    zero = graph.ints(0) if step else ""
    states = [graph.node("Unsqueeze", name, zero) for name in given]
    xs = graph.node("Unsqueeze", x, zero) if step else x
    w_in, r_in, b_in, p_in = (graph.constant(np.stack(arrays)) if arrays else "" for arrays in (w, r, b, p))
    inputs = [xs, w_in, r_in, b_in, run.lengths or "", *(states or ([""] * len(names) if p_in else [])), p_in]
    while not inputs[-1]:  # what is absent at the end is left out
        inputs.pop()
    ys, *final = graph.outputs_of(kind, 1 + len(names), *inputs, **options)
    for i, where in enumerate(paths):  # in the order of our states
        for name, array in zip(names, final, strict=True):
            one = graph.node("Gather", array, graph.constant(np.array(i)), axis=0)
            run.states[f"{where}{name}"] = one, first.out_size
    if step:
        return graph.node("Squeeze", ys, graph.ints(0, 1))
    if not both:
        return graph.node("Squeeze", ys, graph.ints(1))
    if layer.merge == "concat":
        return graph.node("Reshape", graph.node("Transpose", ys, perm=[0, 2, 1, 3]), graph.ints(0, 0, -1))
    if layer.merge == "sum":
        return graph.node("ReduceSum", ys, graph.ints(1), keepdims=0)
    return graph.node("ReduceMean" if layer.merge == "mean" else "ReduceProd", ys, axes=[1], keepdims=0)
