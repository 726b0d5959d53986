from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import naive
from philox import drawn
from table import SteppedRNN
from tinygrad_rnn import DropConnect, LayerNormLSTMCell, Linear, RNNCell
from tinygrad_rnn.cells.base import KernelCache
from tinygrad_rnn.kernels import rnn
from tinygrad_rnn.kernels.caches import RNNCache

XS: Any = np.random.default_rng(1).standard_normal((5, 3, 3))
STATE: Any = (np.random.default_rng(2).standard_normal((3, 4)),)


def dropped(kind: type[RNNCell] = RNNCell, rate: float = 0.4) -> DropConnect:
    rng = np.random.default_rng(0)
    return DropConnect(kind(3, 4, rng=rng), rate, rng=rng).to(dtype="float64")


def mask_of(layer: DropConnect) -> Any:
    """The next one."""
    return (drawn(copy.deepcopy(layer.rng), (4, 4)) < 0.6) / 0.6


@pytest.mark.parametrize("kind", [RNNCell, SteppedRNN])
@pytest.mark.parametrize("lengths", [None, [5, 2, 0]])
def test_forward_in_training_is_the_equation_with_one_mask_for_the_sequence(kind: Any, lengths: Any) -> None:
    layer = dropped(kind)
    mask = mask_of(layer)
    given: Any = None if lengths is None else np.array(lengths)
    ys, state, cache = layer.forward(XS, STATE, lengths=given)
    np.testing.assert_allclose(cache.inner.mask, mask, rtol=1e-12)
    expected, after = naive.drop_connect(naive.rnn)(layer, XS, STATE, lengths, mask.tolist())
    np.testing.assert_allclose(ys, expected, atol=1e-12)
    np.testing.assert_allclose(state[0], after[0], atol=1e-12)


def test_the_kernel_of_the_cell_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def watched(name: str, function: Any) -> Any:
        def call(*args: Any) -> Any:
            calls.append(name)
            return function(*args)

        return call

    kernel = rnn.TANH
    both = {name: watched(name, getattr(kernel, name)) for name in ("forward", "backward")}
    monkeypatch.setattr(rnn, "TANH", kernel._replace(**both))
    layer = dropped()
    ys, _, cache = layer.forward(XS, STATE)
    layer.backward(ys, None, cache)
    assert calls == ["forward", "backward"]
    assert isinstance(cache.inner.cell, KernelCache)
    assert isinstance(cache.inner.cell.steps, RNNCache)


def test_a_step_by_itself_draws_a_mask_of_its_own() -> None:
    layer = dropped()
    for t in range(3):
        mask = mask_of(layer)
        y, _, _ = layer.step_forward(XS[t], STATE)
        expected, _ = naive.drop_connect(naive.rnn)(layer, XS[t : t + 1], STATE, None, mask.tolist())
        np.testing.assert_allclose(y, expected[0], atol=1e-12)


def test_a_weight_that_was_dropped_has_no_gradient_and_the_cell_stays_as_it_is() -> None:
    layer = dropped()
    weights, before = layer.cell.w_h, layer.cell.w_h.value.copy()
    ys, _, cache = layer.forward(XS, STATE)
    layer.backward(ys, None, cache)
    assert layer.cell.w_h is weights
    np.testing.assert_array_equal(weights.value, before)
    np.testing.assert_array_equal(weights.grad == 0, cache.inner.mask == 0)
    assert layer.cell.w_x.grad.all()


def test_a_backward_reads_the_weights_as_they_are_then() -> None:
    layer = dropped()
    ys, _, cache = layer.forward(XS, STATE)
    before = layer.backward(ys, None, cache)[1][0]
    layer.cell.w_h.value *= 0
    after = layer.backward(ys, None, cache)[1][0]
    assert before.any()
    assert not after.any()


def test_the_parameters_stay_in_one_vector() -> None:
    layer = dropped()
    vector = layer.flat_grad
    ys, _, cache = layer.forward(XS, STATE)
    layer.backward(ys, None, cache)
    assert layer.flat_grad.base is vector.base
    np.testing.assert_array_equal(vector[np.flatnonzero(vector)][:1], layer.cell.w_x.grad.ravel()[:1])


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_at_inference_it_is_the_cell_within(rate: float) -> None:
    layer = dropped(rate=rate)
    np.testing.assert_array_equal(layer(XS, STATE)[0], layer.cell(XS, STATE)[0])
    np.testing.assert_array_equal(layer.step(XS[0], STATE)[0], layer.cell.step(XS[0], STATE)[0])


def test_it_takes_any_cell_with_a_w_h() -> None:
    rng = np.random.default_rng(0)
    layer = DropConnect(LayerNormLSTMCell(3, 4, rng=rng), 0.4, rng=rng).to(dtype="float64")
    ys, state, cache = layer.forward(XS)
    assert (ys.shape, len(state), cache.inner.mask.shape) == ((5, 3, 4), 2, (4, 16))
    layer.backward(ys, None, cache)
    assert not layer.cell.w_h.grad[cache.inner.mask == 0].any()


@pytest.mark.messages
def test_arguments_that_do_not_fit_are_told_why() -> None:
    rng = np.random.default_rng(0)
    linear: Any = Linear(3, 4, rng=rng)
    with pytest.raises(TypeError, match=r"DropConnect: cell must be a Recurrent, not Linear\(3, 4\)"):
        DropConnect(linear, 0.1, rng=rng)
    nested = dropped()
    with pytest.raises(
        TypeError, match=r"DropConnect\(RNNCell\(3, 4\), 0.4\) has no parameter w_h whose weights could be dropped"
    ):
        DropConnect(nested, 0.1, rng=rng)


@pytest.mark.messages
def test_a_state_that_does_not_fit_is_told_as_the_cell_within_declares_it() -> None:
    message = r"^DropConnect\(RNNCell\(3, 4\), 0.4\): state\[0\], which is h, has shape \(2, 4\), expected \(3, 4\)"
    with pytest.raises(ValueError, match=message):
        dropped().forward(XS, (STATE[0][:2],))
