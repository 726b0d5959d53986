from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import LayerNorm

rng = np.random.default_rng(1)


def test_every_vector_has_mean_0_and_variance_1() -> None:
    y = LayerNorm(64).to(dtype="float64")(5 + 3 * rng.standard_normal((4, 3, 64)))
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=-1), 1, atol=1e-5)


def test_parameters_begin_as_ones_and_zeros() -> None:
    layer = LayerNorm(3)
    assert {name: p.value.tolist() for name, p in layer.named_parameters()} == {"g": [1, 1, 1], "b": [0, 0, 0]}
    assert [name for name, _ in LayerNorm(3, bias=False).named_parameters()] == ["g"]
    assert LayerNorm(3, eps=0.1, bias=False).config() == {"size": 3, "eps": 0.1, "bias": False}


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6, 1e30])
def test_a_vector_of_equal_entries_becomes_b_and_has_a_finite_gradient(value: float) -> None:
    layer = LayerNorm(7)
    layer.b.value = np.arange(7, dtype=np.float32)  # type: ignore[union-attr]  # it has one
    x: Any = np.full((2, 7), value, np.float32)
    y, cache = layer.forward(x)
    np.testing.assert_array_equal(y, np.stack([np.arange(7)] * 2))
    dy = rng.standard_normal((2, 7)).astype(np.float32)
    dx = layer.backward(dy, cache)
    np.testing.assert_allclose(dx, (dy - dy.mean(axis=-1, keepdims=True)) / np.sqrt(1e-5), rtol=1e-4, atol=1e-3)
    assert not layer.g.grad.any()


@pytest.mark.parametrize("offset", [1e2, 1e4, 1e6, -1e7])
def test_a_large_offset_costs_no_digits(offset: float) -> None:
    """Whatever the rounding of the input has left is normalised to the precision of float32."""
    x = (offset + 20 * rng.standard_normal((50, 256))).astype(np.float32)
    exact = x.astype(float) - x.astype(float).mean(axis=-1, keepdims=True)
    exact /= np.sqrt((exact * exact).mean(axis=-1, keepdims=True) + 1e-5)
    y = LayerNorm(256)(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, exact, rtol=0, atol=5e-6)


def test_an_outlier_that_comes_first_costs_no_digits() -> None:
    x = rng.standard_normal((50, 256)).astype(np.float32)
    x[:, 0] = 1e5
    exact = x.astype(float) - x.astype(float).mean(axis=-1, keepdims=True)
    exact /= np.sqrt((exact * exact).mean(axis=-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(LayerNorm(256)(x), exact, rtol=0, atol=5e-6)


def test_an_eps_that_is_a_scalar_of_numpy_spreads_no_dtype() -> None:
    assert LayerNorm(4, eps=np.float64(1e-5))(np.ones((2, 4), np.float32)).dtype == np.float32


def test_any_leading_axes_will_do() -> None:
    layer = LayerNorm(5).to(dtype="float64")
    x = rng.standard_normal((4, 3, 5))
    whole, cache = layer.forward(x)
    layer.backward(x, cache)
    total = layer.g.grad.copy()
    layer.zero_grad()
    for index in np.ndindex(4, 3):
        y, cache = layer.forward(x[index])
        np.testing.assert_allclose(y, whole[index], atol=1e-12)
        assert layer.backward(x[index], cache).shape == (5,)
    np.testing.assert_allclose(layer.g.grad, total, atol=1e-12)


@pytest.mark.messages
def test_what_does_not_fit_is_told_why() -> None:
    wrong: Any = 2.5
    for call, error, message in (
        (lambda: LayerNorm(0), ValueError, "LayerNorm: size must be at least 1, not 0"),
        (lambda: LayerNorm(wrong), TypeError, "LayerNorm: size must be an integer, not 2.5"),
        (lambda: LayerNorm(3, eps=0.0), ValueError, "LayerNorm: eps must be above 0, not 0.0"),
        (lambda: LayerNorm(3, eps=float("nan")), ValueError, "LayerNorm: eps must be above 0, not nan"),
        (lambda: LayerNorm(3, eps=float("inf")), ValueError, "LayerNorm: eps must be finite, not inf"),
        (lambda: LayerNorm(3, eps=1e-50), ValueError, "LayerNorm: eps is 1e-50, which float32 may take for 0"),
        (lambda: LayerNorm(3)(np.ones((2, 4), np.float32)), ValueError, r"x has shape \(2, 4\), but its last axis"),
        (lambda: LayerNorm(3)(np.ones((2, 3))), TypeError, "x is float64, but the parameters are float32"),
    ):
        with pytest.raises(error, match=message):
            call()
