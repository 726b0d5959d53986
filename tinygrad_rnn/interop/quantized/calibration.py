"""How large the values of a model become: of every layer, while it reads a text or a series."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...core.roles import Recurrent
from ...core.states import leaves
from ..steps import Operation


class Range(NamedTuple):
    """The largest magnitudes of an operation."""

    y: float
    inner: dict[str, float]
    """Of the arrays of its state, and of what its norms take."""


def ranges(operations: tuple[Operation, ...], xs: Any) -> tuple[dict[str, Range], Any]:
    """The ranges by path, and the outputs (T, B, H), of the operations in a row that read `xs` (T, B, D) or ids."""
    found: dict[str, Range] = {}
    for operation in operations:
        if operation.kind == "residual":
            inside, ys = ranges(operation.inside, xs)
            found |= inside
            xs = xs + ys
            found[operation.path] = Range(_largest(xs), {})
        elif isinstance(operation.layer, Recurrent):
            inner, xs = _of_cell(operation, xs)
            found[operation.path] = Range(inner["h"], inner)
        else:
            xs = operation.layer(xs)
            found[operation.path] = Range(0.0 if operation.kind == "one_hot" else _largest(xs), {})
    return found, xs


def _of_cell(operation: Operation, xs: Any) -> tuple[dict[str, float], Any]:
    cell = operation.layer
    state, ys = cell.initial_state(xs.shape[1]), []
    first = leaves(state)[0]
    most = [_largest(array) for array in leaves(state)]
    for t in range(xs.shape[0]):
        y, state = cell.step(xs[t], state)
        ys.append(y)
        most = [max(before, _largest(array)) for before, array in zip(most, leaves(state), strict=True)]
    inner = dict(zip(("h", "c"), most, strict=False))
    if operation.kind == "layer_norm_lstm":
        inner["from_x"] = max(_largest(xs[t] @ cell.w_x.value) for t in range(xs.shape[0]))
        inner["from_h"] = max(_largest(h @ cell.w_h.value) for h in (first, *ys))
    return inner, np.stack(ys)


def _largest(array: Any) -> float:
    return float(np.abs(array).max())
