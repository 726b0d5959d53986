from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    SGD,
    Device,
    Embedding,
    GRUCell,
    Layer,
    Linear,
    OneHot,
    Parameter,
    RNNCell,
    Sequential,
    Softmax,
    Tanh,
)
from tinygrad_rnn.core.initializers import zeros
from tinygrad_rnn.testing import StrictDevice


class Tree(Layer):
    """Parameters and layers wherever they may lie, and things that are neither."""

    def __init__(self, size: int, other: Any = None, *, scale: float = 1.0, rng: np.random.Generator) -> None:
        self.size, self.other, self.scale = size, other, scale
        self.z = Parameter(zeros((2,)))
        self.pair = (Linear(2, 3, rng=rng), Tanh(), Parameter(zeros((1,))))
        self.several = [RNNCell(1, 1, rng=rng), self.pair[0]]
        self.again = self.z
        self.a = Sequential(OneHot(2), Sequential(Linear(2, 2, rng=rng)))
        self.noise = rng.spawn(1)[0]
        self.deep = Holder((rng,))


class Holder(Layer):
    def __init__(self, items: Any) -> None:
        self.items = items


class Forgetful(Layer):
    def __init__(self, size: int, *, depth: int = 2, rng: object = None) -> None:
        self.size = size


class Own(Linear):
    """An `__init__` of its own with fewer arguments."""

    def __init__(self, width: int, *, rng: np.random.Generator) -> None:
        super().__init__(width, width, rng=rng)
        self.width = width


def test_parameters_are_named_by_where_they_lie_in_the_order_of_attributes(rng: np.random.Generator) -> None:
    assert [name for name, _ in Tree(1, rng=rng).named_parameters()] == [
        "z",
        "pair.0.w",
        "pair.0.b",
        "pair.2",
        "several.0.w_x",
        "several.0.w_h",
        "several.0.b",
        "a.layers.1.layers.0.w",
        "a.layers.1.layers.0.b",
    ]


def test_parameters_that_are_shared_come_once(rng: np.random.Generator) -> None:
    shared = Linear(2, 2, rng=rng)
    model = Sequential(shared, Tanh(), shared, Sequential(shared))
    assert dict(model.named_parameters()) == {"layers.0.w": shared.w, "layers.0.b": shared.b}
    assert model.parameters() == [shared.w, shared.b]


def test_a_layer_that_holds_itself_is_walked_once() -> None:
    layer = Holder([Parameter(zeros((1,)))])
    layer.items.append(layer)
    assert [name for name, _ in layer.named_parameters()] == ["items.0"]


def test_parameters_set_later_are_found() -> None:
    layer = Holder(())
    layer.items = (Parameter(zeros((1,))),)
    assert [name for name, _ in layer.named_parameters()] == ["items.0"]


def test_generators_are_the_streams_by_name(rng: np.random.Generator) -> None:
    tree = Tree(1, rng=rng)
    assert tree.generators() == {"noise": tree.noise, "deep.items.0": rng}
    assert Linear(2, 2, rng=rng).generators() == {}


def test_config_is_the_arguments_without_rng(rng: np.random.Generator) -> None:
    expected = {"in_size": 2, "out_size": 3, "nonlinearity": "tanh", "recurrent_initializer": "orthogonal"}
    assert RNNCell(2, 3, rng=rng).config() == expected | {"bias": True}
    assert Own(4, rng=rng).config() == {"width": 4}
    assert Tanh().config() == {}
    layers = (OneHot(2), Linear(2, 2, rng=rng))
    assert Sequential(*layers).config() == {"layers": layers}
    assert Tree(3, "x", scale=2.0, rng=rng).config() == {"size": 3, "other": "x", "scale": 2.0}


def test_config_makes_the_layer_anew(rng: np.random.Generator) -> None:
    for layer in (RNNCell(2, 3, rng=rng, nonlinearity="relu"), Embedding(2, 3, rng=rng), Own(4, rng=rng)):
        again = type(layer)(**layer.config(), rng=rng)
        assert again.config() == layer.config()
        assert repr(again) == repr(layer)


def test_repr_is_the_call_with_what_differs_from_the_defaults(rng: np.random.Generator) -> None:
    assert repr(Softmax()) == "Softmax()"
    assert repr(RNNCell(2, 3, rng=rng)) == "RNNCell(2, 3)"
    assert repr(RNNCell(2, 3, rng=rng, nonlinearity="relu")) == "RNNCell(2, 3, nonlinearity='relu')"
    assert repr(Sequential(OneHot(2), Sequential(Tanh()))) == "Sequential(OneHot(2), Sequential(Tanh()))"
    assert repr(Tree(3, rng=rng, scale=0.5)) == "Tree(3, None, scale=0.5)"


def test_an_argument_that_was_not_kept_is_named() -> None:
    layer = Forgetful(3)
    message = "^Forgetful cannot be saved.*: __init__ takes depth, but no attribute of that name was set. Keep each"
    with pytest.raises(TypeError, match=message):
        layer.config()
    assert repr(layer) == "Forgetful(3, depth='?')"  # an error message must not fail itself


def test_to_moves_values_and_gradients_and_gives_the_layer(rng: np.random.Generator) -> None:
    layer = Linear(2, 3, rng=rng)
    layer.b.grad.fill(2)
    w = layer.w.value.copy()
    assert layer.to(dtype="float64") is layer
    assert layer.dtype == layer.w.value.dtype == layer.b.grad.dtype == np.float64
    np.testing.assert_array_equal(layer.w.value, w)
    assert (layer.b.grad == 2).all()
    device = StrictDevice()
    layer.to(device, np.float32)
    assert layer.device == device
    assert layer.dtype == np.float32
    np.testing.assert_array_equal(device.to_host(layer.w.value), w)
    np.testing.assert_array_equal(device.to_host(layer.b.grad), [2, 2, 2])
    layer.to("cpu")
    np.testing.assert_array_equal(layer.w.value, w)


@pytest.mark.parametrize("where", [{}, {"device": "cpu"}, {"dtype": "float32"}, {"device": "cpu", "dtype": np.float32}])
def test_to_where_the_layer_is_already_changes_nothing(where: dict[str, Any], rng: np.random.Generator) -> None:
    layer = Linear(2, 3, rng=rng)
    optimizer = SGD(layer, 0.1)
    value = layer.w.value
    layer.to(**where)
    assert layer.w.value is value
    optimizer.step()


@pytest.mark.messages
@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ({"dtype": "float16"}, TypeError, r"Linear\(2, 3\)\.to: dtype must be float32 or float64, not float16"),
        ({"dtype": int}, TypeError, r"Linear\(2, 3\)\.to: dtype must be float32 or float64, not <class 'int'>"),
        ({"device": "tpu"}, ValueError, r"Device\('tpu'\): a device is"),
        ({"device": "cuda:999"}, RuntimeError, r"Device\('cuda:999'\): CuPy is"),
    ],
)
def test_to_nowhere_is_refused_and_changes_nothing(
    where: dict[str, Any], error: type[Exception], message: str, rng: np.random.Generator
) -> None:
    layer = Linear(2, 3, rng=rng)
    value = layer.w.value
    with pytest.raises(error, match=message):
        layer.to(**({"dtype": "float64"} | where))
    assert layer.w.value is value


def test_a_layer_without_parameters_is_on_the_cpu_in_float32() -> None:
    layer = Tanh().to("cpu", "float64")
    assert (layer.device, layer.dtype, layer.parameters()) == (Device("cpu"), np.dtype("float32"), [])


@pytest.mark.messages
@pytest.mark.parametrize("kind", [GRUCell, Linear, RNNCell])
@pytest.mark.parametrize(
    ("size", "error", "message"),
    [(0, ValueError, "must be at least 1, not 0"), (2.0, TypeError, r"must be an integer, not 2\.0")],
)
def test_sizes_are_positive_integers(
    kind: Any, size: Any, error: type[Exception], message: str, rng: np.random.Generator
) -> None:
    for sizes, name in (((size, 3), "in_size"), ((3, size), "out_size")):
        with pytest.raises(error, match=f"{kind.__name__}: {name} {message}"):
            kind(*sizes, rng=rng)


@pytest.mark.messages
def test_sizes_of_layers_of_ids_are_positive_integers(rng: np.random.Generator) -> None:
    with pytest.raises(TypeError, match="OneHot: vocab_size must be an integer, not True"):
        OneHot(True)
    with pytest.raises(ValueError, match="Embedding: vocab_size must be at least 1, not -1"):
        Embedding(-1, 3, rng=rng)


def test_another_nonlinearity_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match='RNNCell: nonlinearity must be "tanh" or "relu", not \'sigmoid\''):
        RNNCell(2, 3, rng=rng, nonlinearity="sigmoid")


def diamond(depth: int, inner: Layer) -> Any:
    """Each layer twice in the next one: 2^depth ways to the innermost."""
    for _ in range(depth):
        inner = Holder((inner, inner))
    return inner


def test_a_layer_in_more_places_than_can_be_counted_is_visited_once(rng: np.random.Generator) -> None:
    inner = Holder((Linear(2, 3, rng=rng), rng))
    model = diamond(60, inner)
    name = "items.0." * 61
    assert [own for own, _ in model.named_parameters()] == [f"{name}w", f"{name}b"]
    assert model.generators() == {f"{'items.0.' * 60}items.1": rng}
    assert model.to(dtype="float64").dtype == np.float64
    model.zero_grad()
    lines = model.summary().split("\n")
    assert (
        len(lines) == 2 + 2 * 60 + 3 + 1
    )  # heading and model; each twice, once without its inside; the innermost; sum
    assert lines[-1] == "9 parameters, 72 bytes"
    assert diamond(60, Tanh()).dtype == np.float32  # where there is no parameter to be found
    assert len(repr(model)) < 5000


def test_a_description_is_never_megabytes() -> None:
    model = Sequential(*[Tanh() for _ in range(5000)])
    assert repr(model).startswith("Sequential(Tanh(), Tanh(), ")
    assert repr(model).endswith(", Tanh())")
    assert len(repr(Sequential(model, model))) < 5000
    assert model.summary().split("\n")[1].split() == ["Sequential(...)", "0"]
    assert repr(Tree("x" * 10**6, rng=np.random.default_rng(0))).count("x") < 5000  # type: ignore[arg-type]


def test_a_description_of_a_layer_that_holds_itself() -> None:
    layer = Holder([Tanh()])
    layer.items.append(layer)
    assert repr(layer) == "Holder([Tanh(), Holder(...)])"
