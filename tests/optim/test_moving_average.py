from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from textbook import Weights
from tinygrad_rnn import SGD, Linear, MovingAverage, OneHot, RNNCell, Sequential
from tinygrad_rnn.testing import StrictDevice


def network(units: int = 4) -> Any:
    rng = np.random.default_rng(0)
    return Sequential(OneHot(5), RNNCell(5, units, rng=rng), Linear(units, 5, rng=rng))


def move(model: Any, step: int) -> None:
    """Other parameters, as if by an optimizer's step."""
    rng = np.random.default_rng(step)
    for _, parameter in sorted(model.named_parameters()):
        parameter.value = rng.standard_normal(parameter.shape).astype(parameter.value.dtype)


def values(model: Any) -> dict[str, Any]:
    return {name: parameter.value.copy() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_each_parameter_follows_the_textbook(decay: float) -> None:
    model = network().to(dtype="float64")
    expected, moving = values(model), MovingAverage(model, decay=decay)
    for step in range(10):
        move(model, step)
        moving.update()
        for name, value in values(model).items():
            expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in values(moving.average).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-14, atol=1e-14)
    assert values(model)["layers.1.b"].all()  # or gaps and biases could be mixed up unseen


def test_the_average_is_a_model_of_its_own() -> None:
    model = network()
    moving = MovingAverage(model)
    ids = np.array([[1, 2], [3, 4]])
    np.testing.assert_array_equal(moving.average(ids)[0], model(ids)[0])
    before = values(model)
    moving.average.flat_value.fill(0)
    assert not moving.average(ids)[0].any()
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])
    assert repr(moving.average) == repr(model)


def test_an_update_leaves_the_model_and_its_gradients_alone() -> None:
    model = network()
    moving = MovingAverage(model, decay=0.5)
    model.flat_grad.fill(3)
    move(model, 0)
    value = model.flat_value.copy()
    moving.update()
    np.testing.assert_array_equal(model.flat_value, value)
    assert (model.flat_grad == 3).all()


def test_it_is_in_place_and_stays_float32() -> None:
    model = network()
    moving = MovingAverage(model, decay=0.9)
    average, w = moving.average, moving.average.layers[1].w_h.value
    move(model, 0)
    moving.update()
    assert moving.average is average
    assert average.layers[1].w_h.value is w
    assert w.dtype == average.flat_value.dtype == np.float32


def test_tied_parameters_stay_tied() -> None:
    rng = np.random.default_rng(0)
    model: Any = Sequential(Linear(3, 3, rng=rng), Linear(3, 3, rng=rng))
    model.layers[1].w = model.layers[0].w
    moving = MovingAverage(model, decay=0.5)
    model.layers[0].w.value = 2 + moving.average.layers[0].w.value
    moving.update()
    assert moving.average.layers[1].w is moving.average.layers[0].w
    np.testing.assert_allclose(moving.average.layers[0].w.value, model.layers[0].w.value - 1, atol=1e-6)


def test_the_order_in_the_vector_does_not_matter() -> None:
    """Here the model lies in a vector that was packed in another order, and within a larger one."""
    rng = np.random.default_rng(0)
    first, second, third = (Linear(3, 3, rng=rng) for _ in range(3))
    larger = Sequential(third, second, first)
    optimizer = SGD(larger, 0.0)
    model = Sequential(first, second)
    moving = MovingAverage(model, decay=0.5)
    expected = values(model)
    move(model, 0)
    optimizer.step()
    moving.update()
    for name, value in values(moving.average).items():
        np.testing.assert_allclose(value, (expected[name] + values(model)[name]) / 2, rtol=1e-5)


@pytest.mark.parametrize("packed", [False, True])
def test_it_goes_on_from_a_given_average(packed: bool) -> None:
    model, given = network(), network()
    given.flat_value if packed else given.zero_grad()
    move(given, 1)
    before, expected = values(given), values(given)
    moving = MovingAverage(model, decay=0.75, average=given)
    moving.update()
    for name, value in values(model).items():
        expected[name] = 0.75 * expected[name] + 0.25 * value
        np.testing.assert_allclose(values(moving.average)[name], expected[name], rtol=1e-5)
        np.testing.assert_array_equal(values(given)[name], before[name])  # it was copied


def test_the_strict_device_computes_the_same() -> None:
    device, here = StrictDevice(), network()
    there = network().to(device)
    both = MovingAverage(here, decay=0.9), MovingAverage(there, decay=0.9)
    here.flat_value.fill(2)
    there.flat_value.fill(2)
    for moving in both:
        moving.update()
    found: Any = both[1].average.flat_value
    np.testing.assert_array_equal(device.to_host(found), both[0].average.flat_value)


@pytest.mark.messages
@pytest.mark.parametrize("decay", [1.0, -0.1, math.nan])
def test_decay_is_zero_to_below_one(decay: float) -> None:
    model: Any = Weights()
    with pytest.raises(ValueError, match=f"^MovingAverage: decay must be 0 to below 1, not {decay}$"):
        MovingAverage(model, decay=decay)
    assert model.w.vector is None


@pytest.mark.messages
def test_an_average_of_another_model_is_refused() -> None:
    name = "^MovingAverage: the average is not one of this model: "
    with pytest.raises(ValueError, match=name + "b is missing; layers.1.b is unexpected; .*; w is missing$"):
        MovingAverage(Weights(), average=network())
    kinds = r"layers\.1\.b is float32\(6,\) on cpu, expected float32\(4,\) on cpu; layers\.1\.w_h is "
    with pytest.raises(ValueError, match=name + kinds):
        MovingAverage(network(), average=network(6))
    with pytest.raises(ValueError, match=name + r"b is float32\(5,\) on cpu, expected float64\(5,\) on cpu; w is"):
        MovingAverage(Weights(), average=Weights("float32"))
    with pytest.raises(ValueError, match=name + r"b is float64\(5,\) on cpu, expected float64\(5,\) on strict; w is"):
        MovingAverage(Weights().to(StrictDevice()), average=Weights())


@pytest.mark.messages
@pytest.mark.parametrize("which", ["model", "average"])
@pytest.mark.parametrize("how", ["to", "larger"])
def test_parameters_that_have_moved_are_refused(which: str, how: str) -> None:
    moving = MovingAverage(Weights())
    layer: Any = getattr(moving, which)
    if how == "to":
        layer.to(dtype="float32")
    else:
        larger = Sequential(Linear(1, 1, rng=np.random.default_rng(0)).to(dtype="float64"))
        larger.extra = layer  # type: ignore[attr-defined]
        assert larger.flat_value.size > layer.flat_value.size
    before = moving.average.flat_value.copy()
    with pytest.raises(RuntimeError, match=r"^MovingAverage: the parameters have moved since this was made"):
        moving.update()
    np.testing.assert_array_equal(moving.average.flat_value, before)


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="there are no parameters here"):
        MovingAverage(OneHot(3))
