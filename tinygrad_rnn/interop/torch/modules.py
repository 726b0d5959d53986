"""The arrays of one module of PyTorch, by their names in it, and the layer of ours that computes the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...core.arrays import Array
from ...core.layer import Layer
from ...layers.embedding import Embedding
from ...layers.layer_norm import LayerNorm
from ...layers.linear import Linear
from ...layers.tied_linear import TiedLinear
from ...models.bidirectional import Bidirectional
from ...models.sequential import Sequential
from ...saving.safe_file import shortened
from ..filling import Weight, undrawn
from ..gates import CELLS, GATES, TORCH, cell_kind, check_lstm, host, join_biases, reorder, split_biases

_RECURRENT = re.compile(r"(?:weight|bias)_(?:ih|hh|hr)(?:_l(\d{1,6})(_reverse)?)?")
_PLAIN = {"embedding": Embedding, "linear": Linear, "layer_norm": LayerNorm}
NONLINEARITIES = ("tanh", "relu")


class Form(NamedTuple):
    """What a module may be."""

    kind: str
    """`"RNN"`, `"LSTM"`, `"GRU"`, `"embedding"`, `"linear"` or `"layer_norm"`."""
    in_size: int
    """Features, or for an embedding the size of the vocabulary."""
    out_size: int
    suffixes: tuple[tuple[str, ...], ...] = ()
    """How the names of a recurrent module end: a tuple for each of its layers, with an entry for each direction."""
    hidden: int = 0
    """Units of a recurrent module in each direction."""


def forms(arrays: Mapping[str, Array]) -> list[Form]:
    """Everything that a module with these arrays may be: mostly one thing, but a matrix alone may be two.

    Raises:
        ValueError: it is nothing that has a counterpart; the message says why.
    """
    if all(map(_RECURRENT.fullmatch, arrays)):
        return [_recurrent_form(arrays)]
    weight, rest = arrays.get("weight"), arrays.keys() - {"weight", "bias"}
    if rest or weight is None or weight.ndim not in (1, 2):
        what = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(
            f"these arrays ({shortened(what)}) are of no module that has a counterpart here, which RNN, LSTM, GRU, "
            "their cells, Embedding, Linear and LayerNorm have"
        )
    bias = arrays.get("bias")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias is {bias.shape}, expected {weight.shape[:1]} beside weight {weight.shape}")
    if weight.ndim == 1:
        return [Form("layer_norm", len(weight), len(weight))]
    linear = Form("linear", weight.shape[1], weight.shape[0])
    return [linear] if bias is not None else [Form("embedding", *weight.shape), linear]


def _recurrent_form(arrays: Mapping[str, Array]) -> Form:
    """That of an RNN, LSTM or GRU, or of one of their cells, whose names have no number."""
    if any("_hr" in name for name in arrays):
        raise ValueError(
            "it was made with proj_size, a projection of the state that LSTMCell does not have; train it without one"
        )
    ends = {name[len("weight_ih") :] if name[0] == "w" else name[len("bias_ih") :] for name in arrays}
    layers, reverse = sum(not end.endswith("_reverse") for end in ends), any(end.endswith("_reverse") for end in ends)
    suffixes: tuple[tuple[str, ...], ...] = (("",),)
    if ends != {""}:
        suffixes = tuple((f"_l{k}", f"_l{k}_reverse")[: 1 + reverse] for k in range(layers))
    first = arrays.get(f"weight_hh{suffixes[0][0]}" if suffixes else "")
    if first is None or first.ndim != 2 or first.shape[0] not in (first.shape[1] * count for count in (1, 3, 4)):
        raise ValueError(
            f"its arrays ({shortened(', '.join(f'{n} {a.shape}' for n, a in arrays.items()))}) are those of no RNN, "
            "LSTM or GRU, whose first weight_hh has the shape (H, H), (4 H, H) or (3 H, H)"
        )
    hidden, rows = first.shape[1], first.shape[0]
    kind = {1: "RNN", 4: "LSTM", 3: "GRU"}[rows // hidden]
    start = arrays.get(f"weight_ih{suffixes[0][0]}")
    size = start.shape[1] if start is not None and start.ndim == 2 else 0
    expected: dict[str, tuple[int, ...]] = {}
    width = size
    for ends_of_layer in suffixes:
        for end in ends_of_layer:
            expected |= {f"weight_ih{end}": (rows, width), f"weight_hh{end}": (rows, hidden)}
            if any(name.startswith("bias") for name in arrays):
                expected |= {f"bias_ih{end}": (rows,), f"bias_hh{end}": (rows,)}
        width = hidden * len(ends_of_layer)
    wrong = [f"{name} {shape} is missing" for name, shape in expected.items() if name not in arrays]
    wrong += [f"{name} is one too many" for name in arrays if name not in expected]
    for name, shape in expected.items():
        if name in arrays and arrays[name].shape != shape:
            wrong.append(f"{name} is {arrays[name].shape}, expected {shape}")
    if wrong:
        raise ValueError(f"as the arrays of one {kind}, {shortened('; '.join(wrong), 1000)}")
    return Form(kind, size, hidden * len(suffixes[0]), suffixes, hidden)


def build(form: Form, arrays: Mapping[str, Array], *, nonlinearity: str, eps: float) -> Any:
    """The layer, with its weights still to be filled: a `Sequential` where a recurrent module has several layers."""
    dtype = arrays[next(iter(arrays))].dtype
    if form.kind == "layer_norm":
        return LayerNorm(form.in_size, eps=eps, bias="bias" in arrays).to(dtype=dtype)
    if form.kind in _PLAIN:
        return undrawn(_PLAIN[form.kind], form.in_size, form.out_size, dtype=dtype)
    options: dict[str, Any] = {"bias": any(name.startswith("bias") for name in arrays)}
    if form.kind == "RNN":
        options["nonlinearity"] = nonlinearity
    layers: list[Any] = []
    width = form.in_size
    for ends in form.suffixes:
        cells = [undrawn(CELLS[form.kind], width, form.hidden, dtype=dtype, **options) for _ in ends]
        layers.append(Bidirectional(*cells) if len(cells) == 2 else cells[0])
        width = form.hidden * len(cells)
    return layers[0] if len(layers) == 1 else Sequential(*layers)


def cells_of(layer: Layer) -> list[list[Any]] | None:
    """The cells of each layer of a stack, which are one RNN, LSTM or GRU of PyTorch; None for what is none."""
    if type(layer) is Sequential:
        inner = [cells_of(child) for child in layer.layers]
        stack = [cells for entry in inner if entry for cells in entry]
        first = stack[0][0] if all(inner) else None
        alike = (
            first
            and {len(cells) for cells in stack} == {len(stack[0])}
            and all(_settings(cell) == _settings(first) for cells in stack for cell in cells)
        )
        return stack if alike else None
    if type(layer) is Bidirectional and layer.merge == "concat":
        pair = [layer.forward_cell, layer.backward_cell]
        return [pair] if cell_kind(pair[0]) and _settings(pair[0]) == _settings(pair[1]) else None
    return [[layer]] if cell_kind(layer) else None


def _settings(cell: Any) -> tuple[Any, ...]:
    """What all cells of one module have in common."""
    options = ("out_size", "nonlinearity", "reset", "bias", "peepholes", "coupled")
    return type(cell), *(getattr(cell, name, None) for name in options)


def is_module(layer: Layer) -> bool:
    """Whether a layer is one module of PyTorch."""
    return type(layer) in (Embedding, Linear, LayerNorm, TiedLinear) or cells_of(layer) is not None


def to_arrays(layer: Any, *, cell_names: bool) -> dict[str, Array]:
    """The arrays of a module, by PyTorch's names in it.

    Raises:
        ValueError: PyTorch has no such module; the message says why.
    """
    stack = cells_of(layer)
    if stack is None:
        w = layer.w if hasattr(layer, "w") else layer.g
        arrays = {"weight": host(w).T if type(layer) is Linear else host(w)}
        return arrays | ({"bias": host(layer.b)} if getattr(layer, "b", None) is not None else {})
    if getattr(stack[0][0], "reset", "") == "before":
        raise ValueError('PyTorch has no GRU with reset="before"; train one with reset="after"')
    check_lstm("PyTorch", stack[0][0])
    if cell_names and (len(stack) > 1 or len(stack[0]) > 1):
        raise ValueError("it is a stack, or reads in two directions, so it is no single cell; leave out cell_names")
    return {name: array for cell, end in _ends(stack, cell_names) for name, array in _cell_arrays(cell, end).items()}


def _ends(stack: list[list[Any]], cell_names: bool) -> Iterator[tuple[Any, str]]:
    """Each cell, and how the names of its arrays end."""
    for k, cells in enumerate(stack):
        for cell, direction in zip(cells, ("", "_reverse"), strict=False):
            yield cell, "" if cell_names else f"_l{k}{direction}"


def _cell_arrays(cell: Any, end: str) -> dict[str, Array]:
    gates = GATES[cell_kind(cell) or ""], TORCH[cell_kind(cell) or ""]
    ours = {"weight_ih": host(cell.w_x).T, "weight_hh": host(cell.w_h).T}
    ours |= dict(zip(("bias_ih", "bias_hh"), split_biases(cell), strict=False))
    return {f"{name}{end}": reorder(array, *gates, axis=0) for name, array in ours.items()}


def to_weights(layer: Any, arrays: Mapping[str, Array]) -> list[Weight]:
    """Where the arrays of a module belong in a layer.

    Raises:
        ValueError: they are not those of such a layer; the message lists what differs.
    """
    cell_names = "weight_ih" in arrays
    expected = to_arrays(layer, cell_names=cell_names)
    optional = {name for name in expected if name.startswith("bias")}
    if optional.isdisjoint(arrays):
        expected = {name: array for name, array in expected.items() if name not in optional}
    wrong = [f"{name} {array.shape} is missing" for name, array in expected.items() if name not in arrays]
    wrong += [f"{name} {array.shape} is unexpected" for name, array in arrays.items() if name not in expected]
    for name in [name for name in expected if name in arrays]:
        if arrays[name].shape != expected[name].shape:
            wrong.append(f"{name} is {arrays[name].shape}, expected {expected[name].shape}")
    if wrong:
        raise ValueError("; ".join(wrong))
    stack = cells_of(layer)
    if stack is not None:
        return [w for cell, end in _ends(stack, cell_names) for w in _cell_weights(cell, arrays, end)]
    w = layer.w if hasattr(layer, "w") else layer.g
    found = [Weight(w, arrays["weight"].T if type(layer) is Linear else arrays["weight"])]
    if getattr(layer, "b", None) is not None:
        found.append(Weight(layer.b, arrays.get("bias", np.zeros(layer.b.shape, w.value.dtype))))
    return found


def _cell_weights(cell: Any, arrays: Mapping[str, Array], end: str) -> list[Weight]:
    kind = cell_kind(cell) or ""
    given = {name: arrays.get(f"{name}{end}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    ours = {n: reorder(a, TORCH[kind], GATES[kind], axis=0) for n, a in given.items() if a is not None}
    parameters = {"w_x": ours["weight_ih"].T, "w_h": ours["weight_hh"].T}
    if cell.b is not None:  # filled by a module without biases, these are zeros
        none = np.zeros(cell.b.shape, cell.b.value.dtype)
        parameters |= join_biases(kind, ours.get("bias_ih", none), ours.get("bias_hh", none))
    return [Weight(getattr(cell, name), array) for name, array in parameters.items()]
