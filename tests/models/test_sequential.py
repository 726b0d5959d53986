from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Embedding, Layer, Linear, OneHot, RNNCell, Sequential, SoftmaxCrossEntropy, Tanh
from tinygrad_rnn.core.states import State

IDS: Any = np.array([[0, 1], [2, 3], [4, 0]])


def linear(in_size: int, out_size: int) -> Linear:
    return Linear(in_size, out_size, rng=np.random.default_rng(0))


def cell(in_size: int, out_size: int) -> RNNCell:
    return RNNCell(in_size, out_size, rng=np.random.default_rng(1))


def refused(error: type[Exception], message: str, *layers: Any) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Sequential(*layers)


@pytest.mark.messages
def test_neighbours_that_do_not_fit_are_named_both() -> None:
    message = "Sequential: layers.2, Linear(5, 3), takes 5 features, but 4 come from layers.1, RNNCell(5, 4)"
    refused(ValueError, message, OneHot(5), cell(5, 4), linear(5, 3))
    message = "Sequential: layers.2, RNNCell(5, 4), takes 5 features, but 3 come from layers.1, Tanh()"
    refused(ValueError, message, linear(2, 3), Tanh(), cell(5, 4))  # Tanh keeps the width
    message = "Sequential: layers.1, Linear(4, 3), takes 4 features, but 5 come from layers.0, OneHot(5)"
    refused(ValueError, message, OneHot(5), linear(4, 3))


@pytest.mark.messages
def test_nested_neighbours_that_do_not_fit_are_named_both() -> None:
    inner = Sequential(Tanh(), linear(4, 3))
    message = "Sequential: layers.1, Linear(2, 2), takes 2 features, but 3 come from layers.0, Sequential(Tanh(), Li"
    with pytest.raises(ValueError, match=re.escape(message)):
        Sequential(inner, linear(2, 2))


@pytest.mark.messages
def test_the_width_behind_a_layer_that_takes_any_is_seen() -> None:
    inner = Sequential(Tanh(), linear(4, 3))
    assert inner.in_size == 4
    with pytest.raises(ValueError, match="takes 4 features, but 2 come from"):
        Sequential(linear(5, 2), inner)


@pytest.mark.messages
def test_a_layer_of_ids_can_only_come_first() -> None:
    refused(ValueError, "Sequential: layers.1, OneHot(5), takes ids, so it can only come first", Tanh(), OneHot(5))
    embedding = Embedding(5, 2, rng=np.random.default_rng(0))
    message = "Sequential: layers.1, Embedding(5, 2), takes ids, so it can only come first"
    refused(ValueError, message, OneHot(5), embedding)
    inner = Sequential(OneHot(5), cell(5, 4))
    assert inner.takes_ids
    message = f"Sequential: layers.1, {inner!r}, takes ids, so it can only come first"
    refused(ValueError, message, linear(3, 5), inner)


@pytest.mark.messages
@pytest.mark.parametrize("wrong", [None, np.zeros(3), Tanh, SoftmaxCrossEntropy(), Layer()])
def test_what_is_no_layer_is_refused(wrong: Any) -> None:
    refused(TypeError, f"Sequential takes Feedforward and Recurrent layers, not {wrong!r}", OneHot(5), wrong)


@pytest.mark.messages
def test_a_list_of_layers_is_refused() -> None:
    layers = [OneHot(5), linear(5, 3)]
    refused(TypeError, f"Sequential takes Feedforward and Recurrent layers, not {layers!r}", layers)


def test_no_layers_are_refused() -> None:
    refused(ValueError, "Sequential takes at least one layer")


def test_a_state_has_an_entry_for_each_child() -> None:
    model = Sequential(OneHot(5), cell(5, 4), Tanh(), Sequential(cell(4, 2), linear(2, 3)))
    for state in (model.initial_state(2), model(IDS)[1], model.step(IDS[0], None)[1]):
        assert len(state) == len(model.layers)
        assert state[0] == state[2] == state[3][1] == ()
        assert state[1][0].shape == (2, 4)
        assert state[3][0][0].shape == (2, 2)
    ys, state, cache = model.forward(IDS)
    dxs, dstate = model.backward(np.ones_like(ys), None, cache)
    assert dxs is None
    assert dstate[0] == dstate[2] == dstate[3][1] == ()
    assert dstate[1][0].shape == (2, 4)


def run(model: Sequential, state: State) -> tuple[list[Any], State, State]:
    """Outputs and parameter gradients, the state after, the gradient of the state before."""
    ys, after, cache = model.forward(IDS, state, lengths=np.array([3, 2]))
    _, dstate = model.backward(np.cos(ys), after, cache)
    return [ys, *(p.grad for p in model.parameters())], after, dstate


def test_nested_equals_flat() -> None:
    layers = (OneHot(5), cell(5, 4), linear(4, 3), cell(3, 2), Tanh())
    flat = Sequential(*layers)
    nested = Sequential(Sequential(layers[0]), Sequential(layers[1], Sequential(layers[2], layers[3])), layers[4])
    h, g = np.full((2, 4), 0.3, np.float32), np.full((2, 2), -0.7, np.float32)
    arrays, after, dstate = run(flat, ((), (h,), (), (g,), ()))
    arrays = [array.copy() for array in arrays]
    flat.zero_grad()
    others, inner, dinner = run(nested, (((),), ((h,), ((), (g,))), ()))
    for one, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(one, other)
    for state, tree in ((after, inner), (dstate, dinner)):
        np.testing.assert_array_equal(state[1][0], tree[1][0][0])
        np.testing.assert_array_equal(state[3][0], tree[1][1][1][0])


def test_widths_may_differ_from_layer_to_layer() -> None:
    model = Sequential(OneHot(5), cell(5, 7), Tanh(), cell(7, 2), linear(2, 6))
    assert (model.in_size, model.out_size) == (5, 6)
    ys, state = model(IDS)
    assert ys.shape == (3, 2, 6)
    assert (state[1][0].shape, state[3][0].shape) == ((2, 7), (2, 2))


def test_a_sequential_of_activations_takes_any_width() -> None:
    model = Sequential(Tanh(), Tanh())
    assert (model.in_size, model.out_size) == (None, None)
    assert model(np.ones((3, 2, 9), np.float32))[0].shape == (3, 2, 9)


def test_a_layer_used_twice_gets_both_gradients() -> None:
    shared = linear(3, 3)
    model = Sequential(shared, shared)
    x = np.ones((2, 1, 3), np.float32)
    _, _, cache = model.forward(x)
    model.backward(x, None, cache)
    y, first = shared.forward(x)
    _, second = shared.forward(y)
    together = shared.w.grad.copy()
    shared.zero_grad()
    dy: Any = shared.backward(x, second)
    shared.backward(dy, first)
    np.testing.assert_allclose(together, shared.w.grad, rtol=1e-6)


class Warm(Sequential):
    """Another step than that of its layers."""

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        y, state, cache = super().step_forward(x, state, training=training)
        return y / 2, state, cache


def test_a_step_in_use_is_that_of_a_subclass() -> None:
    layers = OneHot(5), cell(5, 4), linear(4, 5)
    y, _ = Warm(*layers).step(IDS[0], None)
    np.testing.assert_array_equal(y, Sequential(*layers).step(IDS[0], None)[0] / 2)
