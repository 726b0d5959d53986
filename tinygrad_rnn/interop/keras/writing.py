"""Each layer of ours as one of Keras: its class, its configuration, and its arrays by their paths in a file."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ...core.arrays import NDArray
from ...layers.dropout import Dropout
from ...layers.embedding import Embedding
from ...layers.layer_norm import LayerNorm
from ...layers.linear import Linear
from ...layers.locked_dropout import LockedDropout
from ...layers.one_hot import OneHot
from ...layers.tied_linear import TiedLinear
from ...models.bidirectional import Bidirectional
from ...models.many_to_one import ManyToOne
from ...models.sequential import Sequential
from ..gates import cell_kind, check_lstm
from .reading import ACTIVATIONS, CELL_CLASSES, MERGES, snake
from .weights import parts_of, to_arrays


def names_of(classes: list[str]) -> list[str]:
    """The names of layers in a file: their classes, numbered from the second on."""
    seen: Counter[str] = Counter()
    names = []
    for name in map(snake, classes):
        names.append(f"{name}_{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def flat(model: Any) -> tuple[list[Any], Any]:
    """The layers of a model in a row, and how steps become one, "" if they do not."""
    if isinstance(model, ManyToOne):
        return [*flat(model.encoder)[0], *model.layers], model.pool
    if type(model) is Sequential:
        return [inner for layer in model.layers for inner in flat(layer)[0]], ""
    return [model], ""


def class_of(layer: Any) -> str:
    """The class of Keras of a layer with weights."""
    kind = cell_kind(layer)
    if kind:
        return next(name for name, own in CELL_CLASSES.items() if own == kind)
    names = {Bidirectional: "Bidirectional", Embedding: "Embedding", LayerNorm: "LayerNormalization"}
    return names.get(type(layer), "Dense")


def arrays_of(layers: list[Any]) -> dict[str, NDArray[Any]]:
    """The arrays of layers by their paths in a file."""
    found: dict[str, NDArray[Any]] = {}
    with_weights = [layer for layer in layers if parts_of(layer)]
    for layer, name in zip(with_weights, names_of([class_of(layer) for layer in with_weights]), strict=True):
        for own, part in parts_of(layer).items():
            found |= {f"layers/{name}{own}/vars/{i}": np.ascontiguousarray(a) for i, a in enumerate(to_arrays(part))}
    return found


def layer_of(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """A layer as a configuration has it."""
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


def entry_of(layer: Any, dtype: str, *, sequences: bool) -> dict[str, Any]:
    """A layer as Keras configures it.

    Raises:
        ValueError: it has no counterpart.
    """
    kind = cell_kind(layer)
    if kind:
        check_lstm("Keras", layer)
        config = {"units": layer.out_size, "activation": getattr(layer, "nonlinearity", "tanh"), "use_bias": layer.bias}
        if kind != "RNN":
            config["recurrent_activation"] = "sigmoid"
        if kind == "GRU":
            config["reset_after"] = layer.reset == "after"
        return layer_of(class_of(layer), config | {"return_sequences": sequences, "dtype": dtype})
    if type(layer) is Bidirectional and cell_kind(layer.forward_cell) and cell_kind(layer.backward_cell):
        forward, backward = (entry_of(c, dtype, sequences=sequences) for c in (layer.forward_cell, layer.backward_cell))
        backward["config"]["go_backwards"] = True
        forward["config"]["name"], backward["config"]["name"] = "forward", "backward"
        merge = next(name for name, own in MERGES.items() if own == layer.merge)
        return layer_of(
            "Bidirectional", {"layer": forward, "backward_layer": backward, "merge_mode": merge, "dtype": dtype}
        )
    if type(layer) is Embedding:
        return layer_of("Embedding", {"input_dim": layer.in_size, "output_dim": layer.out_size, "dtype": dtype})
    if type(layer) in (Linear, TiedLinear):
        return layer_of("Dense", {"units": layer.out_size, "activation": "linear", "use_bias": True, "dtype": dtype})
    if type(layer) is LayerNorm:
        config = {"axis": -1, "epsilon": layer.eps, "center": layer.bias, "scale": True}
        return layer_of("LayerNormalization", config | {"dtype": dtype})
    if type(layer) in (Dropout, LockedDropout):
        return layer_of(
            "Dropout" if type(layer) is Dropout else "SpatialDropout1D", {"rate": layer.rate, "dtype": dtype}
        )
    for name, activation in ACTIVATIONS.items():
        if type(layer) is activation:
            return layer_of("Activation", {"activation": name, "dtype": dtype})
    raise ValueError(
        "Keras has no layer that computes it"
        + ("; put an Embedding whose table is the identity in its place" if type(layer) is OneHot else "")
    )
