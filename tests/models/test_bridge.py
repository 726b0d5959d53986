from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Bridge


def bridge(*sizes: Any) -> Bridge:
    return Bridge(*sizes, rng=np.random.default_rng(0))


def test_each_array_is_drawn_as_a_matrix_by_itself() -> None:
    layer = bridge(10, (2, 500))
    assert (layer.in_size, layer.out_size, layer.w.shape, layer.b.shape) == (10, 502, (10, 502), (502,))
    for part, size in ((layer.w.value[:, :2], 2), (layer.w.value[:, 2:], 500)):
        limit = math.sqrt(6 / (10 + size))
        assert 0.8 * limit < abs(part).max() <= limit
    assert layer.w.value.dtype == np.float32


def test_a_vector_of_any_leading_axes() -> None:
    layer, x = bridge(3, (2, 2)), np.random.default_rng(1).standard_normal((5, 4, 3)).astype(np.float32)
    y = layer(x)
    assert y.shape == (5, 4, 4)
    np.testing.assert_allclose(layer(x[1, 2]), y[1, 2], rtol=1e-5)


@pytest.mark.messages
def test_arguments_that_do_not_fit_are_told_why() -> None:
    for error, message, sizes in (
        (ValueError, "Bridge: in_size must be at least 1, not 0", (0, (2,))),
        (TypeError, "Bridge: in_size must be an integer, not 2.5", (2.5, (2,))),
        (TypeError, "Bridge: out_sizes must be a tuple, one size for each array of a state, not 4", (3, 4)),
        (ValueError, "Bridge: out_sizes is empty, but must have one size for each array of a state", (3, ())),
        (ValueError, "Bridge: out_sizes[1] must be at least 1, not 0", (3, (2, 0))),
        (TypeError, "Bridge: out_sizes[0] must be an integer, not '2'", (3, ("2",))),
    ):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            bridge(*sizes)
    wrong: Any = None
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator"):
        Bridge(3, (2,), rng=wrong)


@pytest.mark.messages
def test_inputs_that_do_not_fit_are_told_why() -> None:
    layer = bridge(3, (2,))
    with pytest.raises(ValueError, match=r"Bridge\(3, \(2,\)\): x has shape \(5, 4\), but its last axis must have"):
        layer(np.zeros((5, 4), np.float32))
    with pytest.raises(TypeError, match=r"Bridge\(3, \(2,\)\): x is float64, but the parameters are float32"):
        layer(np.zeros((5, 3)))
    y, cache = layer.forward(np.zeros((5, 3), np.float32))
    with pytest.raises(TypeError, match=r"Bridge\(3, \(2,\)\): dy is float64, but the parameters are float32"):
        layer.backward(y.astype(np.float64), cache)
