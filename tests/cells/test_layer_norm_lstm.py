from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import LayerNormLSTMCell, OneHotRows, initializers


def cell(**options: Any) -> LayerNormLSTMCell:
    return LayerNormLSTMCell(3, 4, rng=np.random.default_rng(0), **options)


def test_parameters_have_their_names_shapes_and_first_values() -> None:
    assert {name: p.shape for name, p in cell().named_parameters()} == {
        "w_x": (3, 16),
        "w_h": (4, 16),
        "b": (16,),
        "norm_x.g": (16,),
        "norm_h.g": (16,),
        "norm_c.g": (4,),
        "norm_c.b": (4,),
    }
    assert cell().b.value.tolist() == [0] * 4 + [1] * 4 + [0] * 8


def test_weights_are_drawn_gate_after_gate() -> None:
    rng, drawn = np.random.default_rng(0), cell()
    for gate in range(4):
        np.testing.assert_array_equal(drawn.w_x.value[:, 4 * gate : 4 * gate + 4], initializers.glorot((3, 4), rng=rng))
    for gate in range(4):
        w = drawn.w_h.value[:, 4 * gate : 4 * gate + 4]
        np.testing.assert_array_equal(w, initializers.orthogonal((4, 4), rng=rng))


def test_the_scale_of_input_and_state_does_not_matter() -> None:
    lstm = cell(eps=1e-12).to(dtype="float64")
    rng = np.random.default_rng(1)
    x, h, c = rng.standard_normal((2, 3)), rng.standard_normal((2, 4)), rng.standard_normal((2, 4))
    y, _ = lstm.step(x, (h, c))
    found, _ = lstm.step(1000 * x, (0.01 * h, c))
    np.testing.assert_allclose(found, y, rtol=1e-6)


def test_the_memory_in_the_state_is_that_before_its_norm() -> None:
    lstm = cell().to(dtype="float64")
    rng = np.random.default_rng(1)
    h, c = rng.standard_normal((2, 4)), rng.standard_normal((2, 4))
    lstm.b.value[:] = [-1e3] * 4 + [1e3] * 4 + [0] * 8  # nothing comes in, nothing is forgotten
    _, state, cache = lstm.step_forward(rng.standard_normal((2, 3)), (h, c))
    np.testing.assert_allclose(state[1], c, rtol=1e-12)
    np.testing.assert_allclose(cache.m, np.tanh(lstm.norm_c(c)), rtol=1e-12)


def test_one_hot_rows_are_as_good_as_dense_ones() -> None:
    lstm, ids = cell(), np.array([[0, 2], [1, 1]])
    ys, _ = lstm(OneHotRows(ids, 3))
    dense, _ = lstm(np.eye(3, dtype=np.float32)[ids])
    np.testing.assert_allclose(ys, dense, atol=1e-6)


def test_gates_that_are_far_out_do_not_overflow() -> None:
    lstm = cell()
    lstm.b.value[:] = [1e30, -1e30] * 8
    ys, _, cache = lstm.forward(np.ones((3, 2, 3), np.float32))
    assert np.isfinite(ys).all()
    dxs, _ = lstm.backward(ys, None, cache)
    assert np.isfinite(dxs).all()


@pytest.mark.messages
@pytest.mark.parametrize(
    ("sizes", "options", "error", "message"),
    [
        ((0, 4), {}, ValueError, "LayerNormLSTMCell: in_size must be at least 1, not 0"),
        ((3, 4.0), {}, TypeError, "LayerNormLSTMCell: out_size must be an integer, not 4.0"),
        ((3, 4), {"eps": 0}, ValueError, "eps must be above 0, not 0"),
        ((3, 4), {"rng": 0}, TypeError, "rng must be a numpy.random.Generator"),
    ],
)
def test_arguments_that_do_not_fit_are_told_why(sizes: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        LayerNormLSTMCell(*sizes, **{"rng": np.random.default_rng(0), **options})
