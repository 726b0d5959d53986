"""Each node of ONNX as a layer of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.arrays import NDArray
from ...core.layer import Layer
from ...layers.activation import ReLU, Sigmoid, Tanh
from ...layers.embedding import Embedding
from ...layers.layer_norm import LayerNorm
from ...layers.linear import Linear
from ...models.bidirectional import Bidirectional
from ...saving.safe_file import shortened
from ..filling import FLOATS, Weight, undrawn
from ..gates import CELLS, GATES, ONNX, PEEPHOLES, join_biases, of_forget_gate, reorder

ACTIVATIONS = {"Tanh": Tanh, "Sigmoid": Sigmoid, "Relu": ReLU}
RECURRENT = ("RNN", "LSTM", "GRU")
_USUAL = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
Made = tuple[Any, list[Weight]]
"""A layer, and what belongs into it."""


def attributes(node: Any) -> dict[str, Any]:
    """The attributes of a node that are numbers, texts or lists of them."""
    found: dict[str, Any] = {}
    for a in node.attribute:
        kinds = {a.FLOAT: "f", a.INT: "i", a.STRING: "s", a.FLOATS: "floats", a.INTS: "ints", a.STRINGS: "strings"}
        value = getattr(a, kinds[a.type]) if a.type in kinds else None
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            value = [item.decode(errors="replace") if isinstance(item, bytes) else item for item in value]
        found[a.name] = value
    return found


def recurrent(node: Any, given: list[NDArray[Any] | None]) -> Made:
    """The cell of a node RNN, LSTM or GRU, or a `Bidirectional` with two.

    Args:
        node: the node.
        given: its constant inputs, None for others: W and R at 1 and 2, B at 3, the peepholes P at 7. Where input and
            forget gate are coupled, the weights of the forget gate are ignored, as ONNX Runtime does: f = 1 - i.

    Raises:
        ValueError: it computes what no cell does, or its weights do not fit; the message says all that is wrong.
    """
    kind, options = node.op_type, attributes(node)
    wrong: list[str] = []
    direction = options.get("direction", "forward")
    count = 2 if direction == "bidirectional" else 1
    activations = options.get("activations") or _USUAL[kind] * count
    usual, names = _USUAL[kind] * count, [name.title() for name in activations]
    relu = kind == "RNN" and names == ["Relu"] * count
    if not relu and names != usual:
        wrong.append(f"its activations are {shortened(activations, 80)}, where {', '.join(usual)} was expected")
    if direction not in ("forward", "bidirectional"):
        wrong.append(f"it reads in the direction {shortened(direction, 20)!r} alone; make it bidirectional")
    if options.get("clip") is not None:
        wrong.append("it clips the sums of its gates; train without clip")
    w, r, b, p = (given[i] if i < len(given) else None for i in (1, 2, 3, 7))
    absent = [not name for name in node.input] + [True] * 8
    if w is None or r is None or (b is None and not absent[3]) or (p is None and not absent[7]):
        raise ValueError("; ".join([*wrong, "its weights are computed, where constants were expected"]))
    gates = len(GATES[kind])
    hidden = r.shape[-1] if r.ndim == 3 else 0
    shapes = {"W": (w, (count, gates * hidden, *w.shape[2:3])), "R": (r, (count, gates * hidden, hidden))}
    if b is not None:
        shapes["B"] = b, (count, 2 * gates * hidden)
    if p is not None:
        shapes["P"] = p, (count, 3 * hidden)
    wrong += [
        f"{n} is {a.shape}, expected {shape}" for n, (a, shape) in shapes.items() if a.shape != shape or not a.size
    ]
    wrong += _not_floats({name: array for name, (array, _) in shapes.items()})
    if options.get("hidden_size", hidden) != hidden:
        wrong.append(f"hidden_size is {options['hidden_size']}, but R is {r.shape}")
    if wrong:
        raise ValueError("; ".join(wrong))
    settings: dict[str, Any] = {"bias": b is not None} | ({"nonlinearity": "relu"} if relu else {})
    if kind == "LSTM":
        settings |= {"peepholes": p is not None, "coupled": bool(options.get("input_forget", 0))}
    if kind == "GRU":
        settings["reset"] = "after" if options.get("linear_before_reset", 0) else "before"
    cells, weights = [], list[Weight]()
    for i in range(count):
        cell = undrawn(CELLS[kind], w.shape[2], hidden, dtype=w.dtype, **settings)
        found = {name: reorder(a[i].T, ONNX[kind], GATES[kind]) for name, a in (("w_x", w), ("w_h", r))}
        if b is not None:
            halves = [reorder(half, ONNX[kind], GATES[kind]) for half in np.split(b[i], 2)]
            found |= join_biases(kind, halves[0], halves[1], reset=settings.get("reset", "after"))
        if p is not None:
            found["p"] = reorder(p[i], *PEEPHOLES[::-1])
        if settings.get("coupled"):
            found = {name: of_forget_gate(array, hidden) for name, array in found.items()}
        weights += [Weight(getattr(cell, name), array) for name, array in found.items()]
        cells.append(cell)
    return (Bidirectional(*cells) if count == 2 else cells[0]), weights


def linear(w: NDArray[Any], b: NDArray[Any] | None = None) -> Made:
    """A `Linear` with w (in, out)."""
    wrong = _not_floats({"its matrix": w} | ({} if b is None else {"its bias": b}))
    if w.ndim != 2 or not w.size or (b is not None and b.shape not in ((w.shape[1],), (1, w.shape[1]))):
        wrong.append(
            f"its arrays are {w.shape}" + ("" if b is None else f" and {b.shape}") + ", not (in, out) and (out,)"
        )
    if wrong:
        raise ValueError("; ".join(wrong))
    layer = undrawn(Linear, *w.shape, dtype=w.dtype)
    return layer, [Weight(layer.w, w), Weight(layer.b, np.zeros(w.shape[1], w.dtype) if b is None else b.reshape(-1))]


def embedding(table: NDArray[Any]) -> Made:
    """An `Embedding`."""
    wrong = _not_floats({"its table": table})
    if table.ndim != 2 or not table.size:
        wrong.append(f"its table is {table.shape}, not (ids, features)")
    if wrong:
        raise ValueError("; ".join(wrong))
    layer = undrawn(Embedding, *table.shape, dtype=table.dtype)
    return layer, [Weight(layer.w, table)]


def layer_norm(scale: NDArray[Any], bias: NDArray[Any] | None, eps: float) -> Made:
    """A `LayerNorm` over the last axis."""
    wrong = _not_floats({"its scale": scale} | ({} if bias is None else {"its bias": bias}))
    if scale.ndim != 1 or not scale.size or (bias is not None and bias.shape != scale.shape):
        wrong.append(f"its scale is {scale.shape}, where one axis, the last, was expected, and a bias like it")
    if wrong:
        raise ValueError("; ".join(wrong))
    layer: Layer = LayerNorm(len(scale), eps=eps, bias=bias is not None).to(dtype=scale.dtype)
    parameters = layer.parameters()
    return layer, [Weight(p, a) for p, a in zip(parameters, [scale] if bias is None else [scale, bias], strict=True)]


def _not_floats(arrays: dict[str, NDArray[Any]]) -> list[str]:
    return [
        f"{name} is {a.dtype}, where {' or '.join(FLOATS)} was expected"
        for name, a in arrays.items()
        if str(a.dtype) not in FLOATS
    ]
