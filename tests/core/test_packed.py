from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    SGD,
    Adam,
    AdamW,
    Layer,
    Linear,
    LSTMCell,
    MovingAverage,
    Parameter,
    RNNCell,
    Sequential,
    Tanh,
    load,
    save,
)
from tinygrad_rnn.core.packed import PackedModel


def linear(size: int = 4) -> Linear:
    return Linear(4, size, rng=np.random.default_rng(1))


class Model(Layer):
    """Parameters and layers as attributes, in a tuple, and in a list, which can change in place."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.cell = LSTMCell(3, 4, rng=rng)
        self.pair = linear(), Tanh()
        self.items: list[Any] = [linear(), Parameter(np.zeros(2, np.float32))]
        self.bias = Parameter(np.zeros(3, np.float32))
        self.later: Any = None
        self.scale = 1.0


def parameter(*shape: int) -> Parameter:
    return Parameter(np.ones(shape, np.float32))


CHANGES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda m: setattr(m.cell, "b", parameter(16)), "cell.b was replaced"),
    (lambda m: setattr(m, "bias", copy.deepcopy(m.bias)), "bias was replaced"),
    (lambda m: setattr(m, "pair", (linear(), m.pair[1])), "pair.0.b was replaced, pair.0.w was replaced"),
    (lambda m: m.items.__setitem__(1, parameter(2)), "items.1 was replaced"),
    (lambda m: setattr(m.items[0], "w", parameter(4, 4)), "items.0.w was replaced"),
    (lambda m: m.items.pop(), "items.1 was removed"),
    (lambda m: delattr(m, "bias"), "bias was removed"),
    (lambda m: m.items.append(parameter(1)), "items.2 was added"),
    (lambda m: setattr(m, "later", linear()), "later.b was added, later.w was added"),
    (lambda m: setattr(m, "new", parameter(1)), "new was added"),
    (lambda m: setattr(m.pair[1], "new", parameter(1)), "pair.1.new was added"),
    (lambda m: setattr(m.pair[0], "w", m.items[0].w), "pair.0.w was replaced"),  # by a tied one
    (lambda m: vars(m.cell).__setitem__("b", parameter(16)), "cell.b was replaced"),
]


@pytest.mark.messages
@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize(("change", "what"), CHANGES)
def test_an_optimizer_refuses_a_model_whose_parameters_were_replaced(change: Any, what: str, steps: int) -> None:
    model = Model()
    optimizer = Adam(model, 0.1)
    for _ in range(steps):
        optimizer.step()
    memory = copy.deepcopy(optimizer.memory())
    model.flat_grad.fill(1)
    before = model.flat_value.copy()
    vector = model.flat_value
    change(model)
    message = (
        f"Adam: the model has other parameters than when this optimizer was made: {what}. Make the optimizer after "
        "that, on the larger model if there is one: Adam(model, ...). To change only its numbers, write into a "
        "parameter: parameter.value = array"
    )
    actions: list[Callable[[], object]] = [
        optimizer.step,
        optimizer.check,
        optimizer.memory,
        lambda: optimizer.restore(memory),
    ]
    for action in actions * 2:
        with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
            action()
    np.testing.assert_array_equal(vector, before)
    assert optimizer.steps == steps
    assert not optimizer.squares.any()


@pytest.mark.messages
def test_saving_says_which_parameter_was_replaced(tmp_path: Path) -> None:
    cell = LSTMCell(3, 4, rng=np.random.default_rng(0))
    optimizer = Adam(cell, 0.1)
    cell.b = Parameter(np.zeros(16, "f4"))
    cell.b.grad = 1.0  # a number, too
    with pytest.raises(RuntimeError, match=r"^Adam: the model has other parameters .*: b was replaced"):
        optimizer.step()
    with pytest.raises(RuntimeError, match=r"^Adam: the model has other parameters .*: b was replaced"):
        save(tmp_path / "cell", cell, optimizer=optimizer)
    assert not any(tmp_path.iterdir())
    again = Adam(cell, 0.1)
    again.step()
    assert cell.b.value.any()
    save(tmp_path / "cell", cell, optimizer=again)
    assert load(tmp_path / "cell").optimizer.steps == 1


def test_other_changes_of_a_model_are_none_of_its_business() -> None:
    model = Model()
    optimizer = AdamW(model, 0.1)
    optimizer.step()
    model.scale, model.later = 2.0, "word"
    optimizer.step()
    model.items.reverse()  # the same parameters under other names
    optimizer.step()
    model.array = np.ones(3)  # type: ignore[attr-defined]
    optimizer.step()
    model.array = np.ones(3)  # type: ignore[attr-defined]
    optimizer.step()
    model.bias.value = 1.0  # type: ignore[assignment]
    optimizer.step()
    assert optimizer.steps == 6


def test_a_layer_within_itself_is_looked_at_once() -> None:
    model = Model()
    model.cell.above = model  # type: ignore[attr-defined]
    optimizer = SGD(model, 0.1)
    for _ in range(3):
        optimizer.step()


@pytest.mark.messages
def test_a_change_beside_an_optimizer_of_a_child_is_not_its_own() -> None:
    model = Sequential(linear(), linear())
    assert model.flat_value.size
    child: Any = model.layers[0]
    optimizer = SGD(child, 0.1)
    model.layers[1].w = parameter(4, 4)  # type: ignore[union-attr]
    optimizer.step()
    child.w = parameter(4, 4)
    with pytest.raises(RuntimeError, match=r"^SGD: .*: w was replaced"):
        optimizer.step()


@pytest.mark.messages
@pytest.mark.parametrize("which", ["model", "average"])
def test_a_moving_average_refuses_it_too(which: str) -> None:
    moving = MovingAverage(Model())
    moving.update()
    getattr(moving, which).cell.w_h = parameter(4, 16)
    with pytest.raises(RuntimeError, match=r"^MovingAverage: .* when this was made: cell\.w_h was replaced\. Make it "):
        moving.update()


@pytest.mark.parametrize("twice", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_is_as_strict(twice: Any) -> None:
    model = RNNCell(3, 4, rng=np.random.default_rng(0))
    optimizer = SGD(model, 0.1)
    optimizer.step()
    model, optimizer = twice((model, optimizer))
    assert optimizer.model is model
    optimizer.step()
    model.b = parameter(4)
    with pytest.raises(RuntimeError, match="b was replaced"):
        optimizer.step()


@pytest.mark.parametrize("make", [lambda model: SGD(model, 0.1), MovingAverage])
def test_the_model_of_an_optimizer_cannot_be_another(make: Any) -> None:
    owner = make(Model())
    with pytest.raises(AttributeError):
        owner.model = Model()


@pytest.mark.messages
@pytest.mark.parametrize(
    ("junk", "came"),
    [
        (Model().parameters(), "a list"),
        (iter(Model().parameters()), "a list_iterator"),
        (Model, "the class Model"),
        (None, "a NoneType"),
        (Parameter(np.ones(1)), "a Parameter"),
        (Model().flat_value, "a ndarray"),
    ],
)
def test_what_is_no_layer_is_refused(junk: Any, came: str) -> None:
    for name, make in {"Adam": Adam, "AdamW": AdamW, "MovingAverage": MovingAverage}.items():
        with pytest.raises(TypeError, match=f"^{name}: model must be a layer, not {came}. Give the model itself, not"):
            make(junk) if name == "MovingAverage" else make(junk, 0.1)


@pytest.mark.messages
@pytest.mark.parametrize(("change", "what"), CHANGES)
def test_the_cure_of_the_message_works(change: Any, what: str) -> None:
    """A new optimizer trains what the model has now, and the old one still says what it missed."""
    model = Model()
    old = SGD(model, 0.1)
    change(model)
    new = SGD(model, 0.5)
    model.flat_grad.fill(1)
    before = [p.value.copy() for p in model.parameters()]
    new.step()
    for parameter, value in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.value, value - np.float32(0.5))
    with pytest.raises(RuntimeError, match=f"^SGD: the model has other parameters .*: {re.escape(what)}"):
        old.step()


def test_parameters_that_another_model_still_has_are_not_taken() -> None:
    shared = linear()
    model, other = Sequential(shared, linear()), Sequential(shared, linear())
    optimizer = SGD(model, 0.1)
    with pytest.raises(ValueError, match=r"^SGD: only 2 of the 4 parameters that another model keeps"):
        SGD(other, 0.1)
    optimizer.step()
    model.layers = (model.layers[1],)
    SGD(other, 0.1).step()


def test_a_parameter_is_replaced_in_a_copy() -> None:
    model = Model()
    model, _ = copy.deepcopy((model, SGD(model, 0.1)))
    model.bias = parameter(3)
    SGD(model, 0.1).step()


class Hidden(Layer):
    """Parameters where no walk of a model looks, beside one that is found."""

    def __init__(self, parts: Any) -> None:
        self.linear, self.parts = linear(), parts


@pytest.mark.messages
@pytest.mark.parametrize("make", [SGD, MovingAverage])
@pytest.mark.parametrize(
    "parts", [{"a": linear()}, ((linear(),),), [[linear().w]], {1: [linear()]}, {linear().w}, (Tanh(), {"b": linear()})]
)
def test_parameters_that_are_not_found_are_an_error_not_left_untrained(parts: Any, make: Any) -> None:
    model = Hidden(Hidden(parts))
    arguments = () if make is MovingAverage else (0.1,)
    with pytest.raises(TypeError, match=rf"^{make.__name__}: parts\.parts holds .*neither trained nor saved\. Keep"):
        make(model, *arguments)
    assert all(parameter.vector is None for parameter in model.parameters())


def test_a_second_way_to_the_same_layers_may_be_of_any_form() -> None:
    model = Hidden(None)
    model.parts = {"first": model.linear, "all": [[model.linear.w]]}
    SGD(model, 0.1)


def test_runs_are_slices_of_what_is_alike() -> None:
    rng = np.random.default_rng(0)
    model = Sequential(Linear(3, 2, rng=rng), Linear(2, 5, rng=rng))
    packed = PackedModel(model, "it", "it", "")
    start = [packed.vector.start(p) for p in model.parameters()]
    names = [name for name, _ in model.named_parameters()]
    keys: list[tuple[list[int], list[slice]]] = [
        ([1, 1, 1, 1], [slice(0, start[3] + 5)]),
        ([1, 2, 2, 1], [slice(0, 6), slice(start[1], start[2] + 10), slice(start[3], start[3] + 5)]),
        ([1, 1, 2, 2], [slice(0, start[1] + 2), slice(start[2], start[3] + 5)]),
    ]
    for given, expected in keys:
        assert [part for part, _ in packed.runs(dict(zip(names, given, strict=True)))] == expected
    child = PackedModel(model.layers[1], "it", "it", "")
    assert child.runs({"w": 1, "b": 2}) == [(slice(0, 10), 1), (slice(16, 21), 2)]
