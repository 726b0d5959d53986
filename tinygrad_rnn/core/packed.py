"""A model and the vector of its parameters, for what works on the whole vector at each step of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from operator import is_
from typing import Any, TypeVar

from .arrays import Array
from .layer import Layer, check_found
from .vector import pack

K = TypeVar("K")

_END = (object(),)
"""Ends the places, so that they differ from others that only go on."""


class PackedModel:
    """A model with its parameters in a vector, which knows whether the model still has the same parameters.

    Args:
        model: the layer; its parameters are packed.
        owner: the name of the class that works on them; errors begin with it,
        what: name what has been made,
        cure: and say how to make it again.

    Raises:
        TypeError: `model` is not a layer, or its parameters differ in dtype or device.
        ValueError: it has no parameters, or shares some with another model.
    """

    def __init__(self, model: Layer, owner: str, what: str, cure: str) -> None:
        check_model(owner, model)
        self.model, self._owner, self._what, self._cure = model, owner, what, cure
        self._named = list(model.named_parameters())
        self.vector, self.part = pack([parameter for _, parameter in self._named], model, owner)
        self._is_whole = self.part == slice(0, self.vector.size)  # each step takes both vectors: slices take time
        self._places: list[Iterable[object]] = [_END]  # where parameters and layers can be,
        self._seen: list[object] = [None]  # and all that was there: at first, what cannot be the same

    @property
    def value(self) -> Array:
        """The parameters (P,)."""
        return self.vector.value if self._is_whole else self.vector.value[self.part]

    @property
    def grad(self) -> Array:
        """Their gradients (P,)."""
        return self.vector.grad if self._is_whole else self.vector.grad[self.part]

    def zeros(self) -> Array:
        """A vector (P,) of zeros, laid out like the parameters."""
        return self.vector.zeros()[self.part]

    def names(self) -> list[str]:
        """The dotted names of the parameters in the order in which they lie in the vector."""
        return [name for name, _ in sorted(self._named, key=lambda named: self.vector.start(named[1]))]

    def views(self, vector: Array) -> dict[str, Array]:
        """By dotted name, the part of `vector` (P,) that belongs to each parameter, in its shape."""
        start = self.part.start
        return {name: self.vector.view(vector, p, start) for name, p in self.model.named_parameters()}

    def runs(self, keys: Mapping[str, K]) -> list[tuple[slice, K]]:
        """The slices of the vector (P,) in each of which all parameters have the same key, in order, with that key.

        Args:
            keys: a key for each parameter, by its dotted name.
        """
        runs: list[tuple[slice, K]] = []
        for name, parameter in sorted(self.model.named_parameters(), key=lambda named: self.vector.start(named[1])):
            start, key = self.vector.start(parameter) - self.part.start, keys[name]
            alike = bool(runs) and runs[-1][1] == key
            runs.append((slice(runs.pop()[0].start if alike else start, start + parameter.size), key))
        return runs

    def entry(self, index: int) -> tuple[str, Layer]:
        """The dotted name of the parameter that has entry `index` of the vector (P,), and the layer that holds it."""
        starts = {name: self.vector.start(p) - self.part.start for name, p in self.model.named_parameters()}
        name = max((name for name, start in starts.items() if start <= index), key=starts.__getitem__)
        here: Any = self.model
        layer = self.model
        for part in name.split("."):
            here = here[int(part)] if isinstance(here, (tuple, list)) else vars(here)[part]
            layer = here if isinstance(here, Layer) else layer
        return name, layer

    def check(self) -> None:
        """The model must have the same parameters as at first, and they must lie in the same vector.

        Raises:
            RuntimeError: it has not, or they have moved; the message says which, and what to do.
        """
        if self.vector.replaced:
            self._compare()
            raise RuntimeError(
                f"{self._owner}: the parameters have moved since {self._what} was made, by model.to or into a larger "
                f"model's vector. {self._cure}"
            )
        # Each step asks this. A walk of the model takes ten times as long.
        if not all(map(is_, chain.from_iterable(self._places), self._seen)):
            self._compare()

    def _compare(self) -> None:
        now = list(self.model.named_parameters())
        before, after = ({id(parameter) for _, parameter in named} for named in (self._named, now))
        if before != after:
            gone = {name for name, parameter in self._named if id(parameter) not in after}
            new = {name for name, parameter in now if id(parameter) not in before}
            names = {name for name, _ in now}
            changes = [f"{name} was {'replaced' if name in names else 'removed'}" for name in sorted(gone)]
            changes += [f"{name} was added" for name in sorted(new - gone)]
            raise RuntimeError(
                f"{self._owner}: the model has other parameters than when {self._what} was made: {', '.join(changes)}. "
                f"{self._cure}. To change only its numbers, write into a parameter: parameter.value = array"
            )
        self._places = [*_places(self.model, set()), _END]
        self._seen = [*chain.from_iterable(self._places)]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_places", "_seen")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _places=[_END], _seen=[None])


def check_model(owner: str, model: Any) -> None:
    """`model` must be a layer, and have no parameters that it does not know of.

    Raises:
        TypeError: it is not, or has.
    """
    if not isinstance(model, Layer):
        came = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        raise TypeError(
            f"{owner}: model must be a layer, not {came}. Give the model itself, not model.parameters(): "
            f"{owner}(model, ...)"
        )
    check_found(owner, model)


def _places(layer: Layer, seen: set[int]) -> Iterator[Iterable[object]]:
    """The values of the attributes of `layer`, and the items of those that are lists; likewise of all layers in it."""
    seen.add(id(layer))
    yield vars(layer).values()
    for value in vars(layer).values():
        if isinstance(value, list):
            yield value
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, Layer) and id(item) not in seen:
                yield from _places(item, seen)
