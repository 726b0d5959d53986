from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import SGD, Adagrad, Adam, AdamW, ClipNorm, ClipValue, Layer, Linear, Parameter, RMSprop, RNNCell
from tinygrad_rnn.testing import StrictDevice


def momentum(model: Layer, lr: Any, **options: Any) -> SGD:
    return SGD(model, lr, momentum=0.5, **options)


every_optimizer = pytest.mark.parametrize("make", [SGD, momentum, Adagrad, RMSprop, Adam, AdamW])


class Weights(Layer):
    """Two parameters and nothing else."""

    def __init__(self, dtype: str = "float64") -> None:
        rng = np.random.default_rng(0)
        self.w = Parameter(rng.standard_normal((3, 4)).astype(dtype))
        self.b = Parameter(rng.standard_normal(5).astype(dtype))


def gradients(step: int) -> list[Any]:
    """Of the parameters of `Weights`, at a step."""
    rng = np.random.default_rng(100 + step)
    return [rng.standard_normal((3, 4)), rng.standard_normal(5)]


def give(model: Layer, arrays: list[Any]) -> None:
    for parameter, array in zip(model.parameters(), arrays, strict=True):
        parameter.grad = array


def check(make: Callable[[Layer], Any], update: Callable[[Any, Any, dict[str, Any], int], Any]) -> None:
    """Ten steps against the textbook: `update(w, g, memory, step)` of one array gives the next w."""
    model = Weights()
    expected: list[Any] = [p.value.copy() for p in model.parameters()]
    memories: list[dict[str, Any]] = [{}, {}]
    optimizer = make(model)
    for step in range(10):
        give(model, gradients(step))
        optimizer.step()
        for i, g in enumerate(gradients(step)):
            expected[i] = update(expected[i], g, memories[i], step)
        for parameter, w, g in zip(model.parameters(), expected, gradients(step), strict=True):
            np.testing.assert_allclose(parameter.value, w, rtol=1e-12)
            np.testing.assert_array_equal(parameter.grad, g)  # neither cleared nor changed
    assert optimizer.steps == 10


def test_sgd() -> None:
    check(lambda model: SGD(model, 0.1), lambda w, g, memory, step: w - 0.1 * g)


def test_momentum() -> None:
    def update(w: Any, g: Any, memory: dict[str, Any], step: int) -> Any:
        memory["v"] = 0.9 * memory.get("v", 0) + g
        return w - 0.1 * memory["v"]

    check(lambda model: SGD(model, 0.1, momentum=0.9), update)


def test_nesterov() -> None:
    def update(w: Any, g: Any, memory: dict[str, Any], step: int) -> Any:
        memory["v"] = 0.9 * memory.get("v", 0) + g
        return w - 0.1 * (g + 0.9 * memory["v"])

    check(lambda model: SGD(model, 0.1, momentum=0.9, nesterov=True), update)


def test_nesterov_is_the_gradient_ahead() -> None:
    """On a quadratic the form of the class is that of the paper, which takes the gradient at w + μ v."""
    model = Weights()
    optimizer = SGD(model, 0.1, momentum=0.8, nesterov=True)
    w, v = model.b.value.copy(), np.zeros(5)
    ahead = w.copy()
    for _ in range(10):
        model.zero_grad()
        model.b.grad = 3 * model.b.value
        optimizer.step()
        v = 0.8 * v - 0.1 * 3 * ahead
        w = w + v
        ahead = w + 0.8 * v
        np.testing.assert_allclose(model.b.value, ahead, rtol=1e-12)


def test_lr_may_be_a_function_of_the_step() -> None:
    check(lambda model: SGD(model, lambda step: 0.5**step), lambda w, g, memory, step: w - 0.5**step * g)


def test_lr_may_change_between_steps() -> None:
    model = Weights()
    optimizer = SGD(model, 0.5)
    w = model.b.value.copy()
    for lr in (0.5, 0.25, 0.0):
        optimizer.lr = lr
        model.b.grad.fill(1)
        optimizer.step()
        w -= lr
        np.testing.assert_allclose(model.b.value, w, rtol=1e-14)


@every_optimizer
def test_an_optimizer_keeps_to_float32(make: Any) -> None:
    for lr in (0.1, np.float64(0.1), lambda step: np.float64(0.1)):
        model = Weights("float32")
        optimizer = make(model, lr)
        give(model, gradients(0))
        optimizer.step()
        assert model.flat_value.dtype == model.flat_grad.dtype == model.w.value.dtype == np.float32
        memory = [value for value in vars(optimizer).values() if isinstance(value, np.ndarray)]
        assert all(array.dtype == np.float32 for array in memory)


@every_optimizer
def test_step_never_clears_gradients(make: Any) -> None:
    model = Weights()
    optimizer = make(model, 0.1)
    give(model, gradients(0))
    optimizer.step()
    optimizer.step()
    for parameter, g in zip(model.parameters(), gradients(0), strict=True):
        np.testing.assert_array_equal(parameter.grad, g)


@pytest.mark.parametrize("make", [SGD, momentum, Adagrad, RMSprop, Adam])  # AdamW decays
def test_no_gradient_is_no_step(make: Any) -> None:
    model = Weights()
    before = model.flat_value.copy()
    make(model, 0.1).step()
    np.testing.assert_array_equal(model.flat_value, before)


@every_optimizer
def test_a_rate_of_numpy_computes_as_one_of_python(make: Any) -> None:
    """One of NumPy's float64 is no array, but would make float64 of what it is multiplied with."""
    models = Weights("float32"), Weights("float32")
    for model, lr in zip(models, (0.1, np.float64(0.1)), strict=True):
        optimizer = make(model, lr)
        for step in range(3):
            give(model, gradients(step))
            optimizer.step()
    np.testing.assert_array_equal(models[1].flat_value, models[0].flat_value)


@every_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_strict_device_takes_the_same_steps(make: Any, dtype: str) -> None:
    """No hidden transfer, no host round trip, and the same numbers to the bit."""
    device = StrictDevice()
    here, there = Weights(dtype), Weights(dtype).to(device)
    optimizers = [make(model, 0.1, clip=(ClipValue(1.0), ClipNorm(2.0))) for model in (here, there)]
    for step in range(3):
        give(here, gradients(step))
        give(there, [device.asarray(g) for g in gradients(step)])
        for optimizer in optimizers:
            optimizer.step()
    found: Any = there.flat_value
    assert found.device == device
    np.testing.assert_array_equal(device.to_host(found), here.flat_value)


def test_nothing_is_clipped_unless_asked() -> None:
    model = Weights()
    optimizer = SGD(model, 1.0)
    before = model.b.value.copy()
    model.b.grad.fill(1e6)
    optimizer.step()
    np.testing.assert_allclose(model.b.value, before - 1e6, rtol=1e-14)
    assert optimizer.last_norm is None
    assert optimizer.clip == ()


def test_a_gradient_is_clipped_before_the_step() -> None:
    model = Weights()
    optimizer = SGD(model, 1.0, clip=ClipValue(0.5))
    before = model.b.value.copy()
    model.b.grad = np.array([-2, -0.5, 0.25, 1, 3])
    optimizer.step()
    np.testing.assert_allclose(model.b.value, before - [-0.5, -0.5, 0.25, 0.5, 0.5], rtol=1e-14)


@pytest.mark.parametrize("several", [tuple, list])
def test_several_clippers_come_in_order_and_the_norm_is_from_before(several: Any) -> None:
    def clip(*clippers: Any) -> tuple[Any, Any]:
        model = Weights()
        optimizer = SGD(model, 1.0, clip=several(clippers))
        model.b.grad = np.array([3, 4, 0, 0, 0])
        optimizer.step()
        return optimizer.last_norm, model.b.grad

    norm, grad = clip(ClipValue(3.0), ClipNorm(1.0))
    assert norm == pytest.approx(5, rel=1e-15)
    np.testing.assert_allclose(grad[:2], [math.sqrt(0.5), math.sqrt(0.5)], rtol=1e-14)
    norm, grad = clip(ClipNorm(1.0), ClipValue(0.7))
    assert norm == pytest.approx(5, rel=1e-15)
    np.testing.assert_allclose(grad[:2], [0.6, 0.7], rtol=1e-14)


def test_a_clipper_may_be_any_function() -> None:
    seen: list[int] = []

    def halve(grad: Any) -> Any:
        seen.append(grad.size)
        grad *= 0.5
        return grad.sum()

    model = Weights()
    optimizer = SGD(model, 1.0, clip=halve)
    model.b.grad.fill(2)
    optimizer.step()
    assert seen == [model.flat_grad.size]
    assert optimizer.last_norm == 5
    assert (model.b.grad == 1).all()


@pytest.mark.messages
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: SGD(model, -0.1), r"SGD: lr must be at least 0, not -0\.1"),
        (lambda model: SGD(model, math.nan), "SGD: lr must be at least 0, not nan"),
        (lambda model: SGD(model, 0.1, momentum=1.0), r"SGD: momentum must be 0 to below 1, not 1\.0"),
        (lambda model: SGD(model, 0.1, momentum=-0.5), r"SGD: momentum must be 0 to below 1, not -0\.5"),
        (lambda model: SGD(model, 0.1, momentum=math.nan), "SGD: momentum must be 0 to below 1, not nan"),
        (lambda model: SGD(model, 0.1, nesterov=True), "SGD: nesterov needs a momentum above 0"),
        (lambda model: Adagrad(model, -1), "Adagrad: lr must be at least 0, not -1"),
    ],
)
def test_arguments_out_of_range_are_refused_and_change_nothing(make: Any, message: str) -> None:
    model = Weights()
    with pytest.raises(ValueError, match=f"^{message}$"):
        make(model)
    assert model.w.vector is None


def test_options_are_keywords() -> None:
    with pytest.raises(TypeError, match="positional"):
        SGD(Weights(), 0.1, ClipNorm(1.0))  # type: ignore[call-arg]  # what the test is about


def test_a_step_changes_what_the_model_computes(rng: np.random.Generator) -> None:
    for model, x in ((Linear(3, 2, rng=rng), np.ones((4, 3))), (RNNCell(3, 2, rng=rng), np.ones((4, 1, 3)))):
        model.to(dtype="float64")
        before = np.asarray(model(x)[0]).copy()
        optimizer = SGD(model, 0.1)
        model.flat_grad.fill(1)
        optimizer.step()
        assert (np.asarray(model(x)[0]) != before).any()
