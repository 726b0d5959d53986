"""A step that gives something else than it must is told so: which cell, which step, what came, what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import LSTMCell, RNNCell

R = np.random.default_rng(0)
XS = np.zeros((84, 32, 3), np.float32)

pytestmark = pytest.mark.messages


def stepped(change: Any, name: str = "step_forward") -> Any:
    """An `RNNCell` whose step gives `change` of what it gave."""

    def step(self: Any, *given: Any, **options: Any) -> Any:
        return change(*getattr(RNNCell, name)(self, *given, **options))

    return type("Mine", (RNNCell,), {name: step})(3, 4, rng=R)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda y, s, c: None, TypeError, r"gave a NoneType, expected \(y, state, cache\)"),
        (lambda y, s, c: (y, s), TypeError, r"gave a tuple of 2, expected \(y, state, cache\)"),
        (lambda y, s, c: [y, s, c], TypeError, r"gave a list, expected \(y, state, cache\)"),
        (lambda y, s, c: (y, [*s], c), TypeError, r"gave a list as state, expected a tuple of 1"),
        (lambda y, s, c: (y, s[0], c), TypeError, r"gave a ndarray as state, expected a tuple of 1"),
        (lambda y, s, c: (y, None, c), TypeError, r"gave a NoneType as state"),
        (lambda y, s, c: (y, (None,), c), TypeError, r"gave a NoneType as state\[0\], expected an array"),
        (lambda y, s, c: (y, (*s, *s), c), TypeError, r"gave a tuple of 2 as state, expected a tuple of 1"),
        (lambda y, s, c: (y[:, 1:], s, c), ValueError, r"gave y of shape \(32, 3\), expected \(32, 4\)"),
        (lambda y, s, c: (y, (s[0].T,), c), ValueError, r"gave state\[0\] of shape \(4, 32\), expected \(32, 4\)"),
        (lambda y, s, c: (y * np.float64(2), s, c), TypeError, r"gave y in float64, expected float32"),
        (lambda y, s, c: (y, (s[0] * np.float64(2),), c), TypeError, r"gave state\[0\] in float64"),
        (lambda y, s, c: (y * 1j, s, c), TypeError, r"gave y in complex64, expected float32, as the parameters$"),
        (lambda y, s, c: (y > 0, s, c), TypeError, r"gave y in bool, expected float32, as the parameters$"),
        (lambda y, s, c: (y.astype(object), s, c), TypeError, r"gave y in object, expected float32"),
        (lambda y, s, c: (np.ma.masked_array(y), s, c), TypeError, r"gave a MaskedArray as y, expected an array"),
    ],
)
def test_what_a_step_gives_is_checked(change: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=rf"^Mine\(3, 4\): step_forward at step 0 {words}"):
        stepped(change).forward(XS)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda dx, d: None, TypeError, r"gave a NoneType, expected \(dx, dstate\)"),
        (lambda dx, d: (dx, *d, *d), TypeError, r"gave a tuple of 3, expected \(dx, dstate\)"),
        (lambda dx, d: (dx, [*d]), TypeError, r"gave a list as dstate, expected a tuple of 1"),
        (lambda dx, d: (dx, (d[0][:, :1],)), ValueError, r"gave dstate\[0\] of shape \(32, 1\), expected \(32, 4\)"),
        (lambda dx, d: (dx, (d[0] * np.float64(2),)), TypeError, r"gave dstate\[0\] in float64, expected float32"),
    ],
)
def test_what_a_backward_step_gives_is_checked(change: Any, error: type[Exception], words: str) -> None:
    cell = stepped(change, "step_backward")
    ys, _, cache = cell.forward(XS)
    with pytest.raises(error, match=rf"^Mine\(3, 4\): step_backward at step 83 {words}"):
        cell.backward(ys, None, cache)


def test_batch_first_with_lengths_is_told_that_time_comes_first() -> None:
    cell = LSTMCell(3, 4, rng=R)
    words = r"expected \(32,\): one per row of the batch\. Time comes first, \(T, B, D\): if 84 is the batch"
    with pytest.raises(ValueError, match=words):
        cell.forward(XS, lengths=np.ones(84, int))
