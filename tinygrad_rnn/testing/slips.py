"""Likely slips: what would turn the right gradient into the one that a backward gives."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from .examples import Arrays

CLOSE = 1e-6
"""How well a slip must explain the numbers, as a part of the largest."""


class Known(NamedTuple):
    """What a slip may have to do with."""

    values: Arrays
    """What the forward computes."""
    gradients: Arrays
    """Right gradients by name, such as `dc`."""
    weights: Arrays
    before: Any = None
    """What the gradient of the parameter held before."""


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
    shape = right.shape  # a rate of each unit is a factor of every row
    values = {n: np.broadcast_to(v, shape) if v.shape == shape[-1:] else v for n, v in known.values.items()}
    return next((f"{words}." for words in _slips(found, right, known._replace(values=values))), "")


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
    ratio = (found * right).sum() / (right * right).sum()
    if abs(ratio - 1) > CLOSE and _close(found, ratio * right):
        yield f"It is {_number(ratio)} times what it must be"
    if found.ndim == 2 and found.shape[0] == found.shape[1] and _close(found, right.T):
        yield "It is transposed"
    yield from _other_product(found, right, known)
    yield from _factors(found, right, known)
    yield from _terms(found, right, known)


def _other_product(found: Any, right: Any, known: Known) -> Iterator[str]:
    """A gradient of weights is a product of what they multiply, and the gradient w.r.t. the product."""
    if known.before is None or right.ndim != 2:
        return
    pairs = {
        f"{v}.T @ {d}": value.T @ gradient
        for (v, value), (d, gradient) in product(known.values.items(), known.gradients.items())
        if value.ndim == gradient.ndim == 2
        and len(value) == len(gradient)
        and (value.shape[1], gradient.shape[1]) == right.shape
    }
    for belongs in (name for name, made in pairs.items() if _close(made, right)):
        for name, made in pairs.items():
            if _close(found, made):
                yield f"It is {name} where {belongs} belongs"


def _forms(known: Known) -> Arrays:
    """Factors that derivatives are made of."""
    forms: Arrays = {}
    for name, v in known.values.items():
        forms |= {name: v, f"(1 - {name})": 1 - v, f"{name} * (1 - {name})": v * (1 - v)}
        forms |= {f"(1 - {name} * {name})": 1 - v * v, f"tanh({name})": np.tanh(v)}
        forms |= {f"(1 - tanh({name})²)": 1 - np.tanh(v) ** 2}
    return forms


def _factors(found: Any, right: Any, known: Known) -> Iterator[str]:
    forms = _forms(known) | known.gradients
    forms = {name: form for name, form in forms.items() if form.shape == right.shape}
    for sign, words in ((1, ""), (-1, ", and has the opposite sign")):
        for name, form in forms.items():
            if _close(found * form * sign, right):
                yield f"It lacks the factor {name}{words}"
            if _close(found, right * form * sign):
                yield f"It has the factor {name} too much{words}"
    for (one, wrong), (other, belongs) in product(forms.items(), forms.items()):
        if _close(found * belongs, right * wrong):
            yield f"It has the factor {one} where {other} belongs"


def _terms(found: Any, right: Any, known: Known) -> Iterator[str]:
    missing = right - found
    if not abs(missing).max() > CLOSE * abs(right).max():
        return
    terms = {d: gradient for d, gradient in known.gradients.items() if gradient.shape == right.shape}
    products = {f"{d} * {f}": g * v for (d, g), (f, v) in product(terms.items(), _forms(known).items()) if _same(g, v)}
    plain = {v: value for v, value in known.values.items() if _same(value, right)}
    for (v, value), (name, term) in product(plain.items(), list(products.items())):
        products[name.replace(" * ", f" * {v} * ", 1)] = value * term
    for (d, gradient), (name, w) in product(known.gradients.items(), known.weights.items()):
        flat = right.ndim == gradient.ndim == w.ndim == 2
        if flat and (*gradient.shape, w.shape[0]) == (len(right), w.shape[1], right.shape[1]):
            products[f"{d} @ {name}.T"] = gradient @ w.T
            if w.shape[0] == w.shape[1] and _close(missing, gradient @ w.T - gradient @ w):
                yield f"The product {d} @ {name}.T lacks the transpose"
    for name, term in (terms | products).items():
        if _close(missing, term):
            yield f"It lacks the term {name}"
        if _close(missing, 2 * term):
            yield f"The term {name} has the wrong sign"
        if _close(missing, -term):
            yield f"The term {name} is in it once too often"


def _same(one: Any, other: Any) -> bool:
    return bool(one.shape == other.shape)


def _close(one: Any, other: Any) -> bool:
    largest = abs(other).max(initial=0)
    return bool(one.shape == other.shape and largest > 0 and (abs(one - other) <= CLOSE * largest).all())


def _number(ratio: float) -> str:
    for denominator in range(2, 13):
        if abs(1 / ratio - denominator) < CLOSE:
            return f"1/{denominator}"
    return f"{ratio:.6g}"
