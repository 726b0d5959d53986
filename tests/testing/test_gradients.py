"""The gradient check can fail: every kind of fault is caught, and the message says where."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from table import LENGTHS, STARTS, SteppedRNN
from tinygrad_rnn import Feedforward, Layer, Linear, Loss, OneHot, Parameter, RNNCell, SoftmaxCrossEntropy, Tanh
from tinygrad_rnn.core.states import Leaf, State, StateSpec
from tinygrad_rnn.testing import check_gradients

pytestmark = pytest.mark.messages  # its differences, and what it says: the shapes are checked elsewhere
EVERY = {"xs", "state[0]", "w_x", "w_h", "b"}


class Pieces(SteppedRNN):
    """An `RNNCell` whose backward is in pieces, for the faults to replace."""

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        x, h_prev, h = cache
        da = self.inner(dy, dstate[0], h)
        self.add(x, h_prev, h, da)
        return self.back(da)

    def inner(self, dy: Any, dh: Any, h: Any) -> Any:
        return (dy + dh) * (1 - h * h)

    def add(self, x: Any, h_prev: Any, h: Any, da: Any) -> None:
        self.w_x.grad += x.T @ da
        self.w_h.grad += h_prev.T @ da
        self.b.grad += da.sum(axis=0)

    def back(self, da: Any) -> tuple[Any, State]:
        return da @ self.w_x.value.T, (da @ self.w_h.value.T,)


class MissingFactor(Pieces):
    def inner(self, dy: Any, dh: Any, h: Any) -> Any:
        return dy + dh


class FactorOfTheSigmoid(Pieces):
    def inner(self, dy: Any, dh: Any, h: Any) -> Any:
        return (dy + dh) * h * (1 - h)


class WrongSign(Pieces):
    def inner(self, dy: Any, dh: Any, h: Any) -> Any:
        return (dy - dh) * (1 - h * h)


class StateIgnored(Pieces):
    """Nothing flows in from the step after: neither inside the sequence nor from its end."""

    def inner(self, dy: Any, dh: Any, h: Any) -> Any:
        return dy * (1 - h * h)


class BiasForgotten(Pieces):
    def add(self, x: Any, h_prev: Any, h: Any, da: Any) -> None:
        self.w_x.grad += x.T @ da
        self.w_h.grad += h_prev.T @ da


class InputForState(Pieces):
    """`x_t` where `h_{t-1}` belongs, as a seed printed it."""

    def add(self, x: Any, h_prev: Any, h: Any, da: Any) -> None:
        super().add(x, x, h, da)


class StateAfterForStateBefore(Pieces):
    def add(self, x: Any, h_prev: Any, h: Any, da: Any) -> None:
        super().add(x, h, h, da)


class UpstreamForgotten(Pieces):
    """The gradients of the weights lack the factor from upstream, as a seed printed it."""

    def add(self, x: Any, h_prev: Any, h: Any, da: Any) -> None:
        super().add(x, h_prev, h, 1 - h * h)


class OneStepOnly(Pieces):
    """Each step overwrites what the steps after it gave."""

    def add(self, x: Any, h_prev: Any, h: Any, da: Any) -> None:
        before = self.w_h.grad.copy()
        super().add(x, h_prev, h, da)
        self.w_h.grad -= before


class MeanForSum(Pieces):
    def add(self, x: Any, h_prev: Any, h: Any, da: Any) -> None:
        super().add(x, h_prev, h, da)
        self.b.grad += da.mean(axis=0) - da.sum(axis=0)


class NotTransposed(Pieces):
    def back(self, da: Any) -> tuple[Any, State]:
        return da @ self.w_x.value.T, (da @ self.w_h.value,)


class NoState(Pieces):
    def back(self, da: Any) -> tuple[Any, State]:
        return da @ self.w_x.value.T, (0 * da,)


class NotANumber(Pieces):
    def back(self, da: Any) -> tuple[Any, State]:
        dx, dstate = super().back(da)
        return dx * np.nan, dstate


class WrongShape(Pieces):
    def back(self, da: Any) -> tuple[Any, State]:
        dx, dstate = super().back(da)
        return dx[:, :1], dstate


class FirstTermDropped(SteppedRNN):
    """The t - 1 term of `w_h` is dropped at t = 0, as if the sequence began with zeros."""

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        first = cache.steps[0]._replace(h_prev=0 * cache.steps[0].h_prev)
        return super().unroll_backward(dys, dstate, cache._replace(steps=(first, *cache.steps[1:])))


class LastStateIgnored(SteppedRNN):
    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        return super().unroll_backward(dys, (0 * dstate[0],), cache)


class NothingPassedThrough(SteppedRNN):
    """The gradient of a row that has ended does not reach the row's last step."""

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        if cache.rows.active is not None:
            dstate = (dstate[0] * cache.rows.active[-1][:, None],)
        return super().unroll_backward(dys, dstate, cache)


class CrossesDocuments(SteppedRNN):
    """The gradient goes on into the document before."""

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        return super().unroll_backward(dys, dstate, cache._replace(rows=cache.rows._replace(starts=None)))


class SkipsTheFirstStep(SteppedRNN):
    """Nothing reaches the first step of a document from its output; the state before it is 0 anyhow."""

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        starts = cache.rows.starts
        if starts is not None:
            dys = np.where(starts[..., None], 0, dys)
        return super().unroll_backward(dys, dstate, cache)


class Learns(SteppedRNN):
    """An `RNNCell` that learns its first state."""

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.h0 = Parameter(np.zeros(out_size, np.float32))

    @property
    def state_spec(self) -> StateSpec:
        return (Leaf("h", (self.out_size,), initial=self.h0),)


class ForgetsWhatItBeganFrom(Learns):
    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        before = self.h0.grad.copy()
        found = super().unroll_backward(dys, dstate, cache)
        self.h0.grad = before
        return found


def failures(layer: Layer, lengths: Any = None, starts: Any = None) -> str:
    with pytest.raises(AssertionError) as caught:
        check_gradients(layer, rng=np.random.default_rng(1), lengths=lengths, starts=starts)
    return str(caught.value)


def cell(kind: type[RNNCell]) -> RNNCell:
    return kind(3, 3, rng=np.random.default_rng(0))  # D = H, so that x fits where h belongs


def arrays(message: str) -> set[str]:
    """Of which the message says that they are wrong."""
    return set(re.findall(r"^  (\S+?):? (?:at|backward) ", message, re.MULTILINE))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (MissingFactor, EVERY),
        (FactorOfTheSigmoid, EVERY),
        (WrongSign, EVERY),
        (StateIgnored, EVERY),
        (LastStateIgnored, EVERY),
        (BiasForgotten, {"b"}),
        (InputForState, {"w_h"}),
        (StateAfterForStateBefore, {"w_h"}),
        (FirstTermDropped, {"w_h"}),
        (UpstreamForgotten, {"w_x", "w_h", "b"}),
        (OneStepOnly, {"w_h"}),
        (MeanForSum, {"b"}),
        (NotTransposed, EVERY),
        (NoState, EVERY),
        (NotANumber, {"xs"}),
    ],
)
def test_a_fault_is_caught_in_the_arrays_that_have_it(kind: type[RNNCell], wrong: set[str]) -> None:
    message = failures(cell(kind))
    assert message.startswith(f"{kind.__name__}(3, 3): backward does not fit forward. ")
    assert arrays(message) == wrong


def test_without_a_fault_every_error_is_small() -> None:
    errors = check_gradients(cell(Pieces), rng=np.random.default_rng(1))
    assert errors.keys() == EVERY
    assert max(errors.values()) < 1e-8


def test_a_fault_past_a_rows_end_is_caught_with_lengths() -> None:
    layer = cell(NothingPassedThrough)
    check_gradients(layer, rng=np.random.default_rng(1))
    assert "state[0]" in arrays(failures(layer, LENGTHS))


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (CrossesDocuments, EVERY),
        (SkipsTheFirstStep, {"xs", "w_x", "b"}),
        (ForgetsWhatItBeganFrom, {"h0"}),
    ],
)
def test_a_fault_where_a_document_begins_is_caught_with_starts(
    kind: type[RNNCell], wrong: set[str], lengths: Any
) -> None:
    layer = cell(kind)
    check_gradients(layer, rng=np.random.default_rng(1), lengths=lengths)
    assert arrays(failures(layer, lengths, STARTS)) == wrong


def test_with_starts_a_cell_is_checked_in_both_ways_and_without_a_fault_passes() -> None:
    for kind, names in ((Pieces, EVERY), (Learns, {*EVERY, "h0"})):
        for lengths in (None, LENGTHS):
            errors = check_gradients(cell(kind), rng=np.random.default_rng(1), lengths=lengths, starts=STARTS)
            assert errors.keys() == names
            assert max(errors.values()) < 1e-8
    message = failures(cell(BiasForgotten), None, STARTS)
    assert re.search(r"\n  b, step by step, at ", message)


class OneEntry(Feedforward):
    """Twice its input; one entry of the gradient is wrong by a quarter."""

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, None]:
        return 2 * x, None

    def backward(self, dy: Any, cache: None) -> Any:
        dx = 2 * dy
        dx[2, 1, 3] += 0.25
        return dx


def test_the_message_says_where_and_what() -> None:
    message = failures(OneEntry())
    number = r"(-?\d+\.?\d*(?:e-\d+)?)"
    found = re.fullmatch(
        r"OneEntry\(\): backward does not fit forward\. `dx` in backward is wrong in step 2, row 1, though all "
        r"that can be checked before it is right\. The gradient w\.r\.t\. x \(step 2, row 1\) is wrong "
        r"because of this\.\n"
        rf"  x at \[2, 1, 3\], time step 2, row 1, backward gives {number}, central differences {number}; "
        rf"error {number} of the largest entry, allowed 1\.0e-07; 1 of 60 entries are wrong",
        message,
    )
    assert found is not None, message
    analytic, numerical, error = map(float, found.groups())
    assert analytic - numerical == pytest.approx(0.25, rel=1e-5)
    assert 0.01 < error < 0.25


def test_a_parameter_is_named_by_its_path_and_has_no_time_step() -> None:
    message = failures(cell(BiasForgotten))
    assert re.search(r"\n  b at \[\d\] backward gives \S+, central differences -?\d\S+; error", message)
    assert "time step" not in message


def test_each_fault_is_reported_once_for_each_way_that_has_it() -> None:
    message = failures(cell(FirstTermDropped))  # the single steps are right
    assert message.count("\n") == 1, message


class Nothing(OneEntry):
    def backward(self, dy: Any, cache: None) -> Any:
        return None


class Flat(OneEntry):
    def backward(self, dy: Any, cache: None) -> Any:
        return 2 * dy.ravel()


class Constant(OneEntry):
    """Its gradient is 0, which a relative error could not be measured by."""

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, None]:
        return 0 * x, None

    def backward(self, dy: Any, cache: None) -> Any:
        return 1e-3 * dy


def test_an_absent_gradient_is_caught() -> None:
    assert failures(Nothing()) == (
        "Nothing(): backward does not fit forward. The gradient w.r.t. x is absent.\n  x: backward gives no gradient"
    )


def test_a_gradient_of_another_shape_is_caught() -> None:
    assert "\n  x: backward gives the shape (60,), expected (4, 3, 5)" in failures(Flat())
    with pytest.raises(
        ValueError, match=r"step_backward at step 3 gave dx of shape \(3, 1\), expected \(3, 3\)"
    ) as raised:
        failures(cell(WrongShape))  # training would end there too
    (note,) = raised.value.__notes__
    assert "The gradient w.r.t. xs is wrong" in note
    assert "The gradients w.r.t. b, state[0], w_h and w_x are right." in note


def test_a_gradient_where_there_is_none_is_caught() -> None:
    assert arrays(failures(Constant())) == {"x"}


class ClearsItsGradients(Linear):
    """As `=` does in place of `+=`: one call looks right where the gradients were 0 before."""

    def backward(self, dy: Any, cache: Any) -> Any:
        self.zero_grad()
        return super().backward(dy, cache)


def test_a_gradient_that_does_not_add_to_what_was_there_is_caught() -> None:
    assert arrays(failures(ClearsItsGradients(3, 2, rng=np.random.default_rng(0)))) == {"w", "b"}


class Halved(SoftmaxCrossEntropy):
    """Loss and gradient are normalised differently."""

    def backward(self, cache: Any, dloss: Any = None) -> Any:
        return super().backward(cache, dloss) / 2


class UpstreamLost(SoftmaxCrossEntropy):
    def backward(self, cache: Any, dloss: Any = None) -> Any:
        return super().backward(cache)


class PaddingTrains(SoftmaxCrossEntropy):
    """Where no target counts there is a gradient all the same."""

    def backward(self, cache: Any, dloss: Any = None) -> Any:
        dys = super().backward(cache, dloss)
        dys[~cache.counts] = 0.1
        return dys


@pytest.mark.parametrize("kind", [Halved, UpstreamLost, PaddingTrains])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_faults_of_a_loss_are_caught(kind: type[Loss], lengths: Any) -> None:
    assert arrays(failures(kind(), lengths)) == {"ys"}


def test_the_layer_stays_as_it_is() -> None:
    layer = Linear(3, 2, rng=np.random.default_rng(0))
    layer.w.grad.fill(3)
    w = layer.w.value.copy()
    check_gradients(layer, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(layer.w.value, w)
    assert (layer.w.grad == 3).all()
    assert layer.dtype == np.float32
    assert not layer.b.value.any()


def test_errors_have_the_names_of_the_arrays() -> None:
    rng = np.random.default_rng(1)
    assert check_gradients(Tanh(), rng=rng).keys() == {"x"}
    assert check_gradients(OneHot(3), rng=rng) == {}
    assert check_gradients(SoftmaxCrossEntropy(), rng=rng).keys() == {"ys"}


def test_a_larger_error_may_be_allowed() -> None:
    class Rough(OneEntry):
        def backward(self, dy: Any, cache: None) -> Any:
            return 2.001 * dy

    with pytest.raises(AssertionError, match=r"allowed 1\.0e-04; \d+ of 60 entries are wrong"):
        check_gradients(Rough(), rng=np.random.default_rng(1), tolerance=1e-4)
    errors = check_gradients(Rough(), rng=np.random.default_rng(1), tolerance=1e-2)
    assert errors["x"] == pytest.approx(5e-4, rel=1e-3)


def test_a_layer_of_no_role_is_refused() -> None:
    message = (
        r"Layer\(\) is neither Feedforward, Recurrent, Attention, Pool, EncoderDecoder, ManyToOne nor Loss, so there"
    )
    with pytest.raises(TypeError, match=message):
        check_gradients(Layer(), rng=np.random.default_rng(1))
