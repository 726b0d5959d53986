"""Likely slips: what would turn the right gradient into the one that a backward gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations, product
from typing import Any, NamedTuple

import numpy as np

from .differences import relative_error
from .named import Arrays
from .places import listed

CLOSE = 1e-6
"""How well a slip must explain the numbers, as a part of the largest."""


class Known(NamedTuple):
    """What a slip may have to do with."""

    values: Arrays
    """What the forward computes, and the parameters with one axis."""
    gradients: Arrays
    """Those that the backward was given, those that it computes, and right ones such as `dc`."""
    weights: Arrays
    """The parameters, and parts of them."""
    before: Any = None
    """What the gradient of the parameter held before."""
    gates: tuple[str, ...] = ()
    """The names of its blocks of columns."""
    unread: frozenset[str] = frozenset()
    """The names that do not stand in the statements that compute it."""

    def may_hold(self, term: str) -> bool:
        """Whether a term may stand in these statements: a report must not blame what is not there."""
        return self.unread.isdisjoint(re.findall(r"\w+", term))


NOTHING = Known({}, {}, {})


def slip_of(found: Any, right: Any, known: Known = NOTHING) -> str:
    """A sentence with the slip that explains `found` where `right` belongs; empty if none of them does."""
    if found.shape != right.shape:
        return f"It has the shape {found.shape}, not {right.shape}."
    if not np.isfinite(found).all():
        return "It holds NaN or infinity."
    if not found.any():
        return "It is 0: nothing is added to it." if known.before is not None else "It is 0."
    if not right.any():
        return "It must be 0."
    if right.ndim == 3:  # the rows of all steps, one after the other
        found, right = _rows(found), _rows(right)
        values, gradients = ({name: _rows(a) for name, a in its.items()} for its in (known.values, known.gradients))
        known = known._replace(values=values, gradients=gradients)
    return next((f"{words}." for words in _slips(found, right, known)), "")


def _rows(array: Any) -> Any:
    return array.reshape(-1, array.shape[-1]) if array.ndim == 3 else array


def _slips(found: Any, right: Any, known: Known) -> Iterator[str]:
    if _close(found, -right):
        yield "It has the opposite sign"
    if known.before is not None and _close(found, right - known.before):
        yield "`=` stands in place of `+=`: what was in the gradient before is lost"
    if known.before is not None and _close(found, -right - known.before):
        yield "`= -` stands in place of `+=`: what was in the gradient before is lost"
    for name, gradient in known.gradients.items():
        if _close(found, gradient):
            yield f"It is {name}"
    if not right.ndim:
        return  # too much explains a single number
    ratio = (found * right).sum() / (right * right).sum()
    if abs(ratio - 1) > CLOSE and _close(found, ratio * right):
        yield f"It is {_number(ratio)} times what it must be"
    if found.ndim == 2 and found.shape[0] == found.shape[1] and _close(found, right.T):
        yield "It is transposed"
    yield from _order(found, right, known.gates)
    yield from _other_product(found, right, known)
    forms = _forms(right, known)
    yield from _factors(found, right, known, forms)
    yield from _terms(found, right, known, forms)


def _order(found: Any, right: Any, gates: tuple[str, ...]) -> Iterator[str]:
    """Blocks of columns in another order."""
    if len(gates) in range(2, 6) and right.shape[-1] % len(gates) == 0:
        blocks = np.split(right, len(gates), axis=-1)
        for order in permutations(range(len(gates))):
            if _close(found, np.concatenate([blocks[i] for i in order], axis=-1)):
                yield f"Its blocks are in the order {listed(gates[i] for i in order)}, not {listed(gates)}"


def _other_product(found: Any, right: Any, known: Known) -> Iterator[str]:
    """Another product, or another sum over the rows, than the right one."""
    made, products = Arrays(), Arrays()
    for d, gradient in ((d, g) for d, g in known.gradients.items() if g.ndim == 2):
        if known.before is None:
            weights = {w: value for w, value in known.weights.items() if value.ndim == 2}
            made |= {f"{d} @ {w}.T": gradient @ v.T for w, v in weights.items() if v.shape[1] == gradient.shape[1]}
        elif right.ndim == 2:
            values = {v: value for v, value in known.values.items() if value.ndim == 2 and len(value) == len(gradient)}
            made |= {f"{v}.T @ {d}": value.T @ gradient for v, value in values.items()}
        else:
            made |= {f"{d}.sum(axis={axis})": gradient.sum(axis=axis) for axis in (0, 1)}
            values = {v: value for v, value in known.values.items() if value.shape == gradient.shape}
            products |= {f"({d} * {v}).sum(axis=0)": (gradient * value).sum(axis=0) for v, value in values.items()}
    made |= products
    belongs = _that_are(right, made)
    for name in filter(known.may_hold, _that_are(found, made) if belongs else ()):
        yield f"It is {name} where {belongs[0]} belongs"


def _forms(right: Any, known: Known) -> Arrays:
    """Factors that derivatives are made of, each once."""
    forms: Arrays = {}
    values = {n: np.broadcast_to(v, right.shape) for n, v in known.values.items() if _fits(v, right)}
    for name, v in values.items():
        forms |= {name: v, f"(1 - {name})": 1 - v, f"{name} * (1 - {name})": v * (1 - v)}
        forms |= {f"(1 - {name} * {name})": 1 - v * v}
    for name, v in values.items():
        forms |= {f"tanh({name})": np.tanh(v), f"(1 - tanh({name})²)": 1 - np.tanh(v) ** 2}
    return _each_once({name: form for name, form in forms.items() if form.any()})


def _factors(found: Any, right: Any, known: Known, forms: Arrays) -> Iterator[str]:
    forms = _each_once(forms | {name: g for name, g in known.gradients.items() if g.shape == right.shape})
    for sign, words in ((1, ""), (-1, ", and has the opposite sign")):
        for name, form in forms.items():
            if _close(found * form * sign, right):
                yield f"It lacks the factor {name}{words}"
            if _close(found, right * form * sign) and known.may_hold(name):
                yield f"It has one factor {name} too many{words}"
    for (one, wrong), (other, belongs) in product(forms.items(), forms.items()):
        if _close(found * belongs, right * wrong) and known.may_hold(one):
            yield f"It has the factor {one} where {other} belongs"


def _terms(found: Any, right: Any, known: Known, forms: Arrays) -> Iterator[str]:
    missing = right - found
    if not abs(missing).max() > CLOSE * abs(right).max():
        return
    terms = {d: gradient for d, gradient in known.gradients.items() if gradient.shape == right.shape}
    products = {f"{d} * {f}": g * v for (d, g), (f, v) in product(terms.items(), forms.items()) if d != f}
    plain = {v: forms[v] for v in known.values if v in forms}
    for (v, value), (name, term) in product(plain.items(), list(products.items())):
        products[name.replace(" * ", f" * {v} * ", 1)] = value * term
    for (d, gradient), (name, w) in product(known.gradients.items(), known.weights.items()):
        flat = right.ndim == gradient.ndim == w.ndim == 2
        if flat and (*gradient.shape, w.shape[0]) == (len(right), w.shape[1], right.shape[1]):
            products[f"{d} @ {name}.T"] = gradient @ w.T
            if w.shape[0] == w.shape[1] and _close(missing, gradient @ w.T - gradient @ w):
                yield f"The product {d} @ {name}.T lacks the transpose"
    every = terms | products
    yield from (f"It lacks the term {name}" for name in _that_are(missing, every))
    wrong_sign = filter(known.may_hold, _that_are(missing / 2, every))
    yield from (f"The term {name} has the wrong sign" for name in wrong_sign)
    nothing = {"": np.ones_like(missing)}
    yield from _other_term(missing, terms, nothing, known)
    yield from _other_term(missing, terms, nothing | forms, known)
    too_much = filter(known.may_hold, _that_are(-missing, every))
    yield from (f"It has one term {name} too many" for name in too_much)


def _other_term(missing: Any, gradients: Arrays, forms: Arrays, known: Known) -> Iterator[str]:
    """One factor of a term is another one than it must be; nothing if there are several ways to say so."""
    told = set()
    for ones, others in ((gradients, forms), (forms, gradients)):
        pairs = list(permutations(ones, 2))
        if not pairs or not others:
            continue
        made = np.stack([ones[belongs] - ones[wrong] for wrong, belongs in pairs])
        errors = relative_error(made[:, None] * np.stack([*others.values()]), missing)
        for i, j in np.argwhere((errors <= CLOSE).reshape(len(pairs), len(others), -1).all(axis=2)):
            other = list(others)[j]
            terms = [(name, other) if ones is gradients else (other, name) for name in pairs[i]]
            wrong, belongs = (" * ".join(filter(None, term)) for term in terms)
            if known.may_hold(wrong):
                told.add(f"It has the term {wrong} where {belongs} belongs")
    if len(told) == 1:
        yield from told


def _that_are(array: Any, made: Arrays) -> list[str]:
    """The names of those that are equal to an array."""
    names = [name for name, its in made.items() if its.shape == array.shape]
    if not names or not array.any():
        return []
    errors = relative_error(np.stack([made[name] for name in names]), array)
    return [name for name, error in zip(names, errors, strict=True) if (error <= CLOSE).all()]


def _each_once(arrays: Arrays) -> Arrays:
    """The first of those that are equal."""
    seen = {np.round(array, 9).tobytes(): name for name, array in reversed(arrays.items())}
    return {name: array for name, array in arrays.items() if seen[np.round(array, 9).tobytes()] == name}


def _fits(value: Any, array: Any) -> bool:
    """Whether it may be a factor: it has the same shape, or one axis, as a rate of each unit has."""
    return value.shape in (array.shape, array.shape[-1:])


def _close(one: Any, other: Any) -> bool:
    largest = abs(other).max(initial=0)
    return bool(one.shape == other.shape and largest > 0 and (abs(one - other) <= CLOSE * largest).all())


def _number(ratio: float) -> str:
    for denominator in range(2, 13):
        if abs(1 / ratio - denominator) < CLOSE:
            return f"1/{denominator}"
    return f"{ratio:.6g}"
