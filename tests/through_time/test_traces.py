"""Traces against back-propagation: the same gradients, however the steps are cut into batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from through_time_models import batch, close, cut, gradient, randomized, rng
from tinygrad_rnn import (
    Batch,
    Embedding,
    GRUCell,
    IndRNNCell,
    Linear,
    LRUCell,
    MeanSquaredError,
    MinGRUCell,
    MinLSTMCell,
    OneHot,
    Sequential,
    SoftmaxCrossEntropy,
    SRUCell,
    Tanh,
)
from tinygrad_rnn.through_time import BPTT, RTRL, Traces

MAKERS: dict[str, Any] = {
    "MinGRUCell": lambda D, H: MinGRUCell(D, H, rng=rng()),
    "MinGRUCell positive": lambda D, H: MinGRUCell(D, H, rng=rng(), candidate="positive"),
    "MinLSTMCell tanh": lambda D, H: MinLSTMCell(D, H, rng=rng(), candidate="tanh"),
    "IndRNNCell": lambda D, H: IndRNNCell(D, H, rng=rng()),
    "IndRNNCell tanh": lambda D, H: IndRNNCell(D, H, rng=rng(), nonlinearity="tanh"),
    "SRUCell": lambda D, H: SRUCell(D, H, rng=rng()),
    "LRUCell": lambda D, H: LRUCell(D, H, units=3, rng=rng()),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
@pytest.mark.parametrize("rows", [{}, {"lengths": True, "starts": True}], ids=["whole", "documents"])
def test_they_give_the_gradient_of_back_propagation(make: Any, rows: dict[str, bool]) -> None:
    model = randomized(Sequential(OneHot(5), make(5, 4), Tanh(), Linear(4, 5, rng=rng())), 0.5)
    whole = batch(**rows)
    expected = gradient(BPTT(), model, whole)
    close(gradient(Traces(), model, whole), expected)
    assert abs(expected).max() > 0.1


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_over_batches_of_a_step_they_give_that_of_the_whole(make: Any) -> None:
    model = randomized(Sequential(OneHot(5), make(5, 4), Linear(4, 5, rng=rng())), 0.5)
    whole = batch(starts=True)
    expected = gradient(BPTT(), model, whole)
    for sizes in ([1] * 7, [3, 4]):
        close(gradient(Traces(), model, *cut(whole, *sizes)), expected)
        close(gradient(RTRL(), model, *cut(whole, *sizes)), expected)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
@pytest.mark.parametrize("below", [False, True])
def test_a_cell_on_vectors(make: Any, below: bool) -> None:
    model = randomized(Sequential(Tanh(), make(3, 4)) if below else make(3, 4), 0.5)
    xs, targets = rng(1).standard_normal((6, 2, 3)), rng(2).standard_normal((6, 2, 4))
    criterion = MeanSquaredError()
    close(
        gradient(Traces(), model, Batch(xs, targets), criterion=criterion),
        gradient(BPTT(), model, Batch(xs, targets), criterion=criterion),
    )


def test_they_take_no_more_memory_than_the_parameters_of_each_row() -> None:
    model = Sequential(OneHot(5), LRUCell(5, 4, units=6, rng=rng()), Linear(4, 5, rng=rng()))
    _, _, (_, (traces,)) = Traces()(model, SoftmaxCrossEntropy(), batch())
    assert [trace.shape for trace in traces] == [(3, 6)] * 4 + [(3, 5, 6)] * 2
    assert {trace.dtype.name for trace in traces} == {"float32"}


class Other(MinGRUCell):
    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        return super().step_forward(x, state, training=training)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            GRUCell(3, 4, rng=rng()),
            TypeError,
            r"Traces\(\): GRUCell\(3, 4\) is none of MinGRUCell, MinLSTM",
        ),
        (Other(3, 4, rng=rng()), TypeError, r"Traces\(\): Other\(3, 4\) is none of .*: use RTRL\(\)"),
        (
            Sequential(MinGRUCell(3, 4, rng=rng()), MinGRUCell(4, 4, rng=rng())),
            TypeError,
            r"Traces\(\): MinGRUCell\(3, 4\), below MinGRUCell\(4, 4\), reaches all of its units",
        ),
        (
            Sequential(Linear(3, 3, rng=rng()), SRUCell(3, 4, rng=rng())),
            TypeError,
            r"Traces\(\): Linear\(3, 3\), below SRUCell\(3, 4\), .* take OneHot; or use RTRL\(\)",
        ),
    ],
)
def test_what_has_no_such_trace_is_refused(model: Any, error: type[Exception], message: str) -> None:
    given = Batch(np.zeros((2, 1, 3), np.float32), np.zeros((2, 1, model.out_size), np.float32))
    with pytest.raises(error, match=message):
        Traces()(model, MeanSquaredError(), given)


def test_an_embedding_below_is_refused() -> None:
    model = Sequential(Embedding(5, 3, rng=rng()), MinGRUCell(3, 5, rng=rng()))
    with pytest.raises(TypeError, match="In place of an Embedding take OneHot"):
        Traces()(model, SoftmaxCrossEntropy(), batch())
