"""The two gradients that are compared: that of the backward, and that of central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.arrays import Generator
from ..core.blas import with_one_blas_thread
from .examples import Example
from .named import Arrays

STEP = 1e-5
"""The step of the differences: it causes an error of about 1e-11, and rounding as much."""


def drawn_before(example: Example, rng: Generator) -> Arrays:
    """What the gradients of the parameters hold before a backward, which must add to it."""
    return {name: rng.standard_normal(p.shape) for name, p in example.layer.named_parameters()}


def analytic(example: Example, upstream: Arrays, before: Arrays) -> Arrays:
    """The gradients from backward w.r.t. the variables and the parameters."""
    parameters = dict(example.layer.named_parameters())
    for name, parameter in parameters.items():
        parameter.grad = before[name]
    _, cache = example.forward()
    gradients = example.backward(upstream, cache)
    return gradients | {name: p.grad - before[name] for name, p in parameters.items()}


@with_one_blas_thread  # set once, and not in each of hundreds of forwards
def numerical(example: Example, upstream: Arrays, step: float = STEP) -> Arrays:
    """Central differences of the sum of outputs times upstream gradients, w.r.t. every entry of every array."""
    parameters = {name: p.value for name, p in example.layer.named_parameters()}
    return {
        name: differences(example, upstream, array.shape, _mover(array), step)
        for name, array in (example.variables | parameters).items()
    }


def refined(example: Example, upstream: Arrays, coarse: Arrays) -> Arrays:
    """More exact differences, of two steps, for where the function bends sharply, as a norm of small numbers does."""
    wide = numerical(example, upstream, 2 * STEP)
    return {name: (4 * array - wide[name]) / 3 for name, array in coarse.items()}


def differences(
    example: Example,
    upstream: Arrays,
    shape: tuple[int, ...],
    shift: Callable[[tuple[int, ...], float], None],
    size: float = STEP,
) -> Any:
    """The gradient w.r.t. what `shift(index, step)` moves; a step of 0 puts it back."""
    gradient = np.zeros(shape)
    for index in np.ndindex(shape):
        shift(index, size)
        above = {key: output.copy() for key, output in example.forward()[0].items()}  # it may be the input itself
        shift(index, -size)
        below = example.forward()[0]
        # The difference first, then the sum: fewer digits cancel.
        gradient[index] = sum((upstream[key] * (above[key] - below[key])).sum() for key in upstream) / (2 * size)
        shift(index, 0.0)
    return gradient


def _mover(array: Any) -> Callable[[tuple[int, ...], float], None]:
    kept = array.copy()

    def shift(index: tuple[int, ...], step: float) -> None:
        array[index] = kept[index] + step

    return shift


def relative_error(found: Any, expected: Any) -> Any:
    """The error of each entry, as a part of the largest; of 1 where all are 0 or nearly."""
    largest = float(abs(expected).max(initial=0))
    return abs(found - expected) / (largest if largest > 1e-6 else 1.0)


def differ(found: Any, right: Any, tolerance: float) -> bool:
    """Whether a gradient is wrong, or absent."""
    if found is None or found.shape != right.shape:
        return True
    return not (relative_error(found, right) <= tolerance).all()


def wrong_in(found: Arrays, expected: Arrays, tolerance: float) -> list[str]:
    """The names of the gradients that are wrong or absent."""
    return [name for name, right in expected.items() if differ(found.get(name), right, tolerance)]
