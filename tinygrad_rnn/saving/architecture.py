"""The architecture of a model as JSON, and layers made of it again: classes and `config()`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Collection
from typing import Any

import numpy as np

from ..core.filling import Filling, TooLarge, filling
from ..core.layer import Layer
from .classes import CLASSES
from .safe_file import shortened

MOST_PLACES = 5_000
"""In how many places layers may stand. Shared ones can make a small file a model of more places than can be counted."""


_signature = functools.lru_cache(inspect.signature)  # which takes as long as making a layer does


def by_name(classes: Collection[type], call: str) -> dict[str, type]:
    """The layers and tokenizers of this package and `classes`, by name.

    Raises:
        TypeError: `classes` are no classes; the message begins with `call`.
        ValueError: two classes have the same name.
    """
    if not isinstance(classes, (tuple, list, set, frozenset)):
        raise TypeError(f"{call}: classes must be a tuple of classes, such as (MyCell,), not {shortened(classes, 80)}")
    wrong = [kind for kind in classes if not isinstance(kind, type)]
    if wrong:
        raise TypeError(f"{call}: classes must be classes, but one is {shortened(repr(wrong[0]), 80)}")
    known = {kind.__name__: kind for kind in CLASSES}
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
    if isinstance(value, int) and value.bit_length() > 14_000:
        raise TypeError(f"{place} is an integer of {value.bit_length()} bits, which JSON cannot hold. Make it a str")
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


def check_places(*trees: Any) -> None:
    """The layers of trees that `encode` made must stand in `MOST_PLACES` at most.

    Raises:
        ValueError: they do not, or a layer is said to be the same as one that is not there.
    """
    counts: list[int] = []  # for each layer, how many places there are in it, with its own

    def count(tree: Any) -> int:
        total = 0
        match tree:
            case list(items) | {"tuple": list(items)}:
                total = sum(map(count, items))
            case {"dict": dict(items)}:
                total = sum(map(count, items.values()))
            case {"same": _}:
                total = counts[_number(tree, len(counts))]
            case {"class": _, "config": dict(config)}:
                total = 1 + sum(map(count, config.values()))
                counts.append(total)
        if total > MOST_PLACES:
            raise ValueError(
                f"Its layers stand in more than {MOST_PLACES:,} places, for they share others: share fewer"
            )
        return total

    for tree in trees:
        count(tree)


def _number(tree: dict[str, Any], count: int) -> int:
    number = tree["same"]
    if not isinstance(number, int) or not 0 <= number < count:
        raise ValueError(f"A layer is the same as number {shortened(number)}, but {count} come before it")
    return number


def decode(tree: Any, known: dict[str, type], parts: list[Any], how: Filling | None = None) -> Any:
    """The inverse of `encode`, with classes taken from `known`; what is made is added to `parts`.

    Args:
        tree: what `encode` gave, or what somebody made up.
        known: the classes by name.
        parts: a list to which what is made is added.
        how: how arrays are made; None: as in a program.

    Raises:
        ValueError: `tree` is not what `encode` gives, or a class does not take its config.
    """
    if isinstance(tree, list):
        return [decode(item, known, parts, how) for item in tree]
    if not isinstance(tree, dict):
        return tree
    match tree:
        case {"tuple": list(items)}:
            return tuple([decode(item, known, parts, how) for item in items])
        case {"dict": dict(items)}:
            return {key: decode(item, known, parts, how) for key, item in items.items()}
        case {"same": _}:
            return parts[_number(tree, len(parts))]
        case {"class": str(name), "config": dict(config)} if name in known:
            arguments = {key: decode(value, known, parts, how) for key, value in config.items()}
            parts.append(_make(known[name], arguments, how))
            return parts[-1]
    raise ValueError(f"{shortened(repr(tree))} stands where a layer or an argument was expected")


def _make(kind: type, config: dict[str, Any], how: Filling | None) -> Any:
    """`kind(**config)`, where config may also name `*layers`. Any `rng` will do, because weights are overwritten."""
    try:
        signature = _signature(kind)
        unknown = config.keys() - signature.parameters.keys()
        if unknown:
            raise TypeError(f"it has no argument {', '.join(sorted(unknown))}")
        arguments = signature.bind_partial()
        arguments.arguments.update(config)
        if "rng" in signature.parameters:
            arguments.arguments["rng"] = np.random.default_rng(0)
        with filling(how):
            return kind(*arguments.args, **arguments.kwargs)
    except Exception as error:  # whatever the constructor of a class raises
        if how is not None and kind not in CLASSES and not isinstance(error, TooLarge):
            return _make(kind, config, None)  # it may not like weights that are all the same
        raise ValueError(f"{kind.__name__} does not take {shortened(repr(config))}: {shortened(error)}") from error
