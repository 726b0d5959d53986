from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    GRUCell,
    Linear,
    OneHot,
    Sequential,
    SoftmaxCrossEntropy,
    TokenStream,
    evaluate,
    measure,
)
from tinygrad_rnn.training.metrics import Accuracy

RNG = np.random.default_rng(0)
MODEL = Sequential(OneHot(5), GRUCell(5, 6, rng=RNG), Linear(6, 5, rng=RNG))
STREAM = TokenStream([RNG.integers(0, 5, 50), RNG.integers(0, 5, 31)], batch=2, steps=7)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_that_of_all_targets(reduction: Any) -> None:
    mean = evaluate(MODEL, STREAM)
    expected = mean * STREAM.transitions / len(STREAM) if reduction == "sum" else mean
    measured = measure(MODEL, SoftmaxCrossEntropy(reduction=reduction), STREAM)
    assert measured["loss"] == pytest.approx(expected, rel=1e-5)


def test_metrics_have_their_names() -> None:
    measures = measure(MODEL, SoftmaxCrossEntropy(), STREAM, metrics={"accuracy": Accuracy(), "five": Accuracy(5)})
    assert list(measures) == ["loss", "accuracy", "five"]
    assert 0 < measures["accuracy"] < 1 == measures["five"]


def test_the_numbers_of_the_model_are_untouched() -> None:
    MODEL.zero_grad()
    before = MODEL.flat_value.copy()
    measure(MODEL, SoftmaxCrossEntropy(), STREAM)
    np.testing.assert_array_equal(MODEL.flat_value, before)
    assert not MODEL.flat_grad.any()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batches": []}, "there is no batch in batches"),
        ({"batches": iter(())}, "there are no batches to measure, or an iterator that has ended"),
        ({"batches": np.zeros(3)}, "batches must be an iterable of Batch"),
        ({"batches": 5}, "batches must be an iterable of Batch"),
        ({"batches": [1]}, r"batch must be a Batch\(xs, targets, ...\), not a int"),
        ({"model": 5}, "model must be a Recurrent, such as Sequential, or a ManyToOne"),
        ({"criterion": Accuracy()}, "criterion must be a Loss, not a Accuracy"),
        ({"criterion": SoftmaxCrossEntropy(reduction="none")}, "SoftmaxCrossEntropy.* gives a loss of shape"),
        ({"metrics": [Accuracy()]}, "metrics must be a dict"),
        ({"metrics": {"accuracy": Accuracy}}, "metrics has 'accuracy'"),
        ({"metrics": {"loss": Accuracy()}}, "metrics has 'loss'"),
    ],
)
def test_mistakes(changed: dict[str, Any], message: str) -> None:
    given = {"model": MODEL, "criterion": SoftmaxCrossEntropy(), "batches": STREAM, "metrics": None, **changed}
    with pytest.raises((TypeError, ValueError), match=f"^measure: {message}"):
        measure(given["model"], given["criterion"], given["batches"], metrics=given["metrics"])
