from __future__ import annotations

import numpy as np
import pytest

from tinygrad_rnn import RNNCell


def test_the_recurrence_begins_as_the_identity_if_asked(rng: np.random.Generator) -> None:
    cell = RNNCell(2, 3, rng=rng, recurrent_initializer="identity")
    np.testing.assert_array_equal(cell.w_h.value, np.eye(3))
    np.testing.assert_array_equal(cell.w_x.value, RNNCell(2, 3, rng=np.random.default_rng(0)).w_x.value)
    assert repr(cell) == "RNNCell(2, 3, recurrent_initializer='identity')"
    w_h = RNNCell(2, 3, rng=rng).w_h.value
    np.testing.assert_allclose(w_h.T @ w_h, np.eye(3), atol=1e-6)
    assert abs(w_h - np.eye(3)).max() > 0.1


def test_the_irnn_begins_by_adding_up_its_inputs(rng: np.random.Generator) -> None:
    cell = RNNCell(2, 3, rng=rng, nonlinearity="relu", recurrent_initializer="identity").to(dtype="float64")
    cell.w_x.value = abs(cell.w_x.value)
    xs = rng.uniform(0, 1, (300, 1, 2))
    ys, _, cache = cell.forward(xs)
    np.testing.assert_allclose(ys[-1], xs.sum(axis=0) @ cell.w_x.value, rtol=1e-12)
    _, (dh,) = cell.backward(None, (np.ones((1, 3)),), cache)
    np.testing.assert_array_equal(dh, np.ones((1, 3)))  # nor is the gradient lost on the way


@pytest.mark.messages
def test_another_recurrent_initializer_is_refused(rng: np.random.Generator) -> None:
    message = 'RNNCell: recurrent_initializer must be "orthogonal" or "identity", not \'zeros\''
    with pytest.raises(ValueError, match=message):
        RNNCell(2, 3, rng=rng, recurrent_initializer="zeros")
