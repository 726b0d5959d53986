"""The gradient check: compare hand-written backwards with central differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arrays import Booleans, Generator, Integers
from ..core.layer import Layer
from . import differences
from .differences import relative_error
from .examples import examples
from .inner import wrong_inner_gradients
from .locate import locate

NEAR = 1e-4
"""An error below this may be that of the differences, which are then made more exact."""


def check_gradients(
    layer: Layer,
    *,
    rng: Generator,
    lengths: Integers | None = None,
    starts: Booleans | None = None,
    tolerance: float = 1e-7,
) -> dict[str, float]:
    """Check the backward of a layer, whatever its role, against central differences in float64.

    The check uses a copy of the layer with random parameters, four steps of three rows (or those of `lengths` or
    `starts`), a random initial state, random upstream gradients for every output and the final state, and parameter
    gradients that are not 0 at the start. A cell is checked as a whole sequence and step by step. This cannot tell
    whether the forward is correct: compare the forward with an independent version.

    The `inner_gradients` of a cell are checked one by one, by the names of the values in its step.

    If the check fails, the fault is located: first in the layers inside, then in one step from a given state, in a loop
    of steps, in a sequence, with `lengths`, with `starts`. In a step, each name of the backward is checked that has a
    counterpart in the forward: `dc` must be the gradient w.r.t. `c`, `da_f` that w.r.t. the columns of gate f of `a`
    (`gates` of the cell gives their order), and `h_prev` must hold what it holds in the forward. So the check tells the
    first wrong name from those that are wrong only as a result.

    Args:
        layer: `Feedforward`, `Recurrent`, `Attention`, `Pool`, `EncoderDecoder`, `ManyToOne` or `Loss`; it is not
            changed.
        rng: draws all random numbers.
        lengths: (B,), steps of each row, for a `Recurrent`, `Pool`, `ManyToOne` or `Loss`; for an `Attention` those of
            the memory; for an `EncoderDecoder` those of the targets, and in reverse order those of the sources.
        starts: (T, B), where documents begin, for a `Recurrent`; with `lengths`, it must have their rows and steps.
        tolerance: the largest error allowed.

    Returns:
        The error of each array by name, `max|a - n| / max|n|`, where a is the gradient from backward and n the
        numerical one; if the layer is checked in two ways, the larger error.

    Raises:
        AssertionError: an error is above `tolerance`; the message says where the fault is, which likely mistake would
            explain it, and which arrays are wrong where. An error that the backward itself raises gets a note.
        TypeError: the layer has none of these roles.

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
        numerical = differences.numerical(example, upstream)
        before = differences.drawn_before(example, rng)
        try:
            analytic = differences.analytic(example, upstream, before)
        except Exception as raised:
            fault = locate(layer, rng, lengths, starts, tolerance, check_gradients)
            raised.add_note(f"check_gradients was at {layer!r}{example.how or ','} in float64. {fault.words}".rstrip())
            raised.fault = fault  # type: ignore[attr-defined]
            raise
        pairs = ((analytic.get(name), right) for name, right in numerical.items())
        found = [relative_error(a, n).max(initial=0) for a, n in pairs if a is not None and a.shape == n.shape]
        if tolerance < max(found, default=0) < NEAR:
            numerical = differences.refined(example, upstream, numerical)
        for name, expected in numerical.items():
            if name not in analytic:
                wrong.append(f"{name}{example.how}: backward gives no gradient")
                continue
            if analytic[name].shape != expected.shape:
                wrong.append(
                    f"{name}{example.how}: backward gives the shape {analytic[name].shape}, expected {expected.shape}"
                )
                continue
            error = relative_error(analytic[name], expected)
            worst = error.max(initial=0)
            errors[name] = float(np.maximum(errors.get(name, 0.0), worst))  # NaN stays NaN
            if not worst <= tolerance:  # `not <=`, so that NaN is wrong
                wrong.append(_report(name, example.how, analytic[name], expected, error, tolerance))
    if not wrong and (inner := wrong_inner_gradients(layer, rng, tolerance)):
        raise AssertionError("\n  ".join([f"{layer!r}: the backward is right, but inner_gradients is not.", *inner]))
    if wrong:
        fault = locate(layer, rng, lengths, starts, tolerance, check_gradients)
        first = f"{layer!r}: backward does not fit forward. {fault.words}".rstrip()
        failure = AssertionError("\n  ".join([first, *wrong]))
        failure.fault = fault  # type: ignore[attr-defined]  # for who locates mistakes by a script
        raise failure
    return errors


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
