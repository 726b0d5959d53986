"""What all methods share: what they refuse, `fit` with each of them, and a training that is resumed to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from through_time_models import batch, close, cut, gradient, language_model, rng, small
from tinygrad_rnn import (
    SGD,
    AttentionDecoder,
    Batch,
    Bidirectional,
    DotAttention,
    DropConnect,
    GRUCell,
    Linear,
    LockedDropout,
    ManyToOne,
    OneHot,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
    TokenStream,
    fit,
    gradients,
    load,
    save,
)
from tinygrad_rnn.testing import StrictDevice
from tinygrad_rnn.through_time import BPTT, RTRL, UORO, Checkpointed, EProp, Method, SnAp1, TruncatedBPTT

LOSS = SoftmaxCrossEntropy()


def methods() -> list[Any]:
    return [BPTT(), TruncatedBPTT(2, 5), Checkpointed(2, block=2), RTRL(), SnAp1(), UORO(rng()), EProp()]


def test_they_are_written_as_they_are_made() -> None:
    texts = ["BPTT()", "TruncatedBPTT(2,5)", "Checkpointed(2,block=2)", "RTRL()", "SnAp1()", "UORO()", "EProp()"]
    assert [repr(method).replace(" ", "") for method in methods()] == texts
    assert repr(Checkpointed(outputs=True)) == "Checkpointed(45, outputs=True)"


def test_bptt_is_what_gradients_does() -> None:
    model, whole = small(), batch(lengths=True, starts=True)
    found = gradient(BPTT(), model, whole, dloss=0.5)
    model.flat_grad[...] = 3.0
    expected = gradients(model, SoftmaxCrossEntropy(reduction="sum"), whole, dloss=0.5)
    np.testing.assert_array_equal(model.flat_grad - 3.0, found)
    loss, ys, state = BPTT()(model, SoftmaxCrossEntropy(reduction="sum"), whole)
    np.testing.assert_array_equal(loss, expected[0])
    np.testing.assert_array_equal(ys, expected[1])
    np.testing.assert_array_equal(state[1][0], expected[2][1][0])
    classifier = ManyToOne(RNNCell(3, 5, rng=rng()))
    _, y, _ = BPTT()(classifier, LOSS, Batch(np.ones((4, 2, 3), "f4"), np.array([1, 2])))
    assert y.shape == (2, 5)


def test_losses_and_outputs_are_those_of_the_model() -> None:
    model, whole = small(), batch(lengths=True, starts=True)
    ys, state = model(whole.xs, lengths=whole.lengths, starts=whole.starts)
    for method in methods():
        loss, found, carry = method(model, LOSS, whole)
        close(loss, LOSS(ys, whole.targets, lengths=whole.lengths, weights=whole.weights))
        if not isinstance(method, Checkpointed):
            close(found, ys)
        after = carry if isinstance(method, (BPTT, Checkpointed)) else carry[0]
        close(after[1][0], state[1][0])
        begun = method.carry_of(state)
        assert (begun is state) == isinstance(method, (BPTT, Checkpointed))
        assert begun is state or begun == (state, None)
        following = method(model, LOSS, batch(seed=7), begun)
        close(following[0], BPTT()(model, LOSS, batch(seed=7), state)[0])


def model_of(method: Any) -> Any:
    cell = RNNCell(6, 5, rng=rng()) if isinstance(method, BPTT) else GRUCell(6, 3, rng=rng())
    return Sequential(OneHot(6), cell, Linear(cell.out_size, 6, rng=rng()))


def trained(method: Any, steps: int, **given: Any) -> Any:
    model = given["resume"].model if "resume" in given else model_of(method)
    optimizer = SGD(model, 0.1, momentum=0.9)
    fit(
        model,
        LOSS,
        optimizer,
        TokenStream(np.arange(61) ** 2 % 6, batch=3, steps=4),
        steps=steps,
        method=method,
        **given,
    )
    return model


def test_fit_takes_each_of_them_and_goes_on_to_the_bit(tmp_path: Path) -> None:
    for i, method in enumerate(methods()):
        whole = trained(type(method)(rng()) if isinstance(method, UORO) else method, 7)
        first = UORO(rng()) if isinstance(method, UORO) else method
        trained(first, 3, checkpoint=tmp_path / f"{i}")
        again = trained(UORO(rng(9)) if isinstance(method, UORO) else method, 7, resume=load(tmp_path / f"{i}"))
        np.testing.assert_array_equal(again.flat_value, whole.flat_value)
        assert not np.array_equal(whole.flat_value, model_of(method).flat_value)


def test_without_a_method_fit_is_bptt() -> None:
    np.testing.assert_array_equal(trained(None, 5).flat_value[:0], [])
    one, other = trained(BPTT(), 5), model_of(BPTT())
    stream = TokenStream(np.arange(61) ** 2 % 6, batch=3, steps=4)
    fit(other, LOSS, SGD(other, 0.1, momentum=0.9), stream, steps=5)
    np.testing.assert_array_equal(one.flat_value, other.flat_value)


def test_fit_gives_a_factor_where_it_accumulates() -> None:
    one, other = trained(BPTT(), 2, accumulate=2), model_of(BPTT())
    stream = TokenStream(np.arange(61) ** 2 % 6, batch=3, steps=4)
    fit(other, LOSS, SGD(other, 0.1, momentum=0.9), stream, steps=2, accumulate=2)
    np.testing.assert_array_equal(one.flat_value, other.flat_value)


def test_fit_takes_a_function() -> None:
    called = []

    def method(model: Any, criterion: Any, given: Any, carry: Any) -> Any:
        called.append(carry)
        loss, ys, state = gradients(model, criterion, given)
        return loss, ys, (state, len(called))

    model = model_of(BPTT())
    fit(model, LOSS, SGD(model, 0.1), [batch(4)._replace(starts=None), batch(4, starts=True)], steps=4, method=method)
    assert [carry and carry[1] for carry in called] == [None, None, 2, None]


def test_a_carry_is_saved_in_the_place_of_a_state(tmp_path: Path) -> None:
    model, (first, second) = small(), cut(batch(starts=True), 3, 4)
    for method in methods():
        _, _, carry = method(model, LOSS, first)
        save(tmp_path / "file", model, carry=carry)
        found = []
        for given in (carry, load(tmp_path / "file").state):
            model.zero_grad()
            method(model, LOSS, second, given)
            found.append(model.flat_grad.copy())
        np.testing.assert_array_equal(*found)
    with pytest.raises(ValueError, match="state and carry are given"):
        save(tmp_path / "file", model, carry=carry, state=model.initial_state(2))
    with pytest.raises(TypeError, match="carry is a list, where a tuple was expected"):
        save(tmp_path / "file", model, carry=[*carry])
    with pytest.raises(TypeError, match=r"carry\[1\] is a str, where an array"):
        save(tmp_path / "file", model, carry=(None, "x"))


def test_on_a_strict_device() -> None:
    device = StrictDevice()
    for method in methods():
        there = small().to(device)
        whole = Batch(*(None if array is None else device.asarray(array) for array in batch(starts=True)))
        loss, _, _ = method(there, LOSS, whole)
        here = small()
        close(device.to_host(loss), method(here, LOSS, batch(starts=True))[0])
        if not isinstance(method, UORO):
            close(device.to_host(there.flat_grad), here.flat_grad)


@pytest.mark.messages
def test_models_that_a_method_cannot_go_through_are_named() -> None:
    vectors = Batch(np.zeros((2, 1, 3), "f4"), np.zeros((2, 1), int))
    both = Bidirectional(GRUCell(3, 2, rng=rng()), GRUCell(3, 2, rng=rng()))
    for method in methods():
        name = rf"^{type(method).__name__}\("
        with pytest.raises(TypeError, match=f"{name}.*model must be a Recurrent"):
            method(Linear(3, 4, rng=rng()), LOSS, vectors)
        with pytest.raises(TypeError, match=f"{name}.*criterion must be a Loss"):
            method(small(), 3, vectors)
        with pytest.raises(TypeError, match=f"{name}.*batch must be a Batch"):
            method(small(), LOSS, (vectors.xs, vectors.targets))
        if not isinstance(method, BPTT):
            with pytest.raises(TypeError, match=rf"{name}.*ManyToOne.* gives one output a row.* use BPTT\(\)"):
                method(ManyToOne(RNNCell(3, 5, rng=rng())), LOSS, vectors._replace(targets=np.array([1])))
            with pytest.raises(ValueError, match=rf"{name}.*also reads backward.*use BPTT\(\)"):
                method(both, LOSS, vectors)
        with pytest.raises(ValueError, match="gives a loss of shape"):
            method(RNNCell(3, 4, rng=rng()), SoftmaxCrossEntropy(reduction="none"), vectors)


@pytest.mark.messages
def test_what_forward_mode_cannot_go_through_is_named() -> None:
    vectors = Batch(np.zeros((2, 1, 3), "f4"), np.zeros((2, 1), int))
    decoder = AttentionDecoder(RNNCell(3, 4, rng=rng()), DotAttention())
    for method in methods()[3:]:
        name = rf"^{type(method).__name__}\("
        for layer in (LockedDropout(0.4, rng=rng()), DropConnect(RNNCell(3, 3, rng=rng()), 0.3, rng=rng())):
            for model in (
                Sequential(layer, RNNCell(3, 4, rng=rng())),
                Sequential(Sequential(layer), RNNCell(3, 4, rng=rng())),
            ):
                with pytest.raises(
                    TypeError, match=rf"{name}.*{type(layer).__name__}.* is no Cell and no Feed.*Checkpointed\(\)"
                ):
                    method(model, LOSS, vectors)
        with pytest.raises(TypeError, match=f"{name}.*AttentionDecoder.* is no Cell"):
            method(decoder, LOSS, vectors)
        with pytest.raises(ValueError, match=rf"{name}.* has no state, so nothing goes through time: use BPTT\(\)"):
            method(Sequential(Tanh()), LOSS, vectors)
        with pytest.raises(ValueError, match=r"xs has shape \(2, 1, 3\), but its last axis must have size 2"):
            method(RNNCell(2, 4, rng=rng()), LOSS, vectors)
        with pytest.raises(
            ValueError, match=rf"{name[1:]}.* takes \(T, B, D\); xs has shape \(2, 3\). One step is a batch"
        ):
            method(RNNCell(3, 4, rng=rng()), LOSS, vectors._replace(xs=vectors.xs[:, 0]))
        with pytest.raises(TypeError, match="xs is float64"):
            method(RNNCell(3, 4, rng=rng()), LOSS, vectors._replace(xs=vectors.xs.astype("f8")))
        with pytest.raises(ValueError, match="lengths"):
            method(RNNCell(3, 4, rng=rng()), LOSS, vectors._replace(lengths=np.array([3])))


@pytest.mark.messages
def test_a_carry_of_another_kind_is_named() -> None:
    model, whole = small(), batch()
    state = model.initial_state(3)
    for method in [*methods()[3:], TruncatedBPTT(1, 2)]:
        name = rf"^{type(method).__name__}\(.*: carry"
        for bad in ([state, None], (state,), 3):
            with pytest.raises(TypeError, match=f"{name} must be None, or what a call of this method gave"):
                method(model, LOSS, whole, bad)
        with pytest.raises(TypeError, match=f"{name} must be None, or what a call of this method gave"):
            method(model, LOSS, whole, (state, (1, 2, 3, 4)))
        with pytest.raises(ValueError, match=r"has shape \(2, 4\), expected \(3, 4\)"):
            method(model, LOSS, whole, (model.initial_state(2), None))


@pytest.mark.messages
def test_fit_refuses_what_is_no_method() -> None:
    model = small()
    bad: Any
    for bad in (3, "BPTT", BPTT, [BPTT()]):
        with pytest.raises(TypeError, match="fit: method must be one of through_time, such as"):
            fit(model, LOSS, SGD(model, 0.1), [batch()], steps=1, method=bad)
    with pytest.raises(TypeError, match="fit: batch must be a Batch"):
        fit(model, LOSS, SGD(model, 0.1), [3], steps=1, method=BPTT())  # type: ignore[list-item]


class Own(Method):
    """A method of one's own: twice the gradient."""

    def add_gradients(self, model: Any, criterion: Any, batch: Batch, carry: Any, dloss: Any) -> Any:
        return BPTT()(model, criterion, batch, carry, dloss=2.0)


def test_a_method_of_ones_own() -> None:
    assert repr(Own()) == "Own()"
    close(gradient(Own(), small(), batch()), 2 * gradient(BPTT(), small(), batch()))
    close(
        gradient(TruncatedBPTT(3, 3), language_model(GRUCell(3, 4, rng=rng())), batch(3)),
        gradient(BPTT(), language_model(GRUCell(3, 4, rng=rng())), batch(3)),
    )
