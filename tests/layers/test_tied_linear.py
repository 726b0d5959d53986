from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    SGD,
    Embedding,
    Linear,
    OneHot,
    OneHotRows,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    TiedLinear,
    load,
    save,
)
from tinygrad_rnn.testing import StrictDevice, check_gradients

IDS: Any = np.array([[0, 1], [2, 3], [4, 0]])
NAMES = ["layers.0.w", "layers.1.w_x", "layers.1.w_h", "layers.1.b", "layers.2.b"]


def network() -> Any:
    rng = np.random.default_rng(0)
    table = Embedding(5, 3, rng=rng)
    return Sequential(table, RNNCell(3, 3, rng=rng), TiedLinear(table))


def step(model: Any, lr: float) -> None:
    """A training step, the gradients cleared before."""
    logits, _, cache = model.forward(IDS)
    criterion = SoftmaxCrossEntropy()
    _, loss_cache = criterion.forward(logits, IDS[::-1].copy())
    model.zero_grad()
    model.backward(criterion.backward(loss_cache), None, cache)
    SGD(model, lr).step()


def assert_tied(model: Any) -> None:
    table, _, scores = model.layers
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert scores.embedding is table
    assert scores.w is table.w
    before = table.w.value.copy()
    step(model, 0.5)
    np.testing.assert_allclose(before - table.w.value, 0.5 * table.w.grad, rtol=0, atol=1e-6)  # once, not twice
    assert (scores.w.value == table.w.value).all()
    assert abs(table.w.grad).min() > 0  # every row has scores, ids or not


def test_the_table_is_one_parameter() -> None:
    assert_tied(network())


def test_the_table_stays_tied_in_a_copy() -> None:
    model = network()
    SGD(model, 0.1)  # packed
    other = copy.deepcopy(model)
    assert other.layers[0].w is not model.layers[0].w
    assert_tied(other)
    alone = copy.deepcopy(model.layers[2])
    assert alone.w is alone.embedding.w


def test_the_table_is_saved_once_and_tied_after_loading(tmp_path: Path) -> None:
    model = network()
    step(model, 0.1)
    save(tmp_path / "model.safetensors", model)
    loaded = load(tmp_path / "model.safetensors").model
    for (name, parameter), (_, expected) in zip(loaded.named_parameters(), model.named_parameters(), strict=True):
        np.testing.assert_array_equal(parameter.value, expected.value, err_msg=name)
    np.testing.assert_array_equal(loaded(IDS)[0], model(IDS)[0])
    assert_tied(loaded)


def test_both_ends_give_gradient_to_the_table() -> None:
    """With a table of its own at each end, the two gradients are its parts."""
    model = network().to(dtype="float64")
    apart = copy.deepcopy(model)
    apart.layers[2].embedding = copy.deepcopy(apart.layers[2].embedding)
    step(model, 0.0)
    step(apart, 0.0)
    ends = [apart.layers[0].w.grad, apart.layers[2].w.grad]
    np.testing.assert_allclose(model.layers[0].w.grad, ends[0] + ends[1], rtol=1e-12)
    assert min(abs(end).max() for end in ends) > 1e-3


def test_the_tie_is_to_what_the_embedding_has() -> None:
    """Also when that was replaced since."""
    model = network()
    model.layers[0].w = Linear(3, 5, rng=np.random.default_rng(1)).w
    assert model.layers[2].w is model.layers[0].w


def test_the_offset_is_made_where_the_table_lies() -> None:
    table = Embedding(5, 3, rng=np.random.default_rng(0))
    assert TiedLinear(table.to(dtype="float64")).b.value.dtype == "float64"
    assert TiedLinear(table.to(StrictDevice())).device == StrictDevice()


def test_one_hot_rows_are_taken_as_by_linear() -> None:
    rng = np.random.default_rng(0)
    layer = TiedLinear(Embedding(5, 3, rng=rng))
    check_gradients(Sequential(OneHot(3), layer), rng=rng)
    y, cache = layer.forward(OneHotRows(IDS % 3, 3))
    np.testing.assert_array_equal(y, layer(np.eye(3, dtype=np.float32)[IDS % 3]))
    assert layer.backward(y, cache) is None


@pytest.mark.messages
def test_what_is_no_embedding_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^TiedLinear takes the Embedding whose table it shares, not OneHot\(5\)$"):
        TiedLinear(OneHot(5))  # type: ignore[arg-type]


@pytest.mark.messages
def test_what_does_not_fit_is_refused() -> None:
    table = Embedding(5, 3, rng=np.random.default_rng(0))
    layer = TiedLinear(table)
    with pytest.raises(ValueError, match=r"^TiedLinear\(Embedding\(5, 3\)\): x has shape \(2, 4\), but its last axis "):
        layer(np.ones((2, 4), np.float32))
    with pytest.raises(TypeError, match=r"x is float64, but the parameters are float32"):
        layer(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"layers\.1, TiedLinear\(Embedding\(5, 3\)\), takes 3 features, but 4 come"):
        Sequential(Linear(2, 4, rng=np.random.default_rng(0)), layer)
