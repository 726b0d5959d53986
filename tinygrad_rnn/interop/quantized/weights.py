"""Weights as whole numbers of 8 bits, with a scale for each column of a matrix: for each output."""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np

from ...core.arrays import Array, Integers
from ...core.layer import Layer
from ...layers.tied_linear import TiedLinear
from ..steps import all_operations, plan

M = TypeVar("M", bound=Layer)
MATRICES = {"w", "w_x", "w_h"}
"""The names of the parameters that are rounded."""


def round_columns(w: Array) -> tuple[Integers, Array]:
    """Whole numbers of -127 to 127 and the scale of each column, float32, with `w` nearly `whole * scale`."""
    with np.errstate(under="ignore"):
        scale = (np.abs(w).max(axis=0) / 127).astype("float32")
    scale[scale == 0] = 1
    whole = np.rint(w.astype("float64") / scale)
    return np.clip(whole, -127, 127).astype("int64"), scale


def round_weights(model: M) -> M:
    """A copy of a model with the weights that `to_c` writes with `dtype="int8_weights"`, to measure what they cost.

    Each output of a matrix has a scale, and its weights are -127 to 127 times this scale. In an `Embedding`, each id
    has a scale. Biases and the scales of `LayerNorm` stay as they are.

    Args:
        model: what `to_c` takes.

    Returns:
        A model of the same kind, on the CPU.

    Raises:
        TypeError: `model` is not a layer.
        ValueError: a layer cannot be written in C, or a weight is not finite in float32.
    """
    plan("round_weights", model)
    copied = copy.deepcopy(model).to("cpu")
    done: set[int] = set()  # a table may be used by several layers, and may be rounded once
    for operation in all_operations(plan("round_weights", copied)):
        for name in MATRICES & operation.weights.keys():
            parameter = getattr(operation.layer, name)
            if id(parameter) in done:
                continue
            done.add(id(parameter))
            by_row = operation.kind == "embedding" or isinstance(operation.layer, TiedLinear)
            w = parameter.value.astype("float32")
            whole, scale = round_columns(w.T if by_row else w)
            rounded = whole * scale
            parameter.value = rounded.T if by_row else rounded
    return copied
