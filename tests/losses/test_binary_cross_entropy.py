from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import BinaryCrossEntropy


def one(score: float, target: float, dtype: str = "float64") -> tuple[Any, Any]:
    """The loss and the slope of one number."""
    criterion = BinaryCrossEntropy(reduction="none")
    ys: Any = np.array([score], dtype)
    targets: Any = np.array([target], dtype)
    loss, cache = criterion.forward(ys, targets)
    assert loss.dtype == dtype
    return loss[0], criterion.backward(cache)[0]


def test_a_known_loss_and_slope() -> None:
    for target in (0.0, 0.3, 1.0):
        loss, slope = one(math.log(3), target)  # p = 3/4
        assert loss == pytest.approx(-target * math.log(3 / 4) - (1 - target) * math.log(1 / 4), rel=1e-15)
        assert slope == pytest.approx(3 / 4 - target, rel=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [100.0, 800.0, 1e30])
def test_huge_scores_give_no_nan(size: float, dtype: str) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for score, target, loss, slope in (
            (size, 1, 0, 0),
            (size, 0, size, 1),
            (-size, 1, size, -1),
            (-size, 0, 0, 0),
            (size, 0.5, size / 2, 0.5),
        ):
            found = one(score, target, dtype)
            np.testing.assert_allclose(found, (loss, slope), rtol=1e-6, atol=1e-40)


def test_a_small_loss_keeps_its_digits() -> None:
    assert one(30.0, 1.0)[0] == pytest.approx(math.exp(-30), rel=1e-12)
    assert one(-30.0, 0.0)[0] == pytest.approx(math.exp(-30), rel=1e-12)


def test_it_is_symmetric_in_yes_and_no(rng: np.random.Generator) -> None:
    ys, targets = rng.standard_normal((4, 3, 5)), rng.random((4, 3, 5))
    assert BinaryCrossEntropy()(ys, targets) == pytest.approx(BinaryCrossEntropy()(-ys, 1 - targets), rel=1e-14)


@pytest.mark.messages
@pytest.mark.parametrize("target", [-0.1, 1.5, math.nan, math.inf])
def test_targets_outside_0_to_1_are_refused(target: float) -> None:
    ys: Any = np.zeros((2, 1, 3))
    targets: Any = np.full((2, 1, 3), 0.5)
    targets[1, 0, 2] = target
    message = rf"^BinaryCrossEntropy\(\): targets is {target} at index \(1, 0, 2\), but must be 0 to 1$"
    with pytest.raises(ValueError, match=message):
        BinaryCrossEntropy()(ys, targets)
