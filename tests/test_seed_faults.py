"""The faults of the three small networks that this library grew from. Each is impossible here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    SGD,
    CharTokenizer,
    Linear,
    OneHot,
    RNNCell,
    Sequential,
    Softmax,
    SoftmaxCrossEntropy,
    TokenStream,
    load,
    save,
)


def integers(*numbers: int) -> Any:
    return np.array(numbers)


def test_1_the_initial_state_has_its_term_at_t_0() -> None:
    cell = RNNCell(2, 3, rng=np.random.default_rng(0)).to(dtype="float64")
    h: Any = np.array([[0.1, -0.2, 0.3]])
    ys, _, cache = cell.forward(np.ones((1, 1, 2)), (h,))
    dys = np.array([[[1.0, 2.0, 3.0]]])
    _, (dh,) = cell.backward(dys, None, cache)
    da = dys[0] * (1 - ys[0] ** 2)
    np.testing.assert_allclose(cell.w_h.grad, np.outer(h, da), rtol=1e-14)
    np.testing.assert_allclose(dh, da @ cell.w_h.value.T, rtol=1e-14)


def test_1_the_loss_of_five_steps_is_no_sum_over_three_axes() -> None:
    loss = SoftmaxCrossEntropy(reduction="sum")(np.zeros((5, 1, 5)), np.arange(5)[:, None])
    assert loss == pytest.approx(8.05, abs=0.005)  # where the seed reports 40.24


def test_1_a_row_without_a_batch_is_told_what_is_expected() -> None:
    with pytest.raises(ValueError, match=r"forward takes \(T, B, D\); xs has shape \(4, 2\)"):
        RNNCell(2, 3, rng=np.random.default_rng(0)).forward(np.ones((4, 2), np.float32))


def test_2_padded_targets_do_not_train() -> None:
    model = Sequential(
        OneHot(4), RNNCell(4, 3, rng=np.random.default_rng(0)), Linear(3, 4, rng=np.random.default_rng(1))
    )
    criterion = SoftmaxCrossEntropy(reduction="sum")

    def gradients(xs: Any, targets: Any) -> Any:
        model.zero_grad()
        logits, _, cache = model.forward(xs)
        model.backward(criterion.backward(criterion.forward(logits, targets)[1]), None, cache)
        return model.flat_grad.copy()

    short = gradients(integers(1, 2)[:, None], integers(2, 3)[:, None])
    padded = gradients(integers(1, 2, 0, 0)[:, None], integers(2, 3, -1, -1)[:, None])
    assert short.any()
    np.testing.assert_allclose(padded, short, atol=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_3_loss_and_gradient_are_normalised_alike(reduction: str, rng: np.random.Generator) -> None:
    criterion = SoftmaxCrossEntropy(reduction=reduction)
    ys, targets, direction = rng.standard_normal((7, 2, 5)), rng.integers(0, 5, (7, 2)), rng.standard_normal((7, 2, 5))
    slope = (criterion(ys + 1e-6 * direction, targets) - criterion(ys - 1e-6 * direction, targets)) / 2e-6
    dys = criterion.backward(criterion.forward(ys, targets)[1])
    assert (dys * direction).sum() == pytest.approx(float(slope), rel=1e-7)


def test_4_an_unknown_character_is_named_with_the_options() -> None:
    with pytest.raises(ValueError, match=r"'z' \(U\+007A\) at position 2 is not one of the 3 characters.*unknown="):
        CharTokenizer.from_text("abc").encode("abz")


def test_5_the_perplexity_of_six_equal_choices_is_6() -> None:
    loss = SoftmaxCrossEntropy()(np.zeros((25, 1, 6)), np.arange(25)[:, None] % 6)
    assert math.exp(loss) == pytest.approx(6, rel=1e-14)  # where the seed prints 3.05e13


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_6_a_logit_of_800_gives_no_nan(dtype: str) -> None:
    logits = np.array([[0, 800], [-800, 0]], dtype)
    np.testing.assert_array_equal(Softmax()(logits), [[0, 1], [0, 1]])
    criterion = SoftmaxCrossEntropy(reduction="none")
    losses, cache = criterion.forward(logits, integers(0, 1))
    np.testing.assert_array_equal(losses, [800, 0])
    np.testing.assert_array_equal(criterion.backward(cache), [[-1, 1], [0, 0]])


def test_7_weights_written_to_a_model_are_those_that_its_optimizer_updates(tmp_path: Any) -> None:
    model, other = (Linear(2, 3, rng=np.random.default_rng(seed)) for seed in (0, 1))
    optimizer = SGD(model, 1.0)
    save(tmp_path / "other.safetensors", other)
    saved = load(tmp_path / "other.safetensors").model
    for name, parameter in model.named_parameters():
        parameter.value = dict(saved.named_parameters())[name].value
        parameter.grad.fill(1)
    optimizer.step()
    np.testing.assert_array_equal(model.w.value, other.w.value - 1)


@pytest.mark.parametrize("length", [8, 9, 10, 12])
def test_8_every_transition_is_trained_once_whatever_the_length(length: int) -> None:
    text = np.arange(length)
    trained = [
        (int(x), int(target))
        for xs, targets, _ in TokenStream(text, batch=1, steps=4)
        for x, target in zip(xs[:, 0], targets[:, 0], strict=True)
        if target != -1
    ]
    assert trained == [(i, i + 1) for i in range(length - 1)]


def test_10_the_gradients_of_the_weights_have_the_factor_from_upstream_and_the_state_before() -> None:
    cell = RNNCell(2, 2, rng=np.random.default_rng(0)).to(dtype="float64")
    rng = np.random.default_rng(1)
    xs, h = rng.standard_normal((3, 1, 2)), rng.standard_normal((1, 2))
    dys = rng.standard_normal((3, 1, 2))
    hs, _, cache = cell.forward(xs, (h,))
    cell.backward(dys, None, cache)
    dw_x, dw_h, dh = np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((1, 2))
    for t in (2, 1, 0):
        da = (dys[t] + dh) * (1 - hs[t] ** 2)
        dw_x += np.outer(xs[t], da)
        dw_h += np.outer(hs[t - 1] if t else h, da)
        dh = da @ cell.w_h.value.T
    np.testing.assert_allclose(cell.w_x.grad, dw_x, rtol=1e-13)
    np.testing.assert_allclose(cell.w_h.grad, dw_h, rtol=1e-13)
