"""Traces against back-propagation: the same gradients, however the steps are cut into batches."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest

from through_time_models import batch, close, cut, gradient, randomized, rng
from tinygrad_rnn import (
    Batch,
    Cell,
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

MAKERS: list[Any] = [
    lambda D, H: MinGRUCell(D, H, rng=rng()),
    lambda D, H: MinGRUCell(D, H, rng=rng(), candidate="positive"),
    lambda D, H: MinLSTMCell(D, H, rng=rng(), candidate="tanh"),
    lambda D, H: IndRNNCell(D, H, rng=rng()),
    lambda D, H: IndRNNCell(D, H, rng=rng(), nonlinearity="tanh"),
    lambda D, H: SRUCell(D, H, rng=rng()),
    lambda D, H: LRUCell(D, H, units=3, rng=rng()),
]


def test_they_give_the_gradient_of_back_propagation() -> None:
    for make, rows in itertools.product(MAKERS, ({}, {"lengths": True, "starts": True})):
        gives_the_gradient(make, rows)


def gives_the_gradient(make: Any, rows: dict[str, bool]) -> None:
    model = randomized(Sequential(OneHot(5), make(5, 4), Tanh(), Linear(4, 5, rng=rng())), 0.5)
    whole = batch(**rows)
    expected = gradient(BPTT(), model, whole)
    close(gradient(Traces(), model, whole), expected)
    assert abs(expected).max() > 0.1


def test_over_batches_of_a_step_they_give_that_of_the_whole() -> None:
    for make in MAKERS:
        model = randomized(Sequential(OneHot(5), make(5, 4), Linear(4, 5, rng=rng())), 0.5)
        whole = batch(starts=True)
        expected = gradient(BPTT(), model, whole)
        for sizes in ([1] * 7, [3, 4]):
            close(gradient(Traces(), model, *cut(whole, *sizes)), expected)
            close(gradient(RTRL(), model, *cut(whole, *sizes)), expected)


def test_a_cell_on_vectors() -> None:
    for make, below in itertools.product(MAKERS, (False, True)):
        model = randomized(Sequential(Tanh(), Tanh(), make(3, 4)) if below else make(3, 4), 0.5)
        xs, targets = rng(1).standard_normal((6, 2, 3)), rng(2).standard_normal((6, 2, 4))
        given, criterion = Batch(xs, targets), MeanSquaredError()
        close(
            gradient(Traces(), model, given, criterion=criterion), gradient(BPTT(), model, given, criterion=criterion)
        )


def test_they_take_no_more_memory_than_the_parameters_of_each_row() -> None:
    model = Sequential(OneHot(5), LRUCell(5, 4, units=6, rng=rng()), Linear(4, 5, rng=rng()))
    _, _, (_, (traces,)) = Traces()(model, SoftmaxCrossEntropy(), batch())
    assert [trace.shape for trace in traces] == [(3, 6)] * 4 + [(3, 5, 6)] * 2
    assert {trace.dtype.name for trace in traces} == {"float32"}


class Sums(Cell):
    """Adds up its inputs: it has a state, and no parameters."""

    in_size, out_size, state_sizes = 3, 3, (3,)

    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        return x + state[0], (x + state[0],), None

    def step_backward(self, dy: Any, dstate: Any, cache: Any) -> Any:
        return dy + dstate[0], (dy + dstate[0],)


class Other(MinGRUCell):
    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        return super().step_forward(x, state, training=training)


@pytest.mark.messages
def test_what_has_no_such_trace_is_refused() -> None:
    cells, replaced = (MinGRUCell(3, 4, rng=rng()), MinGRUCell(4, 4, rng=rng())), MinGRUCell(3, 4, rng=rng())
    replaced.step_backward = partial(replaced.step_backward)  # type: ignore[method-assign]
    models: list[tuple[Any, str]] = [
        (GRUCell(3, 4, rng=rng()), r"Traces\(\): GRUCell\(3, 4\) is none of MinGRUCell, MinLSTM"),
        (Other(3, 4, rng=rng()), r"Traces\(\): Other\(3, 4\) is none of .*: use RTRL\(\)"),
        (replaced, r"Traces\(\): MinGRUCell\(3, 4\) is none of"),
        (Sequential(*cells), r"Traces\(\): MinGRUCell\(3, 4\), below MinGRUCell\(4, 4\), reaches all of its units"),
        (
            Sequential(Sums(), MinGRUCell(3, 4, rng=rng())),
            r"Traces\(\): Sums\(\), below MinGRUCell\(3, 4\), reaches",
        ),
        (
            Sequential(Tanh(), Linear(3, 3, rng=rng()), SRUCell(3, 4, rng=rng())),
            r"Traces\(\): Linear\(3, 3\), below SRUCell\(3, 4\), .* take OneHot; or use RTRL\(\)",
        ),
    ]
    for model, message in models:
        given = Batch(np.zeros((2, 1, 3), np.float32), np.zeros((2, 1, model.out_size), np.float32))
        with pytest.raises(TypeError, match=message):
            Traces()(model, MeanSquaredError(), given)


def test_an_embedding_below_is_refused() -> None:
    model = Sequential(Embedding(5, 3, rng=rng()), MinGRUCell(3, 5, rng=rng()))
    with pytest.raises(TypeError, match="In place of an Embedding take OneHot"):
        Traces()(model, SoftmaxCrossEntropy(), batch())
