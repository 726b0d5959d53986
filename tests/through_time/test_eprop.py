"""e-prop: exact with the true learning signal, and without it RTRL less the ways over the recurrent weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from through_time_models import (
    B,
    ElementwiseCell,
    Given,
    T,
    batch,
    close,
    cut,
    differs,
    gradient,
    language_model,
    rng,
    rows_of,
    small,
)
from tinygrad_rnn import (
    Batch,
    GRUCell,
    Linear,
    LSTMCell,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    Zoneout,
    record,
)
from tinygrad_rnn.through_time import BPTT, RTRL, EProp, TruncatedBPTT


def lstm() -> Any:
    model = LSTMCell(3, 4, rng=rng()).to(dtype="float64")
    model.flat_value[...] = 0.7 * rng(1).standard_normal(model.flat_value.shape)
    return model


def test_with_the_true_learning_signal_it_equals_back_propagation() -> None:
    """The gradient w.r.t. h through all later steps, in place of that of the present loss."""
    model, xs, dys = lstm(), rng(2).standard_normal((T, B, 3)), rng(3).standard_normal((T, B, 4))
    whole = Batch(xs, dys)
    true = record(model, xs, dys, criterion=Given(dys))[""].gradients["h"]
    exact = gradient(BPTT(), model, whole, criterion=Given(dys))
    close(gradient(EProp(), model, whole, criterion=Given(true)), exact)
    assert differs(gradient(EProp(), model, whole, criterion=Given(dys)), exact)
    assert differs(gradient(RTRL(), model, whole, criterion=Given(true)), exact)


def test_of_an_rnn_it_is_truncation_to_one_step() -> None:
    for rows in ({}, {"lengths": True}, {"starts": True}):
        close(gradient(EProp(), small(), batch(**rows)), gradient(TruncatedBPTT(1, 1), small(), batch(**rows)))


def test_of_a_gru_it_keeps_what_a_unit_keeps_by_itself() -> None:
    """Written out for one row: of the Jacobian z remains."""
    for reset in ("after", "before"):
        model = GRUCell(3, 4, rng=rng(), reset=reset).to(dtype="float64")
        model.flat_value[...] = 0.7 * rng(1).standard_normal(model.flat_value.shape)
        xs, dys = rng(2).standard_normal((T, 1, 3)), rng(3).standard_normal((T, 1, 4))
        expected, trace, state = np.zeros(model.flat_value.size), 0.0, model.initial_state(1)
        for x, dy in zip(xs, dys, strict=True):
            _, after, cache = model.step_forward(x, state)
            direct = []
            for k in range(4):
                model.zero_grad()
                model.step_backward(np.eye(4)[k : k + 1], model.initial_state(1), cache)
                direct.append(model.flat_grad.copy())
            trace, state = cache.z[0][:, None] * trace + np.array(direct), after
            expected += dy[0] @ trace
        close(gradient(EProp(), model, Batch(xs, dys), criterion=Given(dys)), expected)


def test_batches_starts_and_lengths() -> None:
    model = language_model(Zoneout(LSTMCell(3, 4, rng=rng()), 0.3, rng=rng()))
    for starts in (False, True):
        whole = batch(starts=starts)
        found = gradient(EProp(), model, whole)
        close(gradient(EProp(), model, *cut(whole, 2, 1, 4)), found)
        assert differs(found, gradient(BPTT(), model, whole))
    whole = batch(lengths=True)
    model = language_model(LSTMCell(3, 4, rng=rng()))
    close(gradient(EProp(), model, whole), sum(gradient(EProp(), model, row) for row in rows_of(whole)))


def test_the_weights_stay_as_they_are() -> None:
    model: Any = language_model(LSTMCell(3, 4, rng=rng()))
    before = model.flat_value.copy()
    EProp()(model, SoftmaxCrossEntropy(), batch())
    np.testing.assert_array_equal(model.flat_value, before)

    def fails(dy: Any, dstate: Any, cache: Any) -> Any:
        if not model.layers[1].w_h.value.any():
            raise ZeroDivisionError
        return LSTMCell.step_backward(model.layers[1], dy, dstate, cache)

    model.layers[1].step_backward = fails
    with pytest.raises(ZeroDivisionError):
        EProp()(model, SoftmaxCrossEntropy(), batch())
    np.testing.assert_array_equal(model.flat_value, before)


def test_what_it_cannot_go_through_is_named() -> None:
    for model, words in (
        (language_model(RNNCell(3, 4, rng=rng()), Sequential(RNNCell(4, 3, rng=rng()))), "has 2 cells"),
        (language_model(ElementwiseCell(3, 4, rng=rng())), "has no parameter w_h"),
        (language_model(Sequential(Linear(3, 4, rng=rng())), ElementwiseCell(4, 2, rng=rng())), "has no parameter w_h"),
    ):
        with pytest.raises(TypeError, match=rf"^EProp\(\): .*{words}.*SnAp1\(\)"):
            EProp()(model, SoftmaxCrossEntropy(), batch())
