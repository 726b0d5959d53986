from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import SGD, Linear, ReduceOnPlateau


def sgd(lr: Any = 1.0) -> SGD:
    return SGD(Linear(1, 1, rng=np.random.default_rng(0)), lr)


def rates(losses: list[Any], lr: float = 1.0, **options: Any) -> list[float]:
    """The rate after each loss."""
    optimizer, found = sgd(lr), []
    plateau = ReduceOnPlateau(optimizer, **options)
    for loss in losses:
        before = optimizer.lr
        assert plateau.update(float(loss) if isinstance(loss, int) else loss) == (optimizer.lr != before)
        assert isinstance(optimizer.lr, float)
        found.append(optimizer.lr)
    return found


def test_the_rate_falls_after_more_than_patience_losses_without_improvement() -> None:
    assert rates([5, 4, 4, 4, 4, 4, 4], patience=2) == [1, 1, 1, 1, 0.5, 0.5, 0.5]
    assert rates([5, 4, 4, 4, 4, 4, 4, 4], patience=2) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert rates([5, 5, 5], patience=0, factor=0.1) == pytest.approx([1, 0.1, 0.01])


def test_an_improvement_begins_the_count_anew() -> None:
    assert rates([5, 5, 5, 4, 4, 4, 3, 3, 3], patience=2) == [1] * 9


def test_by_default_five_are_waited_for() -> None:
    assert rates([1.0] * 7) == [1] * 6 + [0.5]


def test_an_improvement_is_a_part_of_the_best() -> None:
    for best, enough, too_little in ((100.0, 98.9, 99.1), (-100.0, -101.1, -100.9), (0.0, -1e-9, 0.0)):
        assert rates([best, enough], patience=0, threshold=0.01) == [1, 1]
        assert rates([best, too_little], patience=0, threshold=0.01) == [1, 0.5]
    assert rates([2.0, 2.0 - 1e-15, 2.0 - 1e-15], patience=0, threshold=0.0) == [1, 1, 0.5]
    assert rates([1.0, 0.99995, 0.9998], patience=0) == [1, 0.5, 0.5]  # of the first, not of the second


def test_the_most_may_be_the_best() -> None:
    assert rates([1, 2, 2, 3, 3, 3], patience=0, mode="max") == [1, 1, 0.5, 0.5, 0.25, 0.125]
    for best, enough, too_little in ((100.0, 101.1, 100.9), (-100.0, -98.9, -99.1), (0.0, 1e-9, 0.0)):
        assert rates([best, enough], patience=0, threshold=0.01, mode="max") == [1, 1]
        assert rates([best, too_little], patience=0, threshold=0.01, mode="max") == [1, 0.5]
    assert rates([math.inf, 5, math.inf, 4], patience=1, mode="max") == [1, 1, 1, 0.5]


def test_while_it_cools_down_nothing_is_counted() -> None:
    assert rates([5] * 8, patience=0, cooldown=2) == [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    assert rates([5] * 8, patience=1, cooldown=1) == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]
    # An improvement meanwhile is the best; what is worse than that is counted after it.
    assert rates([5, 5, 3, 4, 4, 4], patience=0, cooldown=2) == [1, 0.5, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_no_improvement(broken: float) -> None:
    assert rates([broken, 5, broken, broken, 4, 4], patience=1) == [1, 1, 1, 0.5, 0.5, 0.5]
    assert rates([broken, broken], patience=1) == [1, 0.5]


def test_the_rate_stops_at_the_least() -> None:
    assert rates([1.0] * 5, patience=0, min_lr=0.3) == [1, 0.5, 0.3, 0.3, 0.3]
    assert rates([1.0] * 3, patience=0, min_lr=2.0) == [1, 1, 1]  # and is never raised to it
    assert rates([1.0] * 3, lr=0.0, patience=0) == [0, 0, 0]


def test_it_takes_arrays_without_axes() -> None:
    assert rates([np.asarray(3.0), np.float32(3.0)], patience=0) == [1, 0.5]


def test_the_memory_is_plain_json() -> None:
    optimizer = sgd()
    plateau = ReduceOnPlateau(optimizer, patience=1)
    losses: list[Any] = [math.nan, np.float32(3.0), 4.0, 4.0, 4.0]
    for loss in losses:
        memory = json.loads(json.dumps(plateau.memory(), allow_nan=False))
        other = ReduceOnPlateau(sgd(9.0), patience=1)
        other.restore(memory)
        assert other.memory() == memory
        assert other.optimizer.lr == optimizer.lr
        plateau.update(loss)
    assert plateau.memory() == {"best": 3.0, "waited": 1, "lr": 0.5, "cooling": 0}
    plateau.restore({"best": 2.0, "waited": 0, "lr": 0.25})  # of before there was a cooldown
    assert plateau.memory() == {"best": 2.0, "waited": 0, "lr": 0.25, "cooling": 0}


@pytest.mark.messages
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"factor": 1.0}, ValueError, r"factor must be above 0 to below 1, not 1\.0"),
        ({"factor": 0.0}, ValueError, r"factor must be above 0 to below 1, not 0\.0"),
        ({"factor": math.nan}, ValueError, "factor must be above 0 to below 1, not nan"),
        ({"patience": -1}, ValueError, "patience must be at least 0, not -1"),
        ({"patience": 1.5}, TypeError, r"patience must be an integer, not 1\.5"),
        ({"threshold": -0.1}, ValueError, r"threshold must be at least 0, not -0\.1"),
        ({"threshold": math.nan}, ValueError, "threshold must be at least 0, not nan"),
        ({"min_lr": -0.1}, ValueError, r"min_lr must be at least 0, not -0\.1"),
        ({"mode": "least"}, ValueError, r'mode must be "min" or "max", not \'least\''),
        ({"cooldown": -1}, ValueError, "cooldown must be at least 0, not -1"),
        ({"cooldown": 0.5}, TypeError, r"cooldown must be an integer, not 0\.5"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^ReduceOnPlateau: {message}$"):
        ReduceOnPlateau(sgd(), **options)


@pytest.mark.messages
def test_a_rate_that_is_a_function_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^ReduceOnPlateau: the optimizer's lr is a function of the step"):
        ReduceOnPlateau(sgd(lambda step: 0.1))
    plateau = ReduceOnPlateau(sgd())
    plateau.optimizer.lr = lambda step: 0.1
    with pytest.raises(TypeError, match=r"^ReduceOnPlateau: the optimizer's lr has become a function of the step$"):
        plateau.update(1.0)


@pytest.mark.messages
def test_another_memory_is_refused_and_changes_nothing() -> None:
    plateau = ReduceOnPlateau(sgd())
    message = r"^ReduceOnPlateau\.restore: expected best, waited, lr, cooling, not cooling, lr, steps$"
    with pytest.raises(ValueError, match=message):
        plateau.restore({"lr": 0.1, "steps": 3})
    assert plateau.optimizer.lr == 1.0
