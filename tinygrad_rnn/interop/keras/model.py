"""A model as the configuration of Keras describes it, or one that is there and filled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...core.layer import Layer
from ...core.roles import Recurrent
from ...models.many_to_one import ManyToOne
from ...models.sequential import Sequential
from ...saving.safe_file import shortened
from ..filling import Weight, fill, refuse_all
from .file import Weights
from .reading import fill_from, makes_mask, read_layer
from .weights import parts_of
from .writing import class_of, flat, names_of


def fill_model(call: str, model: Layer, weights: Weights) -> None:
    """Write the arrays of a file into the layers of a model; all or none."""
    row = [layer for layer in flat(model)[0] if layer.parameters()]
    problems = [
        f"{shortened(layer, 100)}: Keras has no layer with such weights" for layer in row if not parts_of(layer)
    ]
    found: list[Weight] = []
    known = [layer for layer in row if parts_of(layer)]
    for layer, name in zip(known, names_of([class_of(layer) for layer in known]), strict=True):
        try:
            found += fill_from(layer, f"layers/{name}", weights)
        except ValueError as error:
            problems.append(f"{shortened(layer, 100)}: {error}")
    refuse_all(call, problems, "the arrays are not those of the model:")
    fill(found)


def build(call: str, config: Any, weights: Weights, masks: str) -> Any:
    """The model that a configuration describes."""
    layers = _configs(call, config)
    before, after, found, problems = list[Any](), list[Any](), list[Weight](), list[str]()
    pool = ""
    masked = any(makes_mask(kind, own) for kind, own in layers)
    names = names_of([kind for kind, _ in layers])
    for (kind, own), name in zip(layers, names, strict=True):
        title = f"{shortened(own.get('name', name), 80)}, {shortened(kind, 40)}"
        try:
            read = read_layer(kind, own, f"layers/{name}", weights, masks)
            if masked and read.pool == "max":
                raise ValueError("its maximum is over masked steps too, which do not count here; take the average")
            if pool and (read.pool or any(isinstance(layer, Recurrent) for layer in read.layers)):
                raise ValueError("it takes a sequence, but a layer before it gives one step alone")
        except (ValueError, TypeError) as error:
            problems.append(f"{title}: {error}")
            continue
        found += read.weights
        (after if pool else before).extend(read.layers)
        pool = pool or read.pool
    refuse_all(call, problems, "these layers cannot be read:")
    if not before:
        raise ValueError(f"{call}: there are no layers with weights")
    try:
        model: Any = Sequential(*before)
        if pool:
            model = ManyToOne(
                model if len(before) > 1 or not isinstance(before[0], Recurrent) else before[0], *after, pool=pool
            )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{call}: the layers do not fit. {error}") from error
    dtypes = {str(weight.array.dtype) for weight in found}
    if len(dtypes) > 1:
        raise ValueError(f"{call}: the weights are {' and '.join(sorted(dtypes))}; save the model in one of them")
    fill(found)
    return model


def _configs(call: str, config: Any) -> list[tuple[str, dict[str, Any]]]:
    """The class and the configuration of each layer, in their order.

    Raises:
        ValueError: the model is not a chain of layers.
    """
    kind = config.get("class_name") if isinstance(config, dict) else None
    inner = config.get("config") if isinstance(config, dict) else None
    inner = inner if isinstance(inner, dict) else {}
    layers = inner.get("layers")
    well = isinstance(layers, list) and all(isinstance(x, dict) and isinstance(x.get("config"), dict) for x in layers)
    if kind not in ("Sequential", "Functional") or not well or not isinstance(layers, list):
        raise ValueError(
            f"{call}: the model is {shortened(repr(kind), 80)}, where a Sequential, or a Functional that is a chain, "
            "was expected. Build it here, and fill it by model="
        )
    before = ""
    for layer in layers:
        name = str(layer.get("name", layer["config"].get("name")))
        if kind == "Functional" and layer.get("class_name") != "InputLayer":
            sources = _sources(layer.get("inbound_nodes"))
            if sources != {before}:
                raise ValueError(
                    f"{call}: {shortened(name, 80)} takes the output of {shortened(', '.join(sorted(sources)), 200)}, "
                    f"where {shortened(before, 80)} was expected: the model is no chain. Build it here, and "
                    "fill it by model="
                )
        before = name
    outputs = {part for part in _parts(inner.get("output_layers")) if isinstance(part, str)}
    if kind == "Functional" and outputs != {before}:
        raise ValueError(
            f"{call}: it gives the outputs of {shortened(', '.join(sorted(outputs)), 200)}, where that of the last "
            f"layer, {shortened(before, 80)}, was expected. Build it here, and fill it by model="
        )
    return [(str(layer.get("class_name")), layer["config"]) for layer in layers]


def _sources(node: Any) -> set[str]:
    """The names of layers whose outputs go into a layer."""
    histories = [part.get("keras_history") for part in _parts(node) if isinstance(part, dict)]
    return {str(history[0]) for history in histories if isinstance(history, list) and history}


def _parts(node: Any) -> Iterator[Any]:
    """All that is in nested lists and dicts, which a file may nest deeper than functions may be called."""
    left = [node]
    while left:
        part = left.pop()
        yield part
        if isinstance(part, (dict, list)):
            left += part.values() if isinstance(part, dict) else part
