from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Adagrad, ClipValue, Layer, Parameter


class Weights(Layer):
    """One parameter and nothing else."""

    def __init__(self, dtype: str = "float64") -> None:
        self.w = Parameter(np.random.default_rng(0).standard_normal((3, 5)).astype(dtype))


@pytest.mark.parametrize("eps", [1e-8, 0.5])
def test_adagrad(eps: float) -> None:
    """Ten steps against the textbook; eps stands outside the root."""
    model, rng = Weights(), np.random.default_rng(1)
    optimizer = Adagrad(model, lambda step: 0.1 / (1 + step), eps=eps)
    w, s = model.w.value.copy(), np.zeros((3, 5))
    for step in range(10):
        g = rng.standard_normal((3, 5))
        model.w.grad = g
        optimizer.step()
        s = s + g**2
        w = w - 0.1 / (1 + step) * g / (np.sqrt(s) + eps)
        np.testing.assert_allclose(model.w.value, w, rtol=1e-12)
        np.testing.assert_array_equal(model.w.grad, g)
        np.testing.assert_allclose(optimizer.sum[:15], s.ravel(), rtol=1e-12)


def test_the_first_step_is_the_learning_rate_whatever_the_gradient() -> None:
    for size in (1e-6, 1.0, 1e6):
        model = Weights()
        before = model.w.value.copy()
        optimizer = Adagrad(model, 0.1, eps=1e-20)
        model.w.grad = np.full((3, 5), -size)
        optimizer.step()
        np.testing.assert_allclose(model.w.value, before + 0.1, rtol=1e-12)


def test_a_parameter_without_gradient_stays() -> None:
    model = Weights("float32")
    before = model.w.value.copy()
    optimizer = Adagrad(model, 0.1)
    model.w.grad[0] = 1
    optimizer.step()
    np.testing.assert_array_equal(model.w.value[1:], before[1:])
    np.testing.assert_allclose(model.w.value[0], before[0] - 0.1, rtol=1e-6)


def test_the_sum_is_of_clipped_gradients() -> None:
    model = Weights()
    optimizer = Adagrad(model, 0.1, clip=ClipValue(5.0))
    model.w.grad.fill(100)
    optimizer.step()
    np.testing.assert_array_equal(optimizer.sum[:15], np.full(15, 25.0))
    assert optimizer.last_norm == pytest.approx(100 * math.sqrt(15), rel=1e-14)


@pytest.mark.messages
@pytest.mark.parametrize("eps", [0.0, -1e-8, math.nan])
def test_eps_is_above_zero(eps: float) -> None:
    model: Any = Weights()
    with pytest.raises(ValueError, match=f"^Adagrad: eps must be above 0, not {eps}$"):
        Adagrad(model, 0.1, eps=eps)
    with pytest.raises(ValueError, match=r"^Adagrad: eps is 1e-50, which float32 may take for 0: give at least 1e-37$"):
        Adagrad(model, 0.1, eps=1e-50)
    assert model.w.vector is None
