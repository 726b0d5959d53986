from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from table import SteppedLSTM
from tinygrad_rnn import LSTMCell, Sequential, load, save

GATES = ["input", "forget", "output", "new"]


def cell(in_size: int = 3, out_size: int = 4, kind: type[LSTMCell] = LSTMCell) -> LSTMCell:
    return kind(in_size, out_size, rng=np.random.default_rng(0))


def test_the_forget_gate_begins_open_and_the_other_biases_at_0() -> None:
    np.testing.assert_array_equal(cell().b.value, [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    assert {p.value.dtype.name for p in cell().parameters()} == {"float32"}


@pytest.mark.parametrize("gate", range(4), ids=GATES)
def test_weights_are_drawn_gate_by_gate(gate: int) -> None:
    w_x, w_h = (p.value[:, gate * 40 : (gate + 1) * 40] for p in (cell(50, 40).w_x, cell(50, 40).w_h))
    np.testing.assert_allclose(w_h.T @ w_h, np.eye(40), atol=1e-6)
    limit = (6 / (50 + 40)) ** 0.5  # of a block (50, 40); for all four at once it would be 0.17
    assert 0.98 * limit < abs(w_x).max() <= limit
    assert w_x.std() == pytest.approx(limit / 3**0.5, rel=0.05)


def test_no_two_gates_begin_alike() -> None:
    for w in (cell().w_x.value, cell().w_h.value):
        blocks = np.split(w, 4, axis=1)
        assert not any((blocks[i] == blocks[j]).any() for i in range(4) for j in range(i))


def test_each_gate_does_what_its_name_says() -> None:
    """Wide open or shut by its bias alone, on a memory of 0.5 and a new value of tanh(1)."""
    lstm = cell(1, 1).to(dtype="float64")
    lstm.w_x.value = lstm.w_h.value = np.zeros((1, 4))
    for take, keep, show in np.ndindex(2, 2, 2):
        lstm.b.value = np.array([100 * (2 * opened - 1) for opened in (take, keep, show)] + [1])
        y, (h, c) = lstm.step(np.ones((1, 1)), (np.ones((1, 1)), np.full((1, 1), 0.5)))
        assert c[0, 0] == pytest.approx(take * np.tanh(1) + keep * 0.5, rel=1e-15)
        assert h[0, 0] == y[0, 0] == pytest.approx(show * np.tanh(c[0, 0]), rel=1e-15)


@pytest.mark.parametrize("kind", [LSTMCell, SteppedLSTM])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_any_size_neither_overflow_nor_give_nan(kind: type[LSTMCell], dtype: str) -> None:
    """A warning of NumPy would be an error here."""
    lstm = cell(kind=kind).to(dtype=dtype)
    xs = np.zeros((6, 2, 3), dtype)
    xs[1:5] = np.array([1e2, -1e4, 1e30, -1e30], dtype)[:, None, None]
    ys, state, cache = lstm.forward(xs)
    dxs, dstate = lstm.backward(np.ones_like(ys), state, cache)
    assert abs(ys).max() <= 1
    for array in (ys, dxs, *state, *dstate, *(p.grad for p in lstm.parameters())):
        assert np.isfinite(array).all()


def test_a_memory_with_open_gates_lasts() -> None:
    """Forget gate at 1 and input gate at 0: after 1000 steps the memory, and its gradient, are what they were."""
    lstm = cell(1, 2)
    lstm.w_x.value = np.zeros((1, 8))
    lstm.w_h.value = np.zeros((2, 8))
    lstm.b.value = np.repeat([-100, 100, 0, 0], 2)
    c = np.array([[0.25, -3.0]], np.float32)
    _, (_, after), cache = lstm.forward(np.ones((1000, 1, 1), np.float32), (np.zeros_like(c), c))
    np.testing.assert_array_equal(after, c)
    _, (_, dc) = lstm.backward(None, (np.zeros_like(c), c), cache)
    np.testing.assert_array_equal(dc, c)


def test_config_and_repr() -> None:
    assert repr(cell()) == "LSTMCell(3, 4)"
    assert cell().state_sizes == (4, 4)
    options = {"peepholes": True, "coupled": True, "bias": False}
    lstm = LSTMCell(3, 4, rng=np.random.default_rng(0), **options)
    assert lstm.config() == {"in_size": 3, "out_size": 4} | options
    assert repr(lstm) == "LSTMCell(3, 4, peepholes=True, coupled=True, bias=False)"


@pytest.mark.parametrize(("coupled", "blocks"), [(False, 4), (True, 3)])
def test_an_option_adds_its_weights_and_leaves_out_others(coupled: bool, blocks: int) -> None:
    lstm = LSTMCell(3, 5, rng=np.random.default_rng(0), peepholes=True, coupled=coupled)
    shapes = {"w_x": (3, 5 * blocks), "w_h": (5, 5 * blocks), "b": (5 * blocks,), "p": (5 * (blocks - 1),)}
    assert {name: p.shape for name, p in lstm.named_parameters()} == shapes
    forget = 0 if coupled else 5
    assert lstm.b.value[forget : forget + 5].sum() == lstm.b.value.sum() == 5
    assert not lstm.p.value.any()
    plain = LSTMCell(3, 5, rng=np.random.default_rng(0), coupled=coupled, bias=False)
    assert [name for name, _ in plain.named_parameters()] == ["w_x", "w_h"]
    assert plain.b is plain.p is None


def test_the_peepholes_of_the_node_test_of_onnx() -> None:
    """`test_lstm_with_peepholes` of onnx 1.23: all weights 0.1, no bias, one step."""
    lstm = LSTMCell(4, 3, rng=np.random.default_rng(0), peepholes=True, bias=False)
    for parameter in lstm.parameters():
        parameter.value = np.full(parameter.shape, 0.1)
    xs = np.arange(1, 9, dtype=np.float32).reshape(1, 2, 4)
    expected = [[0.37506911158561707] * 3, [0.6801308989524841] * 3]
    np.testing.assert_allclose(lstm(xs)[0][0], expected, rtol=0, atol=1e-7)


def test_what_a_coupled_cell_forgets_it_takes_in() -> None:
    lstm = LSTMCell(3, 4, rng=np.random.default_rng(0), coupled=True, peepholes=True)
    cache: Any = lstm.forward(np.random.default_rng(1).standard_normal((5, 2, 3)).astype("float32"))[2]
    np.testing.assert_allclose(cache.inner.steps.i + cache.inner.steps.f, np.ones((5, 2, 4)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("option", ["peepholes", "coupled", "bias"])
def test_a_file_holds_the_options(option: str, tmp_path: Path) -> None:
    value = option != "bias"
    model = Sequential(LSTMCell(3, 4, rng=np.random.default_rng(0), **{option: value}))
    save(tmp_path / "model", model)
    loaded: Any = load(tmp_path / "model").model
    assert repr(loaded) == repr(model)
    np.testing.assert_array_equal(loaded.flat_value, model.flat_value)


@pytest.mark.messages
@pytest.mark.parametrize("option", ["peepholes", "coupled", "bias"])
def test_an_option_that_is_no_bool_is_refused(option: str) -> None:
    options: Any = {option: 1}
    with pytest.raises(TypeError, match=f"LSTMCell: {option} must be True or False, not 1"):
        LSTMCell(3, 4, rng=np.random.default_rng(0), **options)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 4), ValueError, "LSTMCell: in_size must be at least 1, not 0"),
        ((3, -1), ValueError, "LSTMCell: out_size must be at least 1, not -1"),
        ((3.0, 4), TypeError, "LSTMCell: in_size must be an integer, not 3.0"),
        ((3, "4"), TypeError, "LSTMCell: out_size must be an integer, not '4'"),
    ],
)
def test_sizes_that_are_none_are_refused(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LSTMCell(*arguments, rng=np.random.default_rng(0))


@pytest.mark.messages
def test_what_draws_no_weights_is_refused() -> None:
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator, such as"):
        LSTMCell(3, 4, rng=0)  # type: ignore[arg-type]  # what the test is about


@pytest.mark.messages
def test_a_state_of_one_array_is_refused() -> None:
    h = np.zeros((2, 4), np.float32)
    with pytest.raises(TypeError, match=r"LSTMCell\(3, 4\): state must be \(h, c\), a tuple of 2, not a tuple of 1"):
        cell()(np.zeros((5, 2, 3), np.float32), (h,))
