"""The numbered arrays of each layer of Keras, and the parameters of ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.arrays import Array, NDArray
from ...layers.embedding import Embedding
from ...layers.layer_norm import LayerNorm
from ...layers.linear import Linear
from ...layers.tied_linear import TiedLinear
from ...models.bidirectional import Bidirectional
from ..filling import Weight
from ..gates import GATES, KERAS, cell_kind, check_lstm, host, join_biases, reorder, split_biases


def parts_of(layer: Any) -> dict[str, Any]:
    """What has arrays of its own in a layer, by its path there: cells, or the layer itself."""
    if type(layer) is Bidirectional:
        return {"/forward_layer/cell": layer.forward_cell, "/backward_layer/cell": layer.backward_cell}
    if cell_kind(layer):
        return {"/cell": layer}
    return {"": layer} if type(layer) in (Embedding, Linear, TiedLinear, LayerNorm) else {}


def to_arrays(part: Any) -> list[Array]:
    """The arrays of Keras of a part, in the order of their numbers.

    Raises:
        ValueError: it is a cell that Keras has not.
    """
    check_lstm("Keras", part)
    kind = cell_kind(part)
    if kind:
        gates = GATES[kind], KERAS[kind]
        weights = [reorder(host(part.w_x), *gates), reorder(host(part.w_h), *gates)]
        if part.b is None:
            return weights
        b, b_h = (reorder(bias, *gates) for bias in split_biases(part))
        return [*weights, np.stack([b, b_h]) if getattr(part, "b_h", None) is not None else b]
    if type(part) is LayerNorm:
        return [host(p) for p in (part.g, part.b) if p is not None]
    if type(part) is Embedding:
        return [host(part.w)]
    return [host(part.w) if type(part) is Linear else host(part.w).T, host(part.b)]


def to_weights(part: Any, arrays: list[NDArray[Any]], path: str) -> list[Weight]:
    """Where arrays belong in a part; a bias that is missing at the end is one of zeros.

    Raises:
        ValueError: their shapes differ from those of the part.
    """
    expected = [array.shape for array in to_arrays(part)]
    if len(arrays) == len(expected) - 1 and type(part) is not LayerNorm and getattr(part, "b", None) is not None:
        arrays = [*arrays, np.zeros(expected[-1], arrays[0].dtype)]
    found = [array.shape for array in arrays]
    if found != expected:
        raise ValueError(f"the arrays of {path} are {found}, expected {expected}")
    kind = cell_kind(part)
    if kind:
        w_x, w_h, *biases = (reorder(array, KERAS[kind], GATES[kind]) for array in arrays)
        found_parameters = {"w_x": w_x, "w_h": w_h}
        for bias in biases:
            b, b_h = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
            found_parameters |= join_biases(kind, b, b_h, reset=getattr(part, "reset", "before"))
        return [Weight(getattr(part, name), array) for name, array in found_parameters.items()]
    if type(part) is LayerNorm:
        return [Weight(p, a) for p, a in zip(part.parameters(), arrays, strict=True)]
    weights = [Weight(part.w, arrays[0].T if type(part) is TiedLinear else arrays[0])]
    return weights + ([Weight(part.b, arrays[1])] if len(arrays) > 1 else [])
