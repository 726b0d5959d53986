from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Embedding, Linear, OneHot, Residual, RNNCell, Sequential, Tanh
from tinygrad_rnn.core.roles import Feedforward


class Wide(Feedforward):
    """Takes what comes, and gives four features."""

    out_size = 4

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, None]:
        return x[..., :1] + np.zeros(4, x.dtype), None

    def backward(self, dy: Any, cache: None) -> Any:
        raise AssertionError("is not run")


def cell(in_size: int, out_size: int) -> RNNCell:
    return RNNCell(in_size, out_size, rng=np.random.default_rng(1))


def linear(in_size: int, out_size: int) -> Linear:
    return Linear(in_size, out_size, rng=np.random.default_rng(0))


def xs(*shape: int) -> Any:
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


def test_layers_that_give_zero_leave_the_input_and_the_gradient_as_they_are() -> None:
    model = Residual(cell(3, 3), linear(3, 3))
    model.flat_value.fill(0)
    x, dy = xs(4, 2, 3), xs(4, 2, 3)
    ys, _, cache = model.forward(x)
    np.testing.assert_array_equal(ys, x)
    np.testing.assert_array_equal(model.backward(dy, None, cache)[0], dy)


def test_only_the_output_of_the_whole_row_is_added() -> None:
    layers = (cell(3, 5), Tanh(), linear(5, 3))
    x = xs(4, 2, 3)
    np.testing.assert_array_equal(Residual(*layers)(x)[0], x + Sequential(*layers)(x)[0])
    once, (h,) = layers[0](x)
    nested = Sequential(layers[0], Residual(Residual(Tanh())))
    ys, state = nested(x)
    np.testing.assert_allclose(ys, once + (once + np.tanh(once)), rtol=1e-6)
    np.testing.assert_array_equal(state[0][0], h)


def test_layers_of_any_width() -> None:
    model = Residual(Tanh(), Tanh())
    assert (model.in_size, model.out_size) == (None, None)
    assert model(xs(3, 2, 9))[0].shape == (3, 2, 9)


@pytest.mark.messages
def test_a_width_that_is_known_at_one_end_holds_for_both() -> None:
    """Where a single feature came in, NumPy would repeat it."""
    model = Residual(Wide())
    assert (model.in_size, model.out_size) == (4, 4)
    with pytest.raises(ValueError, match=r"last axis must have size 4"):
        model(xs(3, 2, 1))
    with pytest.raises(ValueError, match=r"layers\.1, .*, takes 4 features, but 3 come from"):
        Sequential(linear(2, 3), model)


@pytest.mark.messages
def test_what_cannot_be_added_is_refused() -> None:
    def refused(message: str, *layers: Any) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            Residual(*layers)

    message = "Residual: 3 features go in at RNNCell(3, 5), but 4 come out of Linear(5, 4), so they cannot be added"
    refused(message, cell(3, 5), linear(5, 4))
    message = "Residual: 5 features go in at Tanh(), but 4 come out of Linear(5, 4), so they cannot be added"
    refused(message, Tanh(), linear(5, 4))
    embedding = Embedding(4, 4, rng=np.random.default_rng(0))
    message = "Residual: layers.0, Embedding(4, 4), takes ids, to which no output can be added. Put it before Residual"
    refused(message, embedding)
    refused("Residual takes at least one layer")
    refused(
        "Residual: layers.1, Linear(3, 4), takes 3 features, but 5 come from layers.0, RNNCell(4, 5)",
        cell(4, 5),
        linear(3, 4),
    )
    with pytest.raises(TypeError, match=r"^Residual takes Feedforward and Recurrent layers, not 3$"):
        Residual(3)  # type: ignore[arg-type]


@pytest.mark.messages
def test_one_hot_rows_are_refused() -> None:
    model = Sequential(OneHot(4), Residual(cell(4, 4)))
    ids = np.array([[0, 1], [2, 3]])
    message = (
        r"^Residual\(RNNCell\(4, 4\)\): the input is OneHotRows\(shape=.*\), which is never made dense, so no output "
        "can be added"
    )
    with pytest.raises(TypeError, match=message):
        model(ids)
    with pytest.raises(TypeError, match=message):
        model.step(ids[0], None)
