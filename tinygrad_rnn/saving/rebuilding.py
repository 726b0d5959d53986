"""A model made again from the content of a file: its layers, what they share, its random streams and its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np

from ..core.arguments import is_generator
from ..core.arrays import Array
from ..core.filling import Filling
from ..core.layer import Layer, places
from ..core.parameter import Parameter
from .architecture import check_places, decode
from .safe_file import shortened

_STREAMS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
"""The bit generators of NumPy."""


def rebuild(
    content: dict[str, Any], known: dict[str, type], shapes: Mapping[str, tuple[int, ...]], *, outline: bool
) -> tuple[Layer, Any]:
    """The model and the tokenizer that a file describes, with random streams as they were, but without weights.

    Args:
        content: what `save` describes, or what somebody made up.
        known: the classes by name.
        shapes: the shapes of the parameters in the file, by name.
        outline: whether the parameters get no memory; to see whether they have these shapes.

    Raises:
        ValueError: the model cannot be made, or has other parameters.
        RecursionError: its layers are nested too deeply.
    """
    most = max(sum(map(math.prod, shapes.values())), 2**20)  # that many take no time, and a class may need a few
    parts: list[Any] = []
    check_places(content["model"], content["tokenizer"])
    model, tokenizer = (decode(content[name], known, parts, Filling(outline, most)) for name in ("model", "tokenizer"))
    if not isinstance(model, Layer):
        raise ValueError(f"A {type(model).__name__} stands where the model was expected")
    tie(model, content["tied"])
    check_shapes(model, shapes)
    for name, stream in model.generators().items():
        _set_stream(model, name, stream, content["generators"])
    return model, tokenizer


def _set_stream(model: Layer, name: str, stream: Any, states: Any) -> None:
    """Put the random stream of this name into its state."""
    match states.get(name):
        case {"bit_generator": str(kind)} as state if kind in _STREAMS:
            if type(stream.bit_generator).__name__ != kind:  # a layer may make its own
                stream = np.random.Generator(getattr(np.random, kind)(0))
                put(model, name, stream)
            try:
                stream.bit_generator.state = state
            except (TypeError, ValueError, LookupError, OverflowError) as error:
                raise ValueError(
                    f"The random stream {name} is not in a state of a {kind}: {shortened(error)}"
                ) from error
        case other:
            raise ValueError(f"The random stream {name} is {shortened(repr(other))}, where a state was expected")


def tied(model: Layer) -> dict[str, str]:
    """The other names of each parameter and random stream that is shared, mapped to its first name."""
    first: dict[int, str] = {}
    return {name: first[id(part)] for name, part in _owned(model).items() if first.setdefault(id(part), name) != name}


def tie(model: Layer, names: dict[str, str]) -> None:
    """Tie again what `tied` found; most layers have already tied their parameters themselves.

    Raises:
        ValueError: two parameters to be tied differ in shape, or one is to be tied to a random stream.
    """
    owned = _owned(model)
    for name, first in names.items():
        if name in owned and first in owned and owned[name] is not owned[first]:
            here, there = (f"{getattr(owned[key], 'shape', 'a stream')}" for key in (name, first))
            if here != there:
                raise ValueError(f"The file ties {name} {here} to {first} {there}, which is of another shape")
            put(model, name, owned[first])


def put(model: Layer, name: str, part: Any) -> None:
    """Put a parameter or random stream in the place of the one of this name.

    Raises:
        ValueError: it is an item of a tuple, which cannot be replaced.
    """
    *path, attribute = name.split(".")
    owner = reduce(lambda o, key: o[int(key)] if isinstance(o, (tuple, list)) else getattr(o, key), path, model)
    if isinstance(owner, tuple):
        raise ValueError(f"{name}, which is shared, is an item of a tuple, where it cannot be put again: keep a list")
    if isinstance(owner, list):
        owner[int(attribute)] = part
    else:
        setattr(owner, attribute, part)


def _owned(model: Layer) -> dict[str, Any]:
    """The parameters and random streams, each with all of its names."""
    return dict(places(model, lambda value: isinstance(value, Parameter) or is_generator(value)))


def check_shapes(model: Layer, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The parameters of `model` must have these names and shapes.

    Raises:
        ValueError: they have not; the message lists all differences.
    """
    parameters = dict(model.named_parameters())
    wrong = [f"{name} {p.shape} is missing" for name, p in parameters.items() if name not in shapes]
    wrong += [f"{name} {shape} is unexpected" for name, shape in shapes.items() if name not in parameters]
    for name in parameters.keys() & shapes.keys():
        here, there = parameters[name].shape, shapes[name]
        wrong += [f"{name} is {there}, expected {here}"] if here != there else []
    if wrong:
        raise ValueError(
            f"The parameters in the file are not those of its classes: {shortened('; '.join(sorted(wrong)), 4000)}. "
            "Give the classes as they were when it was saved"
        )


def fill(model: Layer, tensors: dict[str, Array]) -> None:
    """Move a model to the CPU and to the dtype of the tensors, and write them into its parameters by name."""
    if tensors:
        model.to("cpu", next(iter(tensors.values())).dtype)
    for name, parameter in model.named_parameters():
        parameter.value = tensors[name]
