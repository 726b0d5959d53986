"""A method that returns something else than it must is told so: which layer and step, what came, what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Linear, LSTMCell, RNNCell
from tinygrad_rnn.testing import check_contract, check_gradients

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
        (lambda dx, d: (None, d), TypeError, r"gave a NoneType as dx, expected an array"),
        (lambda dx, d: ([dx], d), TypeError, r"gave a list as dx, expected an array"),
        (lambda dx, d: (dx[:, :2], d), ValueError, r"gave dx of shape \(32, 2\), expected \(32, 3\): the batch first"),
        (lambda dx, d: (np.ma.masked_array(dx), d), TypeError, r"gave a MaskedArray as dx, expected an array"),
    ],
)
def test_what_a_backward_step_gives_is_checked(change: Any, error: type[Exception], words: str) -> None:
    cell = stepped(change, "step_backward")
    ys, _, cache = cell.forward(XS)
    with pytest.raises(error, match=rf"^Mine\(3, 4\): step_backward at step 83 {words}"):
        cell.backward(ys, None, cache)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda y, s, c: (y, s), TypeError, r"gave a tuple of 2, expected \(y, state, cache\)"),
        (lambda y, s, c: None, TypeError, r"gave a NoneType, expected \(y, state, cache\)"),
        (lambda y, s, c: (None, s, c), TypeError, "gave a NoneType as y, expected an array"),
        (lambda y, s, c: (y[:, 1:], s, c), ValueError, r"gave y of shape \(32, 3\), expected \(32, 4\)"),
        (lambda y, s, c: (y.astype(float), s, c), TypeError, "gave y in float64, expected float32"),
    ],
)
def test_what_a_later_step_gives_is_checked_too(change: Any, error: type[Exception], words: str) -> None:
    calls: list[int] = []

    def from_the_third_on(*made: Any) -> Any:
        calls.append(0)
        return change(*made) if len(calls) > 2 else made

    with pytest.raises(error, match=rf"^Mine\(3, 4\): step_forward at step 2 {words}"):
        stepped(from_the_third_on).forward(XS)


def unrolled(method: str, change: Any) -> Any:
    """A layer of sequences, of which `method` gives `change` of what it should."""

    def changed(self: Any, *given: Any, **options: Any) -> Any:
        return change(*getattr(LSTMCell, method)(self, *given, **options))

    return type("Mine", (LSTMCell,), {method: changed})(3, 4, rng=R)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda ys, s, c: (ys, s), TypeError, r"unroll_forward gave a tuple of 2, expected \(ys, state, cache\)"),
        (
            lambda ys, s, c: (ys[1:], s, c),
            ValueError,
            r"forward gave ys of shape \(3, 3, 4\), expected \(4, 3, 4\): time",
        ),
        (lambda ys, s, c: (ys, s[0], c), TypeError, "forward gave a ndarray as state, expected a tuple of 2"),
        (lambda ys, s, c: (ys, (s[0], s[1].T), c), ValueError, r"forward gave state\[1\] of shape \(4, 3\), expected"),
    ],
)
def test_what_a_whole_sequence_gives_is_checked(change: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=rf"^Mine\(3, 4\): {words}"):
        check_contract(unrolled("unroll_forward", change), rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda dxs, d: dxs, TypeError, r"unroll_backward gave a ndarray, expected \(dxs, dstate\)"),
        (lambda dxs, d: (None, d), AssertionError, "backward gives no gradient of xs"),
        (
            lambda dxs, d: (dxs[..., :1], d),
            AssertionError,
            r"gradient of xs has shape \(4, 3, 1\), expected \(4, 3, 3\)",
        ),
        (lambda dxs, d: (dxs, d[0]), AssertionError, r"backward gives no gradient of state\[0\]"),
        (lambda dxs, d: (dxs, (d[0], None)), AssertionError, r"backward gives no gradient of state\[1\]"),
    ],
)
def test_what_comes_back_through_a_whole_sequence_is_checked(change: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=rf"^Mine\(3, 4\): {words}"):
        check_contract(unrolled("unroll_backward", change), rng=np.random.default_rng(0))


def linear(method: str, change: Any) -> Any:
    """A `Linear` of which `method` gives `change` of what it should."""

    def changed(self: Any, *given: Any, **options: Any) -> Any:
        return change(getattr(Linear, method)(self, *given, **options))

    return type("Mine", (Linear,), {method: changed})(3, 4, rng=R)


@pytest.mark.parametrize(
    ("layer", "error", "words"),
    [
        (linear("forward", lambda made: made[0]), TypeError, r"forward gave a ndarray, expected \(y, cache\)"),
        (
            linear("forward", lambda made: ([made[0]], made[1])),
            TypeError,
            "forward gave a list as y, expected an array",
        ),
        (
            linear("backward", lambda dx: (dx, None)),
            TypeError,
            "backward gave a tuple of 2, expected dx: end it",
        ),
        (linear("backward", lambda dx: [dx]), TypeError, "backward gave a list as x, expected an array"),
        (linear("backward", lambda dx: None), AssertionError, "backward gives no gradient of x"),
        (linear("backward", lambda dx: dx[1:]), AssertionError, "gradient of x has shape"),
    ],
)
def test_the_checks_of_a_layer_say_what_it_gave(layer: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=rf"^Mine\(3, 4\): {words}"):
        check_contract(layer, rng=np.random.default_rng(0))
    with pytest.raises(error, match=r"^Mine\(3, 4\): "):
        check_gradients(layer, rng=np.random.default_rng(0))


@pytest.mark.parametrize("given", [None, [], (1,)])
def test_inner_gradients_are_a_dict(given: Any) -> None:
    cell = type("Mine", (RNNCell,), {"inner_gradients": lambda *_: given})(3, 4, rng=R)
    with pytest.raises(TypeError, match=r"^Mine\(3, 4\): inner_gradients gave a \w+, expected a dict of arrays"):
        check_gradients(cell, rng=np.random.default_rng(0))


def test_inner_gradients_that_are_inherited_but_do_not_fit_are_named() -> None:
    class Pair(LSTMCell):
        """Its cache has other names than that of an `LSTMCell`."""

        def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
            y, state, cache = super().step_forward(x, state, training=training)
            return y, state, [cache]

        def step_backward(self, dy: Any, dstate: Any, cache: Any) -> Any:
            return super().step_backward(dy, dstate, cache[0])

    with pytest.raises(
        TypeError, match=r"^Pair\(3, 4\): inner_gradients is inherited, but does not fit these steps \("
    ):
        check_gradients(Pair(3, 4, rng=R), rng=np.random.default_rng(0))


def test_batch_first_with_lengths_is_told_that_time_comes_first() -> None:
    cell = LSTMCell(3, 4, rng=R)
    words = r"expected \(32,\): one per row of the batch\. Time comes first, \(T, B, D\): if 84 is the batch"
    with pytest.raises(ValueError, match=words):
        cell.forward(XS, lengths=np.ones(84, int))
