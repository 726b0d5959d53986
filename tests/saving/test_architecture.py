"""What a file says of classes, arguments and tied parameters, all by way of `save` and `load`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from table import CASES, STEPPED, Case
from tinygrad_rnn.cells.rnn import RNNCell
from tinygrad_rnn.core.layer import Layer
from tinygrad_rnn.core.parameter import Parameter
from tinygrad_rnn.core.roles import Feedforward
from tinygrad_rnn.layers.activation import Tanh
from tinygrad_rnn.layers.embedding import Embedding
from tinygrad_rnn.layers.linear import Linear
from tinygrad_rnn.layers.one_hot import OneHot
from tinygrad_rnn.models.sequential import Sequential
from tinygrad_rnn.saving.checkpoint import load, save
from tinygrad_rnn.saving.rebuilding import tie


def draw(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


class Scale(Feedforward):
    """A layer of one's own, with arguments of every kind."""

    def __init__(
        self, size: int, *inner: Layer, options: Any = None, rng: np.random.Generator, power: float = 1
    ) -> None:
        self.size, self.inner, self.options, self.power = size, inner, options, power
        self.w = Parameter(draw(rng, size))

    def forward(self, x: Any, *, training: bool = True) -> Any:
        return x * self.w.value**self.power, x

    def backward(self, dy: Any, cache: Any) -> Any:
        raise AssertionError("is not run")


class Tied(Feedforward):
    """Scores by the rows of an embedding: its transpose as the matrix of a linear layer."""

    def __init__(self, embedding: Embedding) -> None:
        self.embedding = embedding
        self.w = embedding.w

    def forward(self, x: Any, *, training: bool = True) -> Any:
        return x @ self.w.value.T, x

    def backward(self, dy: Any, cache: Any) -> Any:
        raise AssertionError("is not run")


class Pair(Layer):
    """Ties its own parts, and one of them knows the whole."""

    def __init__(self, size: int, *, rng: np.random.Generator) -> None:
        self.size = size
        self.parts = [Linear(size, size, rng=rng), Linear(size, size, rng=rng)]
        self.parts[1].w = self.parts[0].w
        self.both = (self.parts[0].w, self.parts[1].w)
        self.parts[0].whole = self  # type: ignore[attr-defined]


class Bare(Layer):
    """No __init__ of its own, and so no arguments."""


class Forgetful(Layer):
    def __init__(self, size: int) -> None:
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def round_trip(path: Path, model: Any, *classes: type) -> Any:
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.value = rng.standard_normal(parameter.shape)
    save(path, model)
    loaded = load(path, classes=classes).model
    parameters, expected = dict(loaded.named_parameters()), dict(model.named_parameters())
    assert list(parameters) == list(expected)
    for name, parameter in expected.items():
        np.testing.assert_array_equal(parameters[name].value, parameter.value)
    return loaded


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_layer_of_the_table(path: Path, rng: np.random.Generator, case: Case) -> None:
    model: Any = case.make(rng)
    loaded = round_trip(path, model, *STEPPED)
    assert type(loaded) is type(model)
    assert repr(loaded.config()) == repr(model.config())


@pytest.mark.parametrize(
    "options",
    [
        None,
        (1, (2, [3, ()])),
        {"tuple": (1,), "list": [(), {}], "class": {"config": 1}, "same": 0, "dict": {"dict": "dict"}},
        [np.int64(3), np.True_, np.float32(0.1), float("-inf"), 1e-320, "é\ud800"],
    ],
)
def test_arguments_come_back_as_they_were(path: Path, rng: np.random.Generator, options: Any) -> None:
    inner = (Tanh(), Scale(2, rng=rng), Sequential(RNNCell(2, 3, rng=rng)))
    model = Scale(np.int64(4), *inner, options=options, rng=rng, power=2.0)  # type: ignore[arg-type]
    loaded = round_trip(path, model, Scale)
    assert loaded.config()["options"] == options
    assert repr(loaded.options).replace("True", "np.True_") == repr(options).replace("np.int64(3)", "3").replace(
        "np.float32(0.1)", repr(float(np.float32(0.1)))
    )
    assert repr(loaded) == repr(model).replace("np.int64(4)", "4").replace(f"{options!r}", f"{loaded.options!r}")
    assert type(loaded.size) is int
    x = draw(rng, 3, 4)
    np.testing.assert_array_equal(loaded(x), model(x))


def test_layers_within_arguments(path: Path, rng: np.random.Generator) -> None:
    options = {"a": [Tanh()], "b": (OneHot(3), Tanh())}
    loaded = round_trip(path, Scale(2, options=options, rng=rng), Scale)
    assert repr(loaded.options) == repr(options)
    hidden = Scale(2, options={"a": [Linear(2, 3, rng=rng)]}, rng=rng)
    with pytest.raises(TypeError, match=r"^save\(.*\): options holds Linear\(2, 3\), which is not found there"):
        save(path, hidden, allow_nonfinite=True)


def test_a_class_without_arguments(path: Path) -> None:
    device = type("Device", (Bare,), {})  # a name that is public too, but not of a layer
    for kind in (Bare, device):
        assert type(round_trip(path, kind(), kind)) is kind


def test_a_tied_argument(path: Path, rng: np.random.Generator) -> None:
    embedding = Embedding(5, 3, rng=rng)
    model = Sequential(embedding, RNNCell(3, 3, rng=rng), Tied(embedding))
    assert "layers.2.w" not in dict(model.named_parameters())
    loaded = round_trip(path, model, Tied)
    assert loaded.layers[2].embedding is loaded.layers[0]
    assert loaded.layers[2].w is loaded.layers[0].w
    ids = rng.integers(0, 5, (4, 2))
    np.testing.assert_array_equal(loaded(ids)[0], model(ids)[0])


def test_a_layer_that_stands_twice(path: Path, rng: np.random.Generator) -> None:
    cell = RNNCell(3, 3, rng=rng)
    loaded = round_trip(path, Sequential(Tanh(), cell, Sequential(Linear(3, 3, rng=rng), cell), Tanh()))
    assert loaded.layers[1] is loaded.layers[2].layers[1]
    assert loaded.layers[0] is not loaded.layers[3]


def test_parameters_tied_by_their_layer(path: Path, rng: np.random.Generator) -> None:
    loaded = round_trip(path, Pair(3, rng=rng), Pair)
    assert loaded.parts[1].w is loaded.parts[0].w is loaded.both[1]
    assert loaded.parts[1].b is not loaded.parts[0].b


def test_parameters_of_unequal_shapes_are_not_tied(rng: np.random.Generator) -> None:
    """As a file could ask for that somebody made up: compiled code would read beside the smaller one."""
    model = Sequential(Linear(3, 4, rng=rng), Linear(4, 3, rng=rng))
    before = model.layers[1].w  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"ties layers\.1\.w \(4, 3\) to layers\.0\.w \(3, 4\), which is of another"):
        tie(model, {"layers.1.w": "layers.0.w"})
    assert model.layers[1].w is before  # type: ignore[union-attr]


def test_parameters_tied_from_outside(path: Path, rng: np.random.Generator) -> None:
    model = Sequential(RNNCell(3, 3, rng=rng), Sequential(Linear(3, 3, rng=rng), RNNCell(3, 3, rng=rng)))
    model.layers[1].layers[1].w_h = model.layers[0].w_x = model.layers[0].w_h  # type: ignore[union-attr]
    loaded = round_trip(path, model)
    w_h = loaded.layers[0].w_h
    assert loaded.layers[1].layers[1].w_h is loaded.layers[0].w_x is w_h
    xs = draw(rng, 4, 2, 3)
    np.testing.assert_array_equal(loaded(xs)[0], model(xs)[0])
    np.testing.assert_array_equal(round_trip(path, copy.deepcopy(model))(xs)[0], loaded(xs)[0])


@pytest.mark.messages
def test_classes_that_are_not_given(path: Path, rng: np.random.Generator) -> None:
    save(path, Sequential(Embedding(2, 2, rng=rng), Scale(2, Bare(), rng=rng)))
    message = (
        r"^load\('.*'\): the model cannot be made anew\. It has classes that are not of this package: "
        r"call load\(\.\.\., classes=\(Bare, Scale,\)\)"
    )
    with pytest.raises(ValueError, match=message):
        load(path)
    with pytest.raises(ValueError, match=r"classes=\(Bare,\)\)"):
        load(path, classes=(Scale,))
    load(path, classes=(Scale, Bare, RNNCell))


@pytest.mark.messages
def test_two_classes_of_one_name(path: Path, rng: np.random.Generator) -> None:
    own = type("RNNCell", (RNNCell,), {"__init__": lambda self, **_: None})
    other = type("Bare", (Layer,), {})
    message = r"^{}\('.*'\): <class .*> and <class .*> have one name, but a file finds classes by name: rename one"
    with pytest.raises(ValueError, match=message.format("save")):
        save(path, type("RNNCell", (Bare,), {})())
    with pytest.raises(ValueError, match=message.format("save")):
        save(path, Scale(2, Bare(), other(), rng=rng))
    assert not path.exists()
    save(path, Bare())
    for classes in ((Bare, other), (Bare, own)):
        with pytest.raises(ValueError, match=message.format("load")):
            load(path, classes=classes)


@pytest.mark.messages
def test_arguments_that_cannot_be_saved(path: Path, rng: np.random.Generator) -> None:
    model = Sequential(Tanh(), Scale(2, options={"f": [np.tanh]}, rng=rng))
    message = r"^save\(.*\): model\.layers\.1\.options\.f\.0 is a ufunc, <ufunc 'tanh'>, which JSON cannot hold"
    with pytest.raises(TypeError, match=message):
        save(path, model)
    with pytest.raises(TypeError, match=r"model\.options is a dict with a key that is not a str"):
        save(path, Scale(2, options={3: 4}, rng=rng))
    with pytest.raises(TypeError, match="Forgetful cannot be saved: __init__ takes size"):
        save(path, Forgetful(3))
    assert not path.exists()


@pytest.mark.messages
def test_a_class_that_has_changed(path: Path, rng: np.random.Generator) -> None:
    save(path, Scale(2, rng=rng))

    def changed(init: Any) -> type:
        return type("Scale", (Bare,), {"__init__": init})

    call = r"^load\('.*'\): the model cannot be made anew\. Scale does not take "
    with pytest.raises(ValueError, match=call + r"\{'size': 2, .*: it has no argument inner, power"):
        load(path, classes=[changed(lambda self, size, options: None)])
    with pytest.raises(ValueError, match=call + r"\{.*missing 1 required positional argument: 'more'"):
        load(path, classes=[changed(lambda self, more, size, inner, options, power: None)])

    def narrow(self: Any, size: int, inner: Any, options: Any, power: Any) -> None:
        self.v, self.w = (Parameter(np.zeros(size + 1, np.float32)) for _ in "vw")

    with pytest.raises(ValueError, match=r"v \(3,\) is missing; w is \(2,\), expected \(3,\)\. Give the classes"):
        load(path, classes=[changed(narrow)])


class Words:
    """A tokenizer of one's own."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def config(self) -> dict[str, Any]:
        return {"words": self.words}


def test_a_tokenizer_of_ones_own(path: Path) -> None:
    save(path, Tanh(), tokenizer=Words(["a", "b"]))
    assert load(path, classes=[Words]).tokenizer.words == ["a", "b"]
    with pytest.raises(ValueError, match=r"classes=\(Words,\)\)"):
        load(path)
