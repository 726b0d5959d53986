"""The gradient check: every hand-written backward against central differences."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ..core.arrays import Booleans, Generator, Integers
from ..core.layer import Layer
from .examples import Arrays, Example, examples

STEP = 1e-5
"""Of the differences: the error is about 1e-11 from the step, and as much from rounding."""


def check_gradients(
    layer: Layer,
    *,
    rng: Generator,
    lengths: Integers | None = None,
    starts: Booleans | None = None,
    tolerance: float = 1e-7,
) -> dict[str, float]:
    """Check the backward of a layer, whatever its role, against central differences in float64.

    A copy of the layer is checked, with random parameters, over four steps of three rows (or those of `lengths` or
    `starts`), from a random state, with random gradients for every output and for the last state, and gradients that
    are not 0 before. A cell is checked as a whole sequence and step by step. Whether the forward computes what it
    should, this cannot see: hold it against an independent version.

    Args:
        layer: `Feedforward`, `Recurrent`, `Attention`, `EncoderDecoder` or `Loss`; it stays as it is.
        rng: draws all of this.
        lengths: (B,), steps of each row, for a `Recurrent` or a `Loss`; of the memory, for an `Attention`; of the
            targets, and in reverse of the sources, for an `EncoderDecoder`.
        starts: (T, B), where documents begin, for a `Recurrent`; with `lengths`, of as many rows and steps.
        tolerance: the largest error allowed.

    Returns:
        The error of each array by name, `max|a - n| / max|n|` where a is the gradient by backward and n the numerical
        one, the larger one where the layer is checked in two ways.

    Raises:
        AssertionError: an error is above `tolerance`; the message says in which arrays and where.
        TypeError: the layer plays none of these roles.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> errors = check_gradients(RNNCell(3, 4, rng=rng), rng=rng)
        >>> sorted(errors), max(errors.values()) < 1e-7
        (['b', 'state[0]', 'w_h', 'w_x', 'xs'], True)
    """
    errors: dict[str, float] = {}
    wrong = []
    for example in examples(layer, rng, lengths, starts):
        upstream = example.upstream(rng)
        numerical = _numerical(example, upstream)
        analytic = _analytic(example, upstream, rng)
        for name, expected in numerical.items():
            if name not in analytic:
                wrong.append(f"{name}{example.how}: backward gives no gradient")
                continue
            if analytic[name].shape != expected.shape:
                wrong.append(
                    f"{name}{example.how}: backward gives the shape {analytic[name].shape}, expected {expected.shape}"
                )
                continue
            largest = float(abs(expected).max(initial=0))
            error = abs(analytic[name] - expected) / (largest if largest > 1e-6 else 1.0)
            worst = error.max(initial=0)
            errors[name] = float(np.maximum(errors.get(name, 0.0), worst))  # NaN stays NaN
            if not worst <= tolerance:  # so that NaN is wrong
                wrong.append(_report(name, example.how, analytic[name], expected, error, tolerance))
    if wrong:
        raise AssertionError(f"{layer!r}: backward does not fit forward.\n  " + "\n  ".join(wrong))
    return errors


def _analytic(example: Example, upstream: Arrays, rng: Generator) -> Arrays:
    """The gradients by backward, of the variables and of the parameters."""
    parameters = dict(example.layer.named_parameters())
    before = {name: rng.standard_normal(p.shape) for name, p in parameters.items()}
    for name, parameter in parameters.items():
        parameter.grad = before[name]  # backward must add to it
    _, cache = example.forward()
    gradients = example.backward(upstream, cache)
    return gradients | {name: p.grad - before[name] for name, p in parameters.items()}


def _numerical(example: Example, upstream: Arrays) -> Arrays:
    """Central differences of the sum of outputs times their upstream gradients, by every entry of every array."""
    gradients = {}
    parameters = {name: p.value for name, p in example.layer.named_parameters()}
    for name, array in (example.variables | parameters).items():
        gradient = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + STEP
            above = copy.deepcopy(example.forward()[0])  # an output may be the input itself
            array[index] = kept - STEP
            below = copy.deepcopy(example.forward()[0])
            array[index] = kept
            # The difference first, then the sum: fewer digits cancel.
            gradient[index] = sum((upstream[key] * (above[key] - below[key])).sum() for key in upstream) / (2 * STEP)
        gradients[name] = gradient
    return gradients


def _report(name: str, how: str, analytic: Any, expected: Any, error: Any, tolerance: float) -> str:
    flat = np.where(np.isnan(error), np.inf, error)
    index = tuple(int(i) for i in np.unravel_index(flat.argmax(), error.shape))
    place = f"at {list(index)}"
    if name in ("x", "xs", "ys", "queries", "memory", "sources", "targets"):
        place += f", time step {index[0]}, row {index[1]},"
    return (
        f"{name}{how} {place} backward gives {analytic[index]:.9g}, central differences {expected[index]:.9g}; "
        f"error {error[index]:.1e} of the largest entry, allowed {tolerance:.1e}; "
        f"{int((~(error <= tolerance)).sum())} of {error.size} entries are wrong"
    )
