"""The layers of a model that are modules of PyTorch, and the weights of modules written into them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...cells.zoneout import Zoneout
from ...core.arrays import Array
from ...core.layer import Layer, parts
from ...core.parameter import Parameter
from ...saving.safe_file import shortened
from ..filling import Weight, fill, refuse_all
from .modules import is_module, to_weights


def units_of(model: Layer) -> tuple[dict[str, Any], list[str]]:
    """The layers that are modules, by dotted name, in the order of their parameters; and parameters outside of any."""
    units: dict[str, Any] = {}
    problems: list[str] = []
    seen: set[int] = set()

    def walk(layer: Layer, path: str) -> None:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        if is_module(layer):
            units[path] = layer
            seen.update(map(id, layer.parameters()))
            return
        title = f"{path or 'the model'}, {shortened(layer, 100)}"
        if type(layer) is Zoneout:
            problems.append(f"{title}: it mixes old and new states at inference too, which no module of PyTorch does")
        for name, part in parts(layer):
            inner = f"{path}.{name}" if path else name
            if isinstance(part, Layer):
                walk(part, inner)
            elif isinstance(part, Parameter) and id(part) not in seen:
                problems.append(
                    f"{title}: PyTorch has no module like it; write it there yourself, and copy its weights"
                )
                return

    walk(model, "")
    return units, problems


def fill_model(
    call: str, model: Layer, found: dict[str, dict[str, Array]], given: list[Any] | None, ordered: bool
) -> None:
    """Write the arrays of modules into the layers of a model; all or none."""
    units, problems = units_of(model)
    if given is not None and not all(isinstance(item, str) for item in given):
        raise ValueError(f"{call}: with model=, layers holds names alone; the layers between them are in the model")
    names = given or (list(found) if ordered and found.keys() != units.keys() else list(units))
    if len(names) != len(units):
        listed = "; ".join(f"{path or 'itself'} {layer!r}" for path, layer in units.items())
        raise ValueError(
            f"{call}: there are {len(names)} modules ({shortened(', '.join(names))}), but {len(units)} layers of the "
            f"model have weights: {shortened(listed)}. Name those that belong to them by layers="
        )
    if missing := [name for name in names if name not in found]:
        raise ValueError(
            f"{call}: there are no modules {shortened(', '.join(missing))}, but {shortened(', '.join(found))}. Name "
            "the module of each layer by layers="
        )
    weights: list[Weight] = []
    for name, (path, layer) in zip(names, units.items(), strict=True):
        try:
            weights += to_weights(layer, found[name])
        except ValueError as error:
            problems.append(f"{path or 'the model'}, {shortened(layer, 100)}, from {name or 'the module'}: {error}")
    first: dict[int, Weight] = {}
    for weight in weights:  # a table that is tied stands in a file twice
        other = first.setdefault(id(weight.parameter), weight)
        if not np.array_equal(other.array, weight.array, equal_nan=True):
            problems.append("a parameter is shared in the model, but there are two arrays for it, which differ")
    refuse_all(call, problems, "the arrays are not those of the model:")
    fill(weights)
