from __future__ import annotations

import copy
import math
import pickle
import time
from functools import partial
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    ClipNorm,
    ClipValue,
    Embedding,
    Layer,
    Linear,
    Parameter,
    RMSprop,
    RNNCell,
    Sequential,
    TiedLinear,
)
from tinygrad_rnn.kernels import threads
from tinygrad_rnn.optim.rates import Rates
from tinygrad_rnn.testing import StrictDevice

STRICT = StrictDevice()
METHODS = [SGD, partial(SGD, momentum=0.5), partial(SGD, momentum=0.5, nesterov=True), Adagrad, RMSprop, Adam, AdamW]
every_optimizer = pytest.mark.parametrize("make", [*METHODS, partial(Adagrad, decay=0.3)])
CLIPS: list[Any] = [None, ClipNorm(1.5), (ClipValue(0.7), ClipNorm(1.0))]
RATES = [
    {"layers.0": 0.0},  # what is left lies side by side
    {"layers.0": 0.0, "layers.1.b": 0.0, "layers.2.w": 0.5},  # and here not
    {"layers.1": 0.5, "layers.1.w_h": 2.0},
    {"": 0.0, "layers.2": 1.0},
    {"layers": 0.25},
]


def network(dtype: str = "float64") -> Sequential:
    rng = np.random.default_rng(0)
    return Sequential(Embedding(7, 3, rng=rng), RNNCell(3, 4, rng=rng), Linear(4, 2, rng=rng)).to(dtype=dtype)


def gradients(model: Layer, step: int) -> dict[str, Any]:
    rng = np.random.default_rng(100 + step)
    return {name: rng.standard_normal(p.shape).astype(p.value.dtype) for name, p in model.named_parameters()}


def give(model: Layer, step: int) -> None:
    for name, gradient in gradients(model, step).items():
        dict(model.named_parameters())[name].grad = model.device.asarray(gradient)


def factor(name: str, rates: dict[str, float]) -> float:
    """By hand: the longest prefix that ends where a part of the name does."""
    while name not in rates and name:
        name = name.rpartition(".")[0]
    return rates.get(name, 1.0)


class Alone(Layer):
    """One parameter."""

    def __init__(self, value: Any) -> None:
        self.w = Parameter(value)


@every_optimizer
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("rates", RATES)
def test_each_parameter_is_changed_as_by_an_optimizer_of_its_own(make: Any, clip: Any, rates: dict[str, float]) -> None:
    model = network()
    before = {name: p.value.copy() for name, p in model.named_parameters()}
    trained = {name: factor(name, rates) for name in before if factor(name, rates)}
    alone = {name: Alone(before[name]) for name in trained}
    optimizers = {name: make(alone[name], 0.1 * trained[name]) for name in trained}
    optimizer = make(model, 0.1, clip=clip, rates=rates)
    for step in range(5):
        give(model, step)
        given = gradients(model, step)
        optimizer.step()
        together = np.concatenate([given[name].ravel() for name in trained])
        norm = np.linalg.norm(together)
        for one in clip if isinstance(clip, tuple) else (clip,) if clip else ():
            if isinstance(one, ClipValue):
                together = together.clip(-one.limit, one.limit)
            else:
                together = together * min(1, one.max_norm / np.linalg.norm(together))
        ends = np.cumsum([given[name].size for name in trained])
        for name, part in zip(trained, np.split(together, ends[:-1]), strict=True):
            given[name] = part.reshape(given[name].shape)
            alone[name].w.grad = given[name]
            optimizers[name].step()
        assert optimizer.last_norm is None if clip is None else abs(optimizer.last_norm - norm) < 1e-12
        for name, parameter in model.named_parameters():
            expected = alone[name].w.value if name in trained else before[name]
            np.testing.assert_allclose(parameter.value, expected, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(parameter.grad, given[name], rtol=1e-12)
            if name not in trained:
                np.testing.assert_array_equal(parameter.value, before[name])
    assert optimizer.steps == 5


@every_optimizer
@pytest.mark.parametrize("rates", [{}, None, {"": 1.0}, {"layers.0": 1.0}])
def test_a_factor_of_1_changes_nothing_to_the_bit(make: Any, rates: Any) -> None:
    models = network("float32"), network("float32")
    optimizers = make(models[0], 0.1, clip=ClipNorm(1.0)), make(models[1], 0.1, clip=ClipNorm(1.0), rates=rates)
    for step in range(3):
        for model, optimizer in zip(models, optimizers, strict=True):
            give(model, step)
            optimizer.step()
    np.testing.assert_array_equal(models[1].flat_value, models[0].flat_value)


@every_optimizer
@pytest.mark.parametrize("device", ["cpu", STRICT])
@pytest.mark.parametrize("clip", [None, ClipNorm(1.0)])
@pytest.mark.parametrize("rates", RATES[:2])
def test_what_is_frozen_may_be_nan(make: Any, device: Any, clip: Any, rates: Any) -> None:
    model = network().to(device)
    host = model.device.to_host
    optimizer = make(model, 0.1, clip=clip)
    give(model, 0)
    optimizer.step()
    before = host(model.flat_value).copy()
    state = [host(getattr(optimizer, key)).copy() for key in optimizer.keeps if getattr(optimizer, key) is not None]
    optimizer.rates = rates
    give(model, 1)
    frozen = [p for name, p in model.named_parameters() if not factor(name, rates)]
    for parameter in frozen:
        parameter.grad.fill(math.nan)
    optimizer.step()
    optimizer.check()
    assert clip is None or np.isfinite(host(optimizer.last_norm))
    assert np.isfinite(host(model.flat_value)).all()
    start = model.parameters()[1].vector.start
    for parameter in frozen:
        assert np.isnan(host(parameter.grad)).all()
        where = slice(start(parameter), start(parameter) + parameter.size)
        np.testing.assert_array_equal(host(model.flat_value)[where], before[where])
        kept = [getattr(optimizer, key) for key in optimizer.keeps if getattr(optimizer, key) is not None]
        for array, old in zip(kept, state, strict=True):
            np.testing.assert_array_equal(host(array)[where], old[where])
    assert (host(model.flat_value) != before).any()


@every_optimizer
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("rates", RATES)
def test_the_strict_device_takes_the_same_steps(make: Any, clip: Any, rates: Any) -> None:
    """No step waits, and the numbers are the same to the bit."""
    models = network("float32"), network("float32").to(STRICT)
    for model in models:
        optimizer = make(model, 0.1, clip=clip, rates=rates)
        for step in range(3):
            give(model, step)
            optimizer.step()
    np.testing.assert_array_equal(STRICT.to_host(models[1].flat_value), models[0].flat_value)


@pytest.mark.messages
@pytest.mark.parametrize("device", ["cpu", STRICT])
@pytest.mark.parametrize("rates", [*RATES[:2], {"layers.0": 0.5}])
@pytest.mark.parametrize("name", ["layers.1.w_h", "layers.2.b"])
def test_the_error_names_the_parameter_whatever_is_frozen(device: Any, rates: Any, name: str) -> None:
    model = network().to(device)
    optimizer = Adam(model, 0.1, rates=rates)
    dict(model.named_parameters())[name].grad.fill(math.nan)

    def go_on() -> None:
        optimizer.step()
        optimizer.rates = {}  # on a GPU, it is this that raises the error, while it is known what was frozen

    with pytest.raises(FloatingPointError, match=f"^Adam: the gradient of {name}, of "):
        go_on()
    assert optimizer.steps == 0


def test_all_may_be_frozen() -> None:
    for device in ("cpu", STRICT):
        model = network().to(device)
        before = model.device.to_host(model.flat_value).copy()
        optimizer = AdamW(model, 0.1, rates={"": 0}, clip=ClipNorm(1.0))
        model.flat_grad.fill(math.nan)
        optimizer.step()
        assert optimizer.steps == 1
        assert model.device.to_host(optimizer.last_norm) == 0
        np.testing.assert_array_equal(model.device.to_host(model.flat_value), before)


def moved(model: Layer, rates: Any) -> dict[str, float]:
    """How far a step of gradient descent by gradients of 1 moves each parameter."""
    before = {name: p.value.copy() for name, p in model.named_parameters()}
    optimizer = SGD(model, 1.0, rates=rates)
    model.flat_grad.fill(1)
    optimizer.step()
    return {name: float((before[name] - p.value).ravel()[0].round(6)) for name, p in model.named_parameters()}


def test_the_longest_prefix_counts_in_any_order() -> None:
    rates = {"layers": 0.5, "layers.1.w_h": 0.0, "layers.1": 0.25}
    for given in (rates, dict(reversed(rates.items()))):
        found = moved(network(), given)
        assert found.pop("layers.0.w") == found.pop("layers.2.w") == found.pop("layers.2.b") == 0.5
        assert found == {"layers.1.w_x": 0.25, "layers.1.w_h": 0.0, "layers.1.b": 0.25}


def test_a_prefix_ends_where_a_part_of_the_name_does() -> None:
    rng = np.random.default_rng(0)
    model = Sequential(*(Linear(2, 2, rng=rng) for _ in range(11))).to(dtype="float64")
    found = moved(model, {"layers.1": 0.5})
    assert found["layers.1.w"] == found["layers.1.b"] == 0.5
    assert found["layers.10.w"] == found["layers.0.w"] == 1.0


@pytest.mark.messages
@pytest.mark.parametrize("prefix", ["layers.3", "layers.1.w", "layer", "layers.0.", "0", "layers.0.w.x", " "])
def test_a_prefix_that_matches_nothing_is_refused_and_changes_nothing(prefix: str) -> None:
    model: Any = network()
    message = (
        rf"^Adam: rates has '{prefix}', but no parameter has this name, .* The parameters are layers\.0\.w, "
        r"layers\.1\.w_x, layers\.1\.w_h, layers\.1\.b, layers\.2\.w, layers\.2\.b$"
    )
    with pytest.raises(ValueError, match=message):
        Adam(model, 0.1, rates={"layers.1": 0.5, prefix: 0.0})
    assert model.parameters()[0].vector is None
    optimizer = Adam(model, 0.1, rates={"layers.1": 0.5})
    with pytest.raises(ValueError, match=message):
        optimizer.rates = {prefix: 0.5}
    assert optimizer.rates == {"layers.1": 0.5}


@pytest.mark.messages
@pytest.mark.parametrize("rates", [{1: 0.5}, {"layers.0": 0.5, None: 0.5}, ["layers.0"]])
def test_rates_must_be_a_dict_by_names(rates: Any) -> None:
    with pytest.raises(TypeError, match=r"^SGD: rates must be a dict of factors by the names of layers or parameters"):
        SGD(network(), 0.1, rates=rates)


def tied() -> Any:
    rng = np.random.default_rng(0)
    table = Embedding(5, 3, rng=rng)
    return Sequential(table, RNNCell(3, 3, rng=rng), TiedLinear(table)).to(dtype="float64")


def test_a_tied_parameter_takes_the_factor_of_any_of_its_names() -> None:
    for rates in ({"layers.0": 0.5}, {"layers.2.embedding": 0.5}, {"layers.0.w": 0.5, "layers.2.embedding.w": 0.5}):
        assert moved(tied(), rates)["layers.0.w"] == 0.5
    assert moved(tied(), {"layers.2": 0.5}) == {
        "layers.0.w": 0.5,
        **{f"layers.1.{name}": 1.0 for name in ("w_x", "w_h", "b")},
        "layers.2.b": 0.5,
    }
    model: Any = Sequential(*(Linear(3, 3, rng=np.random.default_rng(0)) for _ in range(2))).to(dtype="float64")
    model.layers[1].w = model.layers[0].w
    assert moved(model, {"layers.1.w": 0.5}) == {"layers.0.w": 0.5, "layers.0.b": 1.0, "layers.1.b": 1.0}


@pytest.mark.messages
@pytest.mark.parametrize("rates", [{"layers.0": 0.0, "layers.2": 0.5}, {"": 0.0, "layers.2": 0.5}])
def test_two_factors_for_a_tied_parameter_are_refused(rates: Any) -> None:
    message = (
        r"^SGD: rates give layers\.0\.w the factor 0\.0 and layers\.2\.embedding\.w the factor 0\.5, but both are one "
    )
    with pytest.raises(ValueError, match=message):
        SGD(tied(), 0.1, rates=rates)
    assert moved(tied(), {**rates, "layers.2.embedding": 0.0})["layers.0.w"] == 0


def test_a_layer_in_very_many_places_takes_no_time() -> None:
    class Twice(Layer):
        def __init__(self, inner: Any) -> None:
            self.one, self.two = inner, inner

    model: Any = Linear(2, 2, rng=np.random.default_rng(0)).to(dtype="float64")
    for _ in range(40):
        model = Twice(model)
    deep = ".".join(["two"] * 40)
    began = time.process_time()
    assert set(moved(model, {deep: 0.5}).values()) == {0.5}
    assert set(moved(model, {"two": 0.5}).values()) == {0.5}
    with pytest.raises(ValueError, match="is tied"):
        moved(model, {"one": 0.5, deep: 0.25})
    assert time.process_time() - began < 5


def test_rates_may_change_between_steps() -> None:
    model = network()
    optimizer = SGD(model, 1.0)
    for rates in ({"layers.0": 0.0}, {"layers.0": 0.5}, None, {}):
        before = [p.value.copy() for p in model.parameters()]
        model.flat_grad.fill(1)
        optimizer.rates = rates
        optimizer.step()
        assert optimizer.rates == (rates or {})
        for (name, p), old in zip(model.named_parameters(), before, strict=True):
            np.testing.assert_allclose(old - p.value, factor(name, rates or {}), rtol=1e-12)


def test_rates_are_not_changed_by_writing_into_them() -> None:
    given = {"layers.0": 0.5}
    optimizer = SGD(network(), 1.0, rates=given)
    with pytest.raises(TypeError):
        optimizer.rates["layers.0"] = 0.0  # type: ignore[index]
    given["layers.0"] = 0.0
    assert optimizer.rates == {"layers.0": 0.5}


@pytest.mark.parametrize("make", [Adam, AdamW])
def test_adam_begins_with_what_was_frozen_as_if_new(make: Any) -> None:
    """The means of gradients begin at 0 then, and are corrected for the updates since, not for the steps."""
    model, other = network(), network()
    optimizer = make(model, 0.1, rates={"layers.1": 0.0, "layers.2.b": 0.0})
    for step in range(20):
        if step == 7:
            optimizer.rates = {"layers.1": 0.0}
        if step == 12:
            optimizer.rates = {}
        give(model, step)
        optimizer.step()
    later = make(other, 0.1)
    for step in range(12, 20):
        give(other, step)
        later.step()
    for mine, theirs in zip(model.layers[1].parameters(), other.layers[1].parameters(), strict=True):
        np.testing.assert_array_equal(mine.value, theirs.value)
    assert optimizer.memory().missed == {**{f"layers.1.{n}": 12 for n in ("w_x", "w_h", "b")}, "layers.2.b": 7}


@pytest.mark.parametrize("twice", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_goes_on_the_same(twice: Any) -> None:
    optimizer = Adam(network(), 0.1, rates={"layers.0": 0.0, "layers.1.b": 0.5}, decay=0.1)
    give(optimizer.model, 0)
    optimizer.step()
    other = twice(optimizer)
    for each in (optimizer, other):
        give(each.model, 1)
        each.step()
        each.rates = {"layers.0": 0.5}
        give(each.model, 2)
        each.step()
    np.testing.assert_array_equal(other.model.flat_value, optimizer.model.flat_value)
    assert other.rates == optimizer.rates


def test_the_memory_keeps_what_was_missed_and_leaves_the_rates() -> None:
    optimizer = Adam(network(), 0.1, rates={"layers.1": 0.0})
    for _ in range(3):
        optimizer.step()
    memory = copy.deepcopy(optimizer.memory())
    assert memory.rates == {"layers.1": 0.0}
    assert set(memory.missed.values()) == {3}
    other = Adam(network(), 0.1, rates={"layers.0": 0.0})
    other.restore(memory)
    assert other.rates == {"layers.0": 0.0}
    other.step()
    assert other.memory().missed == {"layers.0.w": 1, **memory.missed}
    other.rates = memory.rates
    assert other.rates == optimizer.rates


@pytest.mark.messages
@pytest.mark.parametrize(
    ("missed", "message"),
    [
        ({"layers.9.w": 1}, r"the memory does not fit: missed/layers\.9\.w is unexpected"),
        ({"layers.0.w": 3}, r"the memory does not fit: missed/layers\.0\.w is 3 of 2"),
        ({"layers.0.w": -1}, r"memory\.missed\['layers\.0\.w'\] must be at least 0, not -1"),
    ],
)
def test_a_memory_that_misses_too_much_is_refused(missed: Any, message: str) -> None:
    optimizer = Adam(network(), 0.1)
    optimizer.steps = 2
    with pytest.raises(ValueError, match=rf"^Adam\.restore: {message}$"):
        optimizer.restore(optimizer.memory()._replace(missed=missed))


def test_the_optimizer_of_a_child_has_its_own_names() -> None:
    model = network()
    before = model.flat_value.copy()
    child = model.layers[1]
    optimizer = SGD(child, 1.0, rates={"w_h": 0.0})
    model.flat_grad.fill(1)
    optimizer.step()
    changed = {name for name, p in model.named_parameters() if (p.value != network_value(before, model, p)).any()}
    assert changed == {"layers.1.w_x", "layers.1.b"}


def network_value(vector: Any, model: Layer, parameter: Any) -> Any:
    start = parameter.vector.start(parameter)
    return vector[start : start + parameter.size].reshape(parameter.shape)


@every_optimizer
def test_large_parts_are_changed_in_blocks(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    models = network("float32"), network("float32")
    for model, block in zip(models, (threads.BLOCK, 3), strict=True):
        monkeypatch.setattr(threads, "BLOCK", block)
        optimizer = make(model, 0.1, rates={"layers.0": 0.0, "layers.1.b": 0.5})
        for step in range(3):
            give(model, step)
            optimizer.step()
    np.testing.assert_array_equal(models[1].flat_value, models[0].flat_value)


def test_what_is_alike_is_one_slice() -> None:
    optimizer = SGD(network(), 1.0, rates={"layers.0": 0.0, "layers.1": 1.0})
    rates: Rates = optimizer._rates
    assert len(rates.parts) == 1
    gradient = optimizer.model.flat_grad
    assert rates.of_trained(gradient).base is gradient.base  # no copy
    optimizer.rates = {"layers.1": 0.5}
    assert [part.factor for part in optimizer._rates.parts] == [1.0, 0.5, 1.0]
