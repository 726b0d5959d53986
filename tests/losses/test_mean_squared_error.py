from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn import MeanSquaredError


def test_a_known_loss_and_gradient() -> None:
    criterion = MeanSquaredError()
    ys: Any = np.array([[[3.0, -1.0]], [[0.5, 2.0]]])
    targets: Any = np.array([[[1.0, 1.0]], [[0.5, 5.0]]])
    loss, cache = criterion.forward(ys, targets)
    assert loss == (4 + 4 + 0 + 9) / 4
    np.testing.assert_array_equal(criterion.backward(cache), [[[1.0, -1.0]], [[0.0, -1.5]]])


def test_nan_that_counts_propagates() -> None:
    ys: Any = np.array([[[1.0, np.nan]]])
    loss, cache = MeanSquaredError().forward(ys, np.zeros((1, 1, 2)))
    assert np.isnan(loss)
    np.testing.assert_array_equal(MeanSquaredError().backward(cache), [[[1.0, np.nan]]])
