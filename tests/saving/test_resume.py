"""A training that stops, is saved, and goes on from the file, computes what one that never stopped computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    ClipNorm,
    Feedforward,
    Layer,
    Linear,
    MovingAverage,
    OneHot,
    ReduceOnPlateau,
    RMSprop,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    TokenStream,
    load,
    save,
    schedules,
)
from tinygrad_rnn.optim.base import Optimizer
from tinygrad_rnn.optim.state import OptimizerState

IDS = np.random.default_rng(5).integers(0, 7, 900)
STREAM = TokenStream([IDS[:300], IDS[300:]], batch=3, steps=8)

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "adagrad": lambda model: Adagrad(model, lr=lambda step: 0.1 / (1 + step), clip=ClipNorm(1.0)),
    "sgd": lambda model: SGD(model, lr=0.1),
    "momentum": lambda model: SGD(model, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda model: RMSprop(model, lr=0.01),
    "adam": lambda model: Adam(model, lr=schedules.cosine(0.01, steps=80, warmup=9), clip=ClipNorm(1.0)),
    "adamw": lambda model: AdamW(model, lr=0.01, decay=0.1),
    "rates": lambda model: Adam(
        model, lr=0.01, rates={"layers.1.w_x": 0.0, "layers.3": 0.5}, decay=0.1, clip=ClipNorm(0.5)
    ),
}


class Noise(Feedforward):
    """Adds noise while training: it holds a random stream."""

    def __init__(self, *, rng: np.random.Generator) -> None:
        self.stream = rng.spawn(1)[0]

    def forward(self, x: Any, *, training: bool = True) -> Any:
        noise = 0.1 * self.stream.standard_normal(x.shape).astype(x.dtype) if training else 0
        return x + noise, None

    def backward(self, dy: Any, cache: Any) -> Any:
        return dy


def network(seed: int, dtype: str) -> Sequential:
    rng = np.random.default_rng(seed)
    layers = (OneHot(7), RNNCell(7, 9, rng=rng), Noise(rng=rng), Linear(9, 7, rng=rng))
    return Sequential(*layers).to(dtype=dtype)


def train(model: Any, optimizer: Optimizer, state: Any, first: int, last: int) -> tuple[Any, list[float]]:
    """Iterations `first` to `last`, that one left out, over as many epochs as it takes."""
    criterion, losses = SoftmaxCrossEntropy(), []
    for i in range(first, last):
        batch = STREAM[i % len(STREAM)]
        logits, state, cache = model.forward(batch.xs, state, starts=batch.starts)
        loss, loss_cache = criterion.forward(logits, batch.targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
        losses.append(float(loss))
    return state, losses


ALL = 60
"""Iterations of a whole training: more than an epoch."""


@cache
def never_stopped(make: Any, dtype: str) -> tuple[Any, Any, Any, list[float]]:
    """A model, its optimizer, the state and the losses after so many."""
    model = network(0, dtype)
    optimizer = make(model)
    return model, optimizer, *train(model, optimizer, None, 0, ALL)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("stop", [pytest.param(0, marks=pytest.mark.long), 1, 50])
def test_resuming_is_exact_to_the_bit(tmp_path: Path, make: Any, dtype: str, stop: int) -> None:
    model, optimizer, expected_state, expected = never_stopped(make, dtype)

    first = network(0, dtype)
    first_optimizer = make(first)
    state, losses = train(first, first_optimizer, None, 0, stop)
    save(tmp_path / "model", first, optimizer=first_optimizer, state=state, metadata={"iterations": stop})
    saved = load(tmp_path / "model", classes=[Noise])
    again = make(saved.model)
    again.restore(saved.optimizer)
    state, more = train(saved.model, again, saved.state, saved.metadata["iterations"], ALL)

    assert losses + more == expected
    np.testing.assert_array_equal(saved.model.flat_value, model.flat_value)
    np.testing.assert_array_equal(state[1][0], expected_state[1][0])
    assert again.steps == optimizer.steps
    for key in optimizer.keeps:
        np.testing.assert_array_equal(getattr(again, key), getattr(optimizer, key))


@pytest.mark.parametrize("stop", [0, 10, 20, *(pytest.param(stop, marks=pytest.mark.long) for stop in (5, 15))])
def test_unfreezing_goes_on_from_its_file(tmp_path: Path, stop: int) -> None:
    """What was frozen for 10 steps is trained after that; a file has the rates, and in how many steps it was frozen."""

    def go_on(model: Any, optimizer: Optimizer, state: Any, first: int, last: int) -> Any:
        for i in range(first, last):
            if i == 10:
                optimizer.rates = {"layers.1.b": 0.5}
            state, _ = train(model, optimizer, state, i, i + 1)
        return state

    def make(model: Any) -> Optimizer:
        return Adam(model, lr=0.01, rates={"layers.1": 0.0}, clip=ClipNorm(0.5))

    model, first = network(0, "float32"), network(0, "float32")
    optimizer, first_optimizer = make(model), make(first)
    go_on(model, optimizer, None, 0, 20)
    state = go_on(first, first_optimizer, None, 0, stop)
    save(tmp_path / "model", first, optimizer=first_optimizer, state=state)
    saved = load(tmp_path / "model", classes=[Noise])
    again = make(saved.model)
    again.restore(saved.optimizer)
    assert again.rates == {"layers.1": 0.0}
    again.rates = saved.optimizer.rates
    go_on(saved.model, again, saved.state, stop, 20)
    np.testing.assert_array_equal(saved.model.flat_value, model.flat_value)
    assert again.memory().missed == optimizer.memory().missed == {f"layers.1.{n}": 10 for n in ("w_x", "w_h", "b")}
    assert again.rates == optimizer.rates


def test_a_file_without_rates_has_the_bytes_of_before(tmp_path: Path) -> None:
    model = network(0, "float32")
    save(tmp_path / "model", model, optimizer=Adam(model, lr=0.01))
    assert b"missed" not in (tmp_path / "model").read_bytes()
    memory = load(tmp_path / "model", classes=[Noise]).optimizer
    assert (memory.missed, memory.rates) == ({}, {})


def test_a_moving_average_goes_on_from_its_file(tmp_path: Path) -> None:
    def go_on(model: Any, optimizer: Any, moving: MovingAverage, state: Any, first: int, last: int) -> Any:
        for i in range(first, last):
            state, _ = train(model, optimizer, state, i, i + 1)
            moving.update()
        return state

    model = network(0, "float32")
    expected = MovingAverage(model, decay=0.9)
    go_on(model, Adam(model, lr=0.01), expected, None, 0, 20)

    model = network(0, "float32")
    optimizer, moving = Adam(model, lr=0.01), MovingAverage(model, decay=0.9)
    state = go_on(model, optimizer, moving, None, 0, 7)
    save(tmp_path / "model", model, optimizer=optimizer, state=state)
    save(tmp_path / "average", moving.average)
    saved = load(tmp_path / "model", classes=[Noise])
    average = load(tmp_path / "average", classes=[Noise]).model
    again, moving = Adam(saved.model, lr=0.01), MovingAverage(saved.model, decay=0.9, average=average)
    again.restore(saved.optimizer)
    go_on(saved.model, again, moving, saved.state, 7, 20)
    np.testing.assert_array_equal(moving.average.flat_value, expected.average.flat_value)


@pytest.mark.parametrize("stop", range(12))
def test_a_plateau_goes_on_from_its_file(tmp_path: Path, stop: int) -> None:
    losses = [3.0, 2.0, float("nan"), 2.5, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]

    def start() -> tuple[Any, ReduceOnPlateau]:
        model = network(0, "float32")
        return model, ReduceOnPlateau(SGD(model, lr=0.1), patience=1, cooldown=1)

    _, whole = start()
    expected = [whole.update(loss) for loss in losses]
    model, plateau = start()
    found = [plateau.update(loss) for loss in losses[:stop]]
    save(tmp_path / "model", model, metadata={"plateau": plateau.memory()})
    _, again = start()
    again.restore(load(tmp_path / "model", classes=[Noise]).metadata["plateau"])
    assert found + [again.update(loss) for loss in losses[stop:]] == expected
    assert again.memory() == whole.memory()
    assert sum(expected) > 2


def test_saving_does_not_disturb_the_training(tmp_path: Path) -> None:
    model, other = network(0, "float32"), network(0, "float32")
    optimizer, other_optimizer = Adagrad(model, lr=0.1), Adagrad(other, lr=0.1)
    train(model, optimizer, None, 0, 20)
    state, _ = train(other, other_optimizer, None, 0, 10)
    save(tmp_path / "model", other, optimizer=other_optimizer, state=state)
    train(other, other_optimizer, state, 10, 20)
    np.testing.assert_array_equal(other.flat_value, model.flat_value)


class Stateful(Layer):
    """Declares no state, so any will do."""


def test_a_state_keeps_its_structure_and_dtypes(tmp_path: Path) -> None:
    model = Stateful()
    state = ((np.ones((4, 3), np.float32), (np.arange(4), ()), None, np.array([True, False])),)
    save(tmp_path / "model", model, state=state)
    found = load(tmp_path / "model", classes=[Stateful]).state
    assert isinstance(found, tuple)
    assert found[0][2] is None
    assert found[0][1][1] == ()
    for array, expected in ((found[0][0], state[0][0]), (found[0][1][0], state[0][1][0]), (found[0][3], state[0][3])):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype


def test_nothing_saved_is_nothing_loaded(tmp_path: Path) -> None:
    save(tmp_path / "model", network(0, "float32"))
    saved = load(tmp_path / "model", classes=[Noise])
    assert saved.optimizer is None
    assert saved.state is None


@pytest.mark.messages
def test_an_optimizer_of_another_kind_or_model_is_refused(tmp_path: Path) -> None:
    model, other = network(0, "float32"), network(1, "float32")
    optimizer = Adagrad(model, lr=0.1)
    with pytest.raises(ValueError, match="the optimizer belongs to another model, Sequential"):
        save(tmp_path / "model", other, optimizer=optimizer)
    assert not list(tmp_path.iterdir())
    with pytest.raises(
        ValueError,
        match=r"SGD.restore: the memory does not fit: it is of Adagrad; sum/layers.1.b is unexpected; sum/layers.1.w_h",
    ):
        SGD(other, lr=0.1).restore(optimizer.memory())
    narrow = Adagrad(Sequential(OneHot(7), RNNCell(7, 8, rng=np.random.default_rng(0))), lr=0.1)
    with pytest.raises(ValueError, match=r"sum/layers.3.b is missing; .*; sum/layers.1.b is float32\(8,\), expected"):
        optimizer.restore(narrow.memory())


def test_a_refused_memory_changes_nothing() -> None:
    model = network(0, "float32")
    optimizer = Adagrad(model, lr=0.1)
    train(model, optimizer, None, 0, 3)
    before, memory = optimizer.sum.copy(), optimizer.memory()
    arrays = {name: array * 2 for name, array in memory.arrays["sum"].items()}
    arrays.pop("layers.3.b")
    with pytest.raises(ValueError, match=r"layers\.3\.b is missing"):
        optimizer.restore(OptimizerState("Adagrad", 9, {"sum": arrays}))
    np.testing.assert_array_equal(optimizer.sum, before)
    assert optimizer.steps == 3
