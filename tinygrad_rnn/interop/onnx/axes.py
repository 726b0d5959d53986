"""Nodes of ONNX that arrange axes. Those are named `a` and `b`, of time and batch, `1`, `dir` and `F`, the features."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.arrays import NDArray
from ...models.bidirectional import Bidirectional
from .nodes import attributes

ARRANGING = ("Transpose", "Squeeze", "Unsqueeze", "Reshape", "ReduceSum", "ReduceMean", "ReduceProd")


def axes_after(node: Any, before: tuple[str, ...], given: list[NDArray[Any] | None], last: Any) -> tuple[str, ...]:
    """The axes after a node that only arranges them; `last` is the layer before it, None if there is none.

    Raises:
        ValueError: it does what no layer needs.
    """
    op, options, axes = node.op_type, attributes(node), list(before)
    listed = options.get("axes") if len(given) < 2 else given[1]
    if op == "Transpose":
        order = options.get("perm") or list(range(len(axes)))[::-1]
        if sorted(order) != list(range(len(axes))):
            raise ValueError("its order of axes does not fit what comes in")
        return tuple(axes[i] for i in order)
    if listed is None:
        raise ValueError("its axes or its shape are computed, where constants were expected")
    numbers = np.ravel(listed).astype(int).tolist()
    if op == "Reshape":
        if axes[-2:] == ["dir", "F"] and len(numbers) == len(axes) - 1:
            return (*axes[:-2], "F")
        raise ValueError("it does more than join two directions")
    if op == "Unsqueeze" and numbers == [0] and len(axes) < 3:
        return ("1", *axes)
    places = sorted({n % len(axes) for n in numbers}, reverse=True)
    one = last is not None and not isinstance(last, Bidirectional)
    allowed = {"dir"} if op.startswith("Reduce") else {"1", "dir"} if one else {"1"}
    if op.startswith("Reduce") and options.get("keepdims", 1):
        raise ValueError(
            "it is over features, as in a LayerNorm that an exporter took apart; a LayerNormalization is one operator "
            "from set 17 on: export with opset_version=17"
        )
    if op == "Unsqueeze":
        raise ValueError("it arranges axes in a way that no layer needs")
    for place in places:
        if axes[place] not in allowed:
            raise ValueError("it takes away an axis of time, batch, features or directions")
        del axes[place]
    return tuple(axes)
