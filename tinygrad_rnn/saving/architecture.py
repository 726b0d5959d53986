"""The architecture of a model as JSON, and the model rebuilt from it: classes, `config()`, tied parameters, weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any

import numpy as np

from ..core.arrays import Array
from ..core.layer import Layer, places
from ..core.parameter import Parameter
from ..data.byte_tokenizer import ByteTokenizer
from ..data.char_tokenizer import CharTokenizer
from ..data.word_tokenizer import WordTokenizer

TOKENIZERS = (ByteTokenizer, CharTokenizer, WordTokenizer)
PACKAGE = f"{__name__.partition('.')[0]}."


def _subclasses(kind: type) -> Iterator[type]:
    """Every subclass of `kind`, direct or not, that was imported."""
    below: type
    for below in kind.__subclasses__():
        yield below
        yield from _subclasses(below)


def by_name(classes: Iterable[type], call: str) -> dict[str, type]:
    """The layers and tokenizers of this package and `classes`, by name.

    Raises:
        ValueError: two classes have the same name; the message begins with `call`.
    """
    known = {
        kind.__name__: kind
        for kind in (*_subclasses(Layer), *TOKENIZERS)
        if getattr(kind, "__module__", "").startswith(PACKAGE)
    }
    for kind in classes:
        other = known.setdefault(kind.__name__, kind)
        if other is not kind:
            raise ValueError(f"{call}: {kind} and {other} have one name, but a file finds classes by name: rename one")
    return known


def to_json(value: Any, place: str) -> Any:
    """`value` itself, with tuples as lists, if JSON can hold it.

    Raises:
        TypeError: it cannot; the message begins with `place` and the path to the part that JSON cannot hold.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [to_json(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: to_json(item, f"{place}[{key!r}]") for key, item in value.items()}
    kind = "dict with a key that is not a str" if isinstance(value, dict) else type(value).__name__
    raise TypeError(
        f"{place} is a {kind}, {value!r:.60}, which JSON cannot hold. Use None, bool, int, float and str, lists of "
        "these, and dicts of them with str for keys"
    )


def encode(thing: Any, place: str, parts: list[Any]) -> dict[str, Any]:
    """A layer or tokenizer as JSON: its class and config, or if it occurred before, its number in `parts`.

    Args:
        thing: an object with a `config()`.
        place: its name in an error.
        parts: a list to which the thing and all layers in it are added.

    Raises:
        TypeError: JSON cannot hold an argument.
    """
    for number, part in enumerate(parts):
        if part is thing:
            return {"same": number}
    config = {name: _encode_argument(value, f"{place}.{name}", parts) for name, value in thing.config().items()}
    parts.append(thing)
    return {"class": type(thing).__name__, "config": config}


def _encode_argument(value: Any, place: str, parts: list[Any]) -> Any:
    """Encode one argument. Tuples and dicts are marked, so that `decode` can tell them from lists and layers."""
    if isinstance(value, Layer):
        return encode(value, place, parts)
    if isinstance(value, (list, tuple)):
        items = [_encode_argument(item, f"{place}.{i}", parts) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict):
        to_json(dict.fromkeys(value), place)  # its keys
        return {"dict": {key: _encode_argument(item, f"{place}.{key}", parts) for key, item in value.items()}}
    if isinstance(value, (np.bool_, np.integer, np.float32)):  # a size is often a NumPy integer
        return value.item()
    return to_json(value, place)


def decode(tree: Any, known: dict[str, type], parts: list[Any]) -> Any:
    """The inverse of `encode`, with classes taken from `known`; what is made is added to `parts`.

    Raises:
        ValueError: a class does not take its config.
    """
    if isinstance(tree, list):
        return [decode(item, known, parts) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "tuple" in tree:
        return tuple(decode(tree["tuple"], known, parts))
    if "dict" in tree:
        return {key: decode(item, known, parts) for key, item in tree["dict"].items()}
    if "same" in tree:
        return parts[tree["same"]]
    config = {name: decode(value, known, parts) for name, value in tree["config"].items()}
    parts.append(_make(known[tree["class"]], config))
    return parts[-1]


def _make(kind: type, config: dict[str, Any]) -> Any:
    """`kind(**config)`, where config may also name `*layers`. Any `rng` will do, because weights are overwritten."""
    try:
        signature = inspect.signature(kind)
        unknown = config.keys() - signature.parameters.keys()
        if unknown:
            raise TypeError(f"it has no argument {', '.join(sorted(unknown))}")
        arguments = signature.bind_partial()
        arguments.arguments.update(config)
        if "rng" in signature.parameters:
            arguments.arguments["rng"] = np.random.default_rng(0)
        return kind(*arguments.args, **arguments.kwargs)
    except Exception as error:  # whatever the constructor of a class raises
        raise ValueError(f"{kind.__name__} does not take {config}: {error}") from error


def tied(model: Layer) -> dict[str, str]:
    """The other names of each tied parameter, mapped to its first name."""
    first: dict[int, str] = {}
    return {name: first[id(p)] for name, p in _parameters(model) if first.setdefault(id(p), name) != name}


def tie(model: Layer, names: dict[str, str]) -> None:
    """Tie again what `tied` found; most layers have already tied their parameters themselves.

    Raises:
        ValueError: two parameters to be tied differ in shape.
    """
    parameters = dict(_parameters(model))
    for name, first in names.items():
        if name in parameters and first in parameters and parameters[name] is not parameters[first]:
            here, there = parameters[name].shape, parameters[first].shape
            if here != there:
                raise ValueError(f"The file ties {name} {here} to {first} {there}, which is of another shape")
            *path, attribute = name.split(".")
            owner = reduce(lambda o, key: o[int(key)] if isinstance(o, (tuple, list)) else getattr(o, key), path, model)
            setattr(owner, attribute, parameters[first])


def _parameters(model: Layer) -> Iterator[tuple[str, Parameter]]:
    """Like `named_parameters`, but with each name of a tied parameter."""
    return places(model, lambda value: isinstance(value, Parameter))


def fill(model: Layer, tensors: dict[str, Array]) -> None:
    """Move a model to the CPU and to the dtype of the tensors, and write them into its parameters by name.

    Raises:
        ValueError: names or shapes differ; the message lists all differences. Nothing is changed.
    """
    parameters = dict(model.named_parameters())
    wrong = [f"{name} {p.shape} is missing" for name, p in parameters.items() if name not in tensors]
    wrong += [f"{name} {t.shape} is unexpected" for name, t in tensors.items() if name not in parameters]
    for name in parameters.keys() & tensors.keys():
        here, there = parameters[name].shape, tensors[name].shape
        wrong += [f"{name} is {there}, expected {here}"] if here != there else []
    if wrong:
        raise ValueError(
            f"The parameters in the file are not those of its classes: {'; '.join(sorted(wrong))}. Give the classes as "
            "they were when it was saved"
        )
    if tensors:
        model.to("cpu", next(iter(tensors.values())).dtype)
    for name, parameter in parameters.items():
        parameter.value = tensors[name]
