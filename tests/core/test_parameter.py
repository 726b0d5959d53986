from __future__ import annotations

import copy
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import SGD, Adagrad, ClipNorm, Layer, Linear, Parameter, RNNCell, Sequential, Tanh
from tinygrad_rnn.testing import StrictDevice

MOVED = "the parameters have moved since this optimizer was made, by model.to or into a larger model's vector"


class Holder(Layer):
    """Holds what it is given."""

    def __init__(self, *items: Any) -> None:
        self.items = items


class Tied(Layer):
    """Two linear layers with one matrix between them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.lower, self.upper = Linear(3, 3, rng=rng), Linear(3, 3, rng=rng)
        self.upper.w = self.lower.w


def linear(seed: int = 0, *sizes: int) -> Linear:
    return Linear(*(sizes or (3, 2)), rng=np.random.default_rng(seed))


def stack() -> Sequential:
    return Sequential(linear(0, 5, 3), RNNCell(3, 4, rng=np.random.default_rng(1)), Tanh(), linear(2, 4, 7))


def start(array: Any) -> int:
    address: int = array.ctypes.data
    return address


def lies_in(parameter: Parameter, layer: Layer) -> bool:
    """Whether value and gradient are views of the vectors of `layer`."""
    value, grad = layer.flat_value, layer.flat_grad
    return bool(np.shares_memory(parameter.value, value) and np.shares_memory(parameter.grad, grad))


def values(layer: Layer) -> list[Any]:
    return [p.value.copy() for p in layer.parameters()]


def set_grads(layer: Layer, *numbers: float) -> None:
    """The gradient of each parameter to its number, or all to the one."""
    parameters = layer.parameters()
    for parameter, number in zip(parameters, numbers if numbers[1:] else numbers * len(parameters), strict=True):
        parameter.grad.fill(number)


def equal(some: list[Any], others: list[Any]) -> bool:
    return len(some) == len(others) and all((a == b).all() for a, b in zip(some, others, strict=True))


def test_a_parameter_copies_its_array() -> None:
    array: Any = np.ones((2, 3), np.float32)
    parameter = Parameter(array)
    array.fill(5)
    np.testing.assert_array_equal(parameter.value, np.ones((2, 3)))
    assert (parameter.shape, parameter.size) == ((2, 3), 6)
    assert repr(parameter) == "Parameter(shape=(2, 3), dtype=float32, device=cpu)"


def test_a_number_of_numpy_becomes_an_array() -> None:
    number: Any = np.float32(2)  # as `zeros(()) + 2` is
    parameter: Any = Parameter(number)
    parameter.value = 3
    parameter.grad += 4
    assert type(parameter.value) is type(parameter.grad) is np.ndarray
    np.testing.assert_array_equal([parameter.value, parameter.grad], [3, 4])


@pytest.mark.parametrize("name", ["value", "grad"])
def test_assignment_writes_in_place(name: str) -> None:
    parameter = Parameter(np.ones((2, 3)))
    array: Any = getattr(parameter, name)
    new: Any = np.arange(6.0).reshape(2, 3)
    setattr(parameter, name, new)
    assert getattr(parameter, name) is array
    assert not np.shares_memory(array, new)
    np.testing.assert_array_equal(array, new)
    setattr(parameter, name, 4)
    np.testing.assert_array_equal(array, np.full((2, 3), 4))


def test_in_place_operators_keep_the_arrays() -> None:
    parameter = Parameter(np.ones(3))
    value, grad = parameter.value, parameter.grad
    parameter.value *= 2
    parameter.grad += 5
    parameter.grad += 1
    assert parameter.value is value
    assert parameter.grad is grad
    np.testing.assert_array_equal([value, grad], [[2] * 3, [6] * 3])


@pytest.mark.messages
@pytest.mark.parametrize("name", ["value", "grad"])
@pytest.mark.parametrize("shape", [(3,), (1,), (3, 2), (1, 2, 3)])
def test_assigning_another_shape_is_refused(name: str, shape: tuple[int, ...]) -> None:
    parameter = Parameter(np.ones((2, 3)))
    message = rf"Parameter\.{name} has shape \(2, 3\), but \({shape[0]},.* was assigned"
    with pytest.raises(ValueError, match=message):
        setattr(parameter, name, np.zeros(shape))
    assert parameter.value.all()


@pytest.mark.messages
@pytest.mark.parametrize("name", ["value", "grad"])
@pytest.mark.parametrize("wrong", [None, [1.0, 2.0, 3.0]])
def test_assigning_what_is_no_array_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"Parameter\.{name}"):
        setattr(Parameter(np.ones((2, 3))), name, wrong)


def test_a_gradient_is_zeros_made_when_first_read() -> None:
    parameter = Parameter(np.ones((2, 3), np.float32))
    assert parameter._grad is None
    assert (parameter.grad.shape, parameter.grad.dtype) == ((2, 3), np.dtype("float32"))
    assert not parameter.grad.any()
    assert parameter.grad is parameter.grad


def test_serving_makes_no_gradient() -> None:
    model = stack()
    assert model.flat_value.any()
    model(np.ones((4, 2, 5), np.float32))
    model.zero_grad()
    copy.deepcopy(model).to(dtype="float64")
    vector = model.parameters()[0].vector
    assert vector is not None
    assert not vector.has_grad


@pytest.mark.messages
@pytest.mark.parametrize("wrong", [np.ones(2, int), np.ones(2, np.float16), [1.0], 1.0, None])
def test_a_parameter_of_another_kind_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"Parameter, which takes an array.*: dtype must be float32 or float64, not"):
        Parameter(wrong)


def test_packing_makes_every_parameter_a_view() -> None:
    model = stack()
    before = values(model)
    vector = model.flat_value
    assert vector.ndim == 1
    assert all(lies_in(p, model) for p in model.parameters())
    assert equal(values(model), before)
    vector.fill(3)
    model.flat_grad.fill(4)
    assert all((p.value == 3).all() and (p.grad == 4).all() for p in model.parameters())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_parameter_starts_on_64_bytes(dtype: str) -> None:
    model = stack().to(dtype=dtype)
    model.flat_grad.fill(0)
    assert all(start(p.value) % 64 == start(p.grad) % 64 == 0 for p in model.parameters())


def test_packing_is_idempotent() -> None:
    model = stack()
    value, grad = model.flat_value, model.flat_grad
    SGD(model, 0.1)
    assert (start(model.flat_value), start(model.flat_grad)) == (start(value), start(grad))
    assert model.flat_value.shape == model.flat_grad.shape == value.shape


def test_gaps_stay_zero_whatever_the_optimizer() -> None:
    model = stack()
    optimizers = [SGD(model, 0.1, momentum=0.9, clip=ClipNorm(1.0)), Adagrad(model, 0.1)]
    set_grads(model, 2)
    filled = model.flat_grad == 2
    assert 0 < filled.sum() == sum(p.size for p in model.parameters()) < filled.size
    for _ in range(3):
        for optimizer in optimizers:
            optimizer.step()
    assert not model.flat_value[~filled].any()
    assert not model.flat_grad[~filled].any()
    assert (model.flat_value[filled] != 0).mean() > 0.9


def test_a_childs_vector_is_a_slice_of_its_parents() -> None:
    model = stack()
    whole = model.flat_value
    for child in (model.layers[0], model.layers[1], model.layers[3]):
        part = child.flat_value
        assert part.size < whole.size
        assert np.shares_memory(part, whole)
        assert np.shares_memory(child.flat_grad, model.flat_grad)
        assert all(lies_in(p, child) for p in child.parameters())
    assert start(model.layers[1].flat_value) == start(model.layers[1].parameters()[0].value)


def test_an_optimizer_of_a_child_leaves_the_rest() -> None:
    model = stack()
    model.flat_grad.fill(1)
    before = values(model)
    SGD(model.layers[1], 0.5).step()
    changed = [bool((a != b).any()) for a, b in zip(before, values(model), strict=True)]
    assert changed == [False, False, True, True, True, False, False]


def test_zero_grad_of_a_child_leaves_the_rest() -> None:
    for packed in (False, True):
        model = stack()
        if packed:
            model.flat_grad.fill(1)
        set_grads(model, 1)
        model.layers[1].zero_grad()
        assert [p.grad.any() for p in model.parameters()] == [True, True, False, False, False, True, True]
        model.zero_grad()
        assert not any(p.grad.any() for p in model.parameters())


def test_a_gradient_made_before_packing_moves_into_the_vector() -> None:
    layer = linear()
    layer.b.grad = np.array([3.0, 4.0], np.float32)
    layer.flat_value.fill(0)
    assert all(lies_in(p, layer) for p in layer.parameters())
    np.testing.assert_array_equal(layer.b.grad, [3, 4])
    assert not layer.w.grad.any()
    layer.flat_grad.fill(7)
    assert (layer.b.grad == 7).all()
    assert (layer.w.grad == 7).all()


def test_a_larger_model_absorbs_a_smaller_one() -> None:
    child = linear()
    optimizer = SGD(child, 0.1, momentum=0.9)
    child.w.grad.fill(5)
    before = values(child)
    model = Sequential(child, Tanh(), linear(1, 2, 2))
    assert lies_in(child.w, model)
    assert equal(values(child), before)
    assert (child.w.grad == 5).all()
    assert optimizer.velocity is not None
    with pytest.raises(RuntimeError, match=f"^SGD: {MOVED}. Make the optimizer after that, on the larger model"):
        optimizer.step()
    assert equal(values(child), before)
    assert optimizer.steps == 0
    assert not optimizer.velocity.any()
    SGD(model, 0.1).step()
    assert not equal(values(child), before)


@pytest.mark.parametrize("where", [{"dtype": "float64"}, {"device": StrictDevice()}])
def test_to_dissolves_the_vector(where: dict[str, Any]) -> None:
    model = stack()
    optimizer = Adagrad(model, 0.1, clip=ClipNorm(1.0))
    model.flat_grad.fill(1)
    vector = model.flat_value
    model.to(**where)
    assert all(p.vector is None for p in model.parameters())
    with pytest.raises(RuntimeError, match=f"Adagrad: {MOVED}"):
        optimizer.step()
    assert (optimizer.steps, optimizer.last_norm) == (0, None)
    assert model.flat_value is not vector
    Adagrad(model, 0.1).step()


def test_moving_a_child_alone_leaves_a_model_of_two_dtypes() -> None:
    model = stack()
    optimizer = SGD(model, 0.1)
    model.layers[1].to(dtype="float64")
    with pytest.raises(RuntimeError, match=MOVED):
        optimizer.step()
    message = (
        r"the parameters of one model must share a dtype and a device, but Parameter\(shape=\(5, 3\), dtype=float32, "
        r"device=cpu\) and Parameter\(shape=\(3, 4\), dtype=float64, device=cpu\) do not: call model\.to\("
    )
    with pytest.raises(TypeError, match=message):
        SGD(model, 0.1)
    assert model.to(dtype="float64").flat_value.dtype == np.float64


def test_models_that_share_only_a_part_are_refused() -> None:
    shared = linear()
    one, other = Sequential(shared, linear(1, 2, 2)), Sequential(shared, linear(2, 2, 2))
    optimizer = SGD(one, 0.1)
    with pytest.raises(ValueError, match=r"only 2 of the 4 parameters that another model keeps.*copy\.deepcopy"):
        SGD(other, 0.1)
    one.flat_grad.fill(1)
    optimizer.step()  # nothing was changed
    assert lies_in(shared.w, one)
    SGD(Holder(one, other), 0.1).step()  # one model that contains both


def test_a_model_with_others_between_its_parameters_is_refused() -> None:
    first, between, last = linear(), linear(1), linear(2)
    SGD(Holder(first, between, last), 0.1)
    with pytest.raises(ValueError, match=r"only 4 of the 6 parameters that another model keeps"):
        SGD(Holder(first, last), 0.1)
    assert Holder(between, last).flat_value.size > last.flat_value.size


def test_models_of_the_same_parameters_share_one_vector() -> None:
    one, other = linear(), linear(1)
    there, back = Holder(one, other), Holder(other, one)
    there.flat_value.fill(2)
    assert start(back.flat_value) == start(there.flat_value)
    assert back.flat_value.shape == there.flat_value.shape


def test_a_model_without_parameters_has_no_vector() -> None:
    for ask in (lambda: Tanh().flat_value, lambda: Tanh().flat_grad, lambda: SGD(Sequential(Tanh()), 0.1)):
        with pytest.raises(ValueError, match="there are no parameters here to lie in a vector"):
            ask()
    Tanh().zero_grad()


def test_a_tied_parameter_lies_in_the_vector_once(rng: np.random.Generator) -> None:
    model = Tied(rng)
    assert [name for name, _ in model.named_parameters()] == ["lower.w", "lower.b", "upper.b"]
    model.flat_grad.fill(1)
    SGD(model, 0.5).step()
    assert model.upper.w is model.lower.w
    assert lies_in(model.upper.w, model)
    assert model.flat_value.size == 16 + 16 + 3  # to 64 bytes, but the last
    twin = copy.deepcopy(model)
    assert twin.upper.w is twin.lower.w


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("twice", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_independent(packed: bool, twice: Any) -> None:
    model = stack()
    if packed:
        optimizer = SGD(model, 0.1)
    set_grads(model, *range(7))
    twin = twice(model)
    assert equal(values(twin), values(model))
    assert all((p.grad == i).all() for i, p in enumerate(twin.parameters()))
    assert [name for name, _ in twin.named_parameters()] == [name for name, _ in model.named_parameters()]
    before = values(model)
    twin.flat_value.fill(9)
    twin.flat_grad.fill(9)
    assert equal(values(model), before)
    assert all((p.grad == i).all() for i, p in enumerate(model.parameters()))
    assert all(lies_in(p, twin) for p in twin.parameters())
    if packed:
        optimizer.step()  # the copy took nothing from it
    SGD(twin, 0.1).step()


def test_a_shallow_copy_of_a_parameter_is_independent() -> None:
    parameter = Parameter(np.ones(3))
    parameter.grad.fill(2)
    twin = copy.copy(parameter)
    twin.value.fill(5)
    twin.grad += 5
    assert (parameter.value == 1).all()
    assert (parameter.grad == 2).all()


def test_a_copy_of_model_and_optimizer_keeps_them_together() -> None:
    model = stack()
    optimizer = SGD(model, 0.1, momentum=0.9)
    set_grads(model, 1)
    optimizer.step()
    before = values(model)
    twin, other = copy.deepcopy((model, optimizer))
    assert equal(values(twin), before)
    for each in (optimizer, other):
        each.step()
    assert equal(values(twin), values(model))  # the momentum was copied, too
    assert not equal(values(twin), before)
    assert not np.shares_memory(twin.flat_value, model.flat_value)


def test_a_copy_of_an_optimizer_that_is_out_of_date_takes_nothing() -> None:
    child = linear()
    old = SGD(child, 0.1)
    model = Sequential(child, Tanh())
    model.layers[0].to(dtype="float64")
    new = SGD(model, 0.1)
    twin, new_twin, old_twin = copy.deepcopy((model, new, old))
    new_twin.step()
    with pytest.raises(RuntimeError, match=MOVED):
        old_twin.step()
    assert lies_in(twin.parameters()[0], twin)


@pytest.mark.parametrize(
    "change",
    [copy.deepcopy, lambda layer: layer.to(dtype="float64"), lambda layer: Sequential(layer, linear(1, 2, 2))],
    ids=["copied", "moved", "absorbed"],
)
def test_what_was_written_to_the_vector_of_gradients_is_kept(change: Any) -> None:
    layer = linear()
    layer.flat_grad.fill(3)  # before any parameter's own gradient was asked for
    changed = change(layer)
    changed.flat_value.sum()
    assert (changed.parameters()[0].grad == 3).all()


def test_a_model_can_be_pickled_and_computes_the_same() -> None:
    model = stack()
    SGD(model, 0.1)
    again = pickle.loads(pickle.dumps(model))
    xs = np.ones((4, 2, 5), np.float32)
    np.testing.assert_array_equal(again(xs)[0], model(xs)[0])
    assert repr(again) == repr(model)


@pytest.mark.messages
@pytest.mark.parametrize("name", ["value", "grad"])
@pytest.mark.parametrize(
    "junk",
    [
        *(True, None, "x", 1j, [1.0, 2.0], 10**400, np.True_, np.complex64(1), np.ma.masked, np.array([True, False])),
        *(np.ones(2, complex), np.ones(2, object), np.ma.masked_array(np.ones(2), True), np.ones(2).view(np.recarray)),
    ],
)
def test_only_real_numbers_are_assigned(name: str, junk: Any) -> None:
    parameter = Parameter(np.zeros(2, np.float32))
    with pytest.raises((TypeError, ValueError), match=f"^Parameter(.|: ){name}"):
        setattr(parameter, name, junk)
    np.testing.assert_array_equal(parameter.value, 0)
    np.testing.assert_array_equal(parameter.grad, 0)
    setattr(parameter, name, Fraction(1, 2))
    np.testing.assert_array_equal(getattr(parameter, name), 0.5)
