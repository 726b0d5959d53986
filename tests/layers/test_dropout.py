from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from philox import drawn
from tinygrad_rnn import Dropout

X: Any = np.random.default_rng(1).standard_normal((4, 3, 5))


def test_forward_in_training_is_the_equation_with_the_mask_of_the_stream() -> None:
    layer = Dropout(0.3, rng=np.random.default_rng(0))
    uniforms = drawn(copy.deepcopy(layer.rng), X.shape)
    y, mask = layer.forward(X)
    for index in np.ndindex(X.shape):
        assert y[index] == pytest.approx(X[index] / 0.7 if uniforms[index] < 0.7 else 0, rel=1e-12)
    assert mask is not None
    np.testing.assert_array_equal(layer.backward(2 * X, mask), 2 * X * mask)


def test_the_mean_over_many_draws_is_the_input() -> None:
    layer = Dropout(0.3, rng=np.random.default_rng(0))
    mean = np.mean([layer.forward(X)[0] for _ in range(4000)], axis=0)
    np.testing.assert_allclose(mean, X, atol=0.15)


def test_in_use_it_is_the_input_itself() -> None:
    layer = Dropout(0.3, rng=np.random.default_rng(0))
    assert layer(X) is X
    y, cache = layer.forward(X, training=False)
    assert cache is None
    np.testing.assert_array_equal(layer.backward(y, cache), X)


def test_any_leading_axes_will_do() -> None:
    layer = Dropout(0.3, rng=np.random.default_rng(0))
    for x in (X, X[0], X[0, 0], X[0, 0, 0:0]):
        assert layer.forward(x)[0].shape == x.shape


@pytest.mark.messages
def test_what_holds_no_numbers_is_refused() -> None:
    layer: Any = Dropout(0.3, rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"Dropout\(0.3\): x holds int64, not floating-point numbers"):
        layer.forward(np.ones(3, int))
