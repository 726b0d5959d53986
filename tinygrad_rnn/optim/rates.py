"""Factors of the learning rate: which each parameter has, and where in the vector those lie that are changed alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..core.arrays import Array, Booleans, namespace
from ..core.layer import Layer, parts
from ..core.packed import PackedModel
from ..core.parameter import Parameter
from .settings import check_number, shown


class Part(NamedTuple):
    """Parameters side by side in the vector that an optimizer changes alike."""

    where: slice
    """Their slice of the vector (P,)."""
    factor: float
    """The factor of their learning rate, above 0."""
    missed: int
    """In how many steps they were frozen."""


class Factors(NamedTuple):
    """The factors of the learning rate."""

    given: dict[str, float]
    """As given, by prefix."""
    of: dict[str, float]
    """Of each parameter, by its dotted name."""


class Rates:
    """What each step does with which slices of the vector, from one change of the rates to the next.

    Args:
        packed: the model.
        factors: the factors.
        decays: whether each parameter decays.
        missed: in how many steps before each parameter was frozen; those that are not there, in none.
        since: after how many steps this begins.
    """

    def __init__(
        self,
        packed: PackedModel,
        factors: Factors,
        decays: Mapping[str, bool],
        missed: Mapping[str, int],
        since: int,
    ) -> None:
        self.factors, self.decays = factors, decays
        self._missed, self._since = missed, since
        of = factors.of
        alike = packed.runs({name: (factor, missed.get(name, 0)) for name, factor in of.items()})
        self.parts = [Part(where, *key) for where, key in alike if key[0]]
        """What is changed, in as few slices as are changed alike."""
        self.decaying = [run for run in packed.runs({name: of[name] * decays[name] for name in of}) if run[1]]
        """What decays, and its factor."""
        trained = packed.runs({name: factor > 0 for name, factor in of.items()})
        self._trained = [where for where, is_trained in trained if is_trained]
        self._mask: Booleans | None = None
        self.frozen = not all(is_trained for _, is_trained in trained)
        """Whether anything is frozen."""

    def missed(self, steps: int) -> dict[str, int]:
        """In how many of the first `steps` each parameter was frozen; those that never were are not there."""
        found = {n: self._missed.get(n, 0) + (0 if f else steps - self._since) for n, f in self.factors.of.items()}
        return {name: count for name, count in found.items() if count}

    def of_trained(self, grad: Array) -> Array:
        """The part of `grad` (P,) that is not frozen, as one vector: a view of it where it lies side by side."""
        if len(self._trained) == 1:
            return grad[self._trained[0]]
        parts = [grad[where] for where in self._trained] or [namespace(grad).zeros_like(grad[:1])]  # it is never empty
        gathered: Array = namespace(grad).concatenate(parts)
        return gathered

    def put_back(self, trained: Array, grad: Array) -> None:
        """Write what `of_trained` gave, and a clipper has changed, to its places in `grad` (P,)."""
        if len(self._trained) > 1:  # else it is a view
            start = 0
            for where in self._trained:
                stop = start + where.stop - where.start
                grad[where] = trained[start:stop]
                start = stop

    def is_side_by_side(self) -> bool:
        """Whether what is trained lies side by side, so that `of_trained` is a view."""
        return len(self._trained) == 1

    def decay_mask(self, value: Array) -> Booleans:
        """Which entries of `value` (P,) decay; made once."""
        if self._mask is None:
            mask: Any = namespace(value).zeros(value.shape, bool)
            for where, _ in self.decaying:
                mask[where] = True
            self._mask = mask
        return self._mask

    def place(self, index: int) -> int:
        """Where in the vector (P,) entry `index` of `of_trained` lies."""
        for where in self._trained:
            size = where.stop - where.start
            if index < size:
                return int(where.start + index)
            index -= size
        return index


def factors_of(owner: str, model: Layer, rates: Any) -> Factors:
    """`rates`, checked, and the factor of each parameter by its dotted name: that of the longest prefix of it, or 1.

    Raises:
        TypeError: `rates` is neither a mapping of prefixes to numbers nor None.
        ValueError: a factor is negative or not finite, no name begins with one of the prefixes, or two names of one
            parameter have different factors.
    """
    rates = _given(owner, rates)
    found: dict[int, tuple[str, float]] = {}
    unused = dict.fromkeys(rates)
    for name, parameter, prefixes in _all_names(model, rates, "", set()) if rates else ():
        for prefix in prefixes:
            unused.pop(prefix, None)
        if prefixes:
            factor = rates[prefixes[-1]]
            other, before = found.setdefault(id(parameter), (name, factor))
            if before != factor:
                raise ValueError(
                    f"{owner}: rates give {other} the factor {before} and {name} the factor {factor}, but both are one "
                    "parameter, which is tied. Add both names to rates, with the same factor"
                )
    if unused:
        names = ", ".join(name for name, _ in model.named_parameters())
        raise ValueError(
            f"{owner}: rates has {', '.join(map(shown, unused))}, but no parameter has this name, or lies in a layer "
            f"that has. A prefix ends where a part of a name does, as layers.0 does. The parameters are {names:.4000}"
        )
    return Factors(rates, {name: found.get(id(p), ("", 1.0))[1] for name, p in model.named_parameters()})


def _given(owner: str, rates: Any) -> dict[str, float]:
    """`rates` as a dict; it must be a mapping of prefixes of names to numbers of at least 0, or None."""
    if rates is None:
        return {}
    if not isinstance(rates, Mapping) or not all(isinstance(prefix, str) for prefix in rates):
        raise TypeError(
            f"{owner}: rates must be a dict of factors by the names of layers or parameters, such as "
            f'{{"layers.0": 0.0}}, not {shown(rates)}'
        )
    return {p: check_number(owner, f"rates[{shown(p)}]", factor, "at least 0") for p, factor in rates.items()}


def _all_names(
    layer: Layer, rates: Mapping[str, float], path: str, seen: set[tuple[int, str | None]]
) -> Iterator[tuple[str, Parameter, list[str]]]:
    """Each parameter in `layer` with each of its names, and the prefixes of that, the longest last.

    A layer that stands in several places is searched once for each longest prefix of them, unless there are prefixes
    further on: the ways to it may be too many to go.
    """
    for own, item in parts(layer):
        name = f"{path}{own}"
        if isinstance(item, Parameter):
            yield name, item, _prefixes(name, rates)
        elif isinstance(item, Layer):
            key = id(item), next(reversed(_prefixes(name, rates)), None)
            if key not in seen or any(prefix.startswith(f"{name}.") for prefix in rates):
                seen.add(key)
                yield from _all_names(item, rates, f"{name}.", seen)


def _prefixes(name: str, rates: Mapping[str, float]) -> list[str]:
    """The prefixes of a dotted name, by their length; "" is one of every name."""
    return sorted((p for p in rates if p in ("", name) or name.startswith(f"{p}.")), key=len)
