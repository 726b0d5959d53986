"""`MeanAbsoluteError` and `Huber`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Huber, Loss, MeanAbsoluteError, MeanSquaredError


def both(criterion: Loss, ys: list[float], targets: list[float]) -> tuple[list[float], list[float]]:
    """The losses and slopes, number by number."""
    predictions: Any = np.array(ys, float)
    wanted: Any = np.array(targets, float)
    losses, cache = criterion.forward(predictions, wanted)
    return losses.tolist(), criterion.backward(cache).tolist()


def test_absolute_errors_of_known_losses() -> None:
    assert both(MeanAbsoluteError(reduction="none"), [3, -1, 2], [1, 1, 2]) == ([2, 2, 0], [1, -1, 0])


def test_errors_of_known_losses() -> None:
    losses, slopes = both(Huber(2, reduction="none"), [1, -1, 5, -5, 2], [0, 0, 0, 0, 0])
    assert losses == [0.5, 0.5, 8, 8, 2]
    assert slopes == [1, -1, 2, -2, 2]


def test_the_limits_of_delta_are_the_other_losses(rng: np.random.Generator) -> None:
    ys, targets = rng.standard_normal((2, 4, 3, 5))
    assert Huber(1e6)(ys, targets) == pytest.approx(MeanSquaredError()(ys, targets) / 2, rel=1e-12)
    assert Huber(1e-9)(ys, targets) / 1e-9 == pytest.approx(MeanAbsoluteError()(ys, targets), rel=1e-6)


@pytest.mark.parametrize("criterion", [Huber(), MeanAbsoluteError()], ids=repr)
@pytest.mark.parametrize("size", [1e30, np.inf])
def test_outliers_have_a_finite_slope(criterion: Any, size: float) -> None:
    ys: Any = np.array([[size, -size]], "float32")
    loss, cache = criterion.forward(ys, np.zeros_like(ys))
    assert loss == np.float32(size) or loss == pytest.approx(size, rel=1e-6)
    np.testing.assert_array_equal(criterion.backward(cache), [[0.5, -0.5]])
