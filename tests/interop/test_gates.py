from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from tinygrad_rnn import interop
from tinygrad_rnn.interop.gates import GATES, KERAS, ONNX, TORCH, join_biases, of_both_gates, of_forget_gate, reorder


@pytest.mark.parametrize("theirs", [TORCH, ONNX, KERAS])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_an_order_of_gates_and_back_is_the_same(theirs: dict[str, str], kind: str) -> None:
    array = np.arange(3 * 4 * len(GATES[kind])).reshape(3, -1)
    there = reorder(array, GATES[kind], theirs[kind])
    assert np.array_equal(reorder(there, theirs[kind], GATES[kind]), array)
    for i, gate in enumerate(theirs[kind]):
        ours = GATES[kind].index(gate)
        assert np.array_equal(there[:, 4 * i : 4 * i + 4], array[:, 4 * ours : 4 * ours + 4])


def test_biases_are_joined_but_for_the_candidate_of_a_gru() -> None:
    x, h = np.arange(6.0), 10 * np.arange(1, 7.0)
    assert join_biases("LSTM", x, h)["b"].tolist() == (x + h).tolist()
    gru = join_biases("GRU", x, h)
    assert gru["b"].tolist() == [10, 21, 32, 43, 4, 5]
    assert gru["b_h"].tolist() == [50, 60]
    assert join_biases("GRU", x, h, reset="before").keys() == {"b"}


def test_a_coupled_cell_has_an_input_gate_elsewhere() -> None:
    cell = rnn.LSTMCell(1, 2, rng=np.random.default_rng(0), coupled=True)
    cell.w_x.value = np.arange(1, 7, dtype=np.float32)[None]
    whole = of_both_gates(cell, cell.w_x)
    assert whole.tolist() == [[-1, -2, 1, 2, 3, 4, 5, 6]]
    assert of_forget_gate(whole, 2).tolist() == cell.w_x.value.tolist()
    cell = rnn.LSTMCell(1, 2, rng=np.random.default_rng(0))
    assert of_both_gates(cell, cell.w_x).tobytes() == cell.w_x.value.tobytes()


def test_a_bias_beside_zeros_stays_to_the_bit() -> None:
    odd = np.array([-0.0, 0.0, 1e-45, -1.5], np.float32)
    for pair in ((odd, np.zeros(4, np.float32)), (odd, -np.zeros(4, np.float32))):
        assert join_biases("RNN", *pair)["b"].tobytes() == odd.tobytes()


def test_a_cell_whose_step_was_replaced_is_none_of_theirs(tmp_path: Path) -> None:
    cell: Any = rnn.LSTMCell(2, 3, rng=np.random.default_rng(0))
    cell.step_forward = lambda x, state, *, training=True: (x, state, None)
    model = rnn.Sequential(cell)
    with pytest.raises(ValueError, match=r"layers\.0, LSTMCell\(2, 3\): PyTorch has no module like it"):
        interop.to_torch(model)
    with pytest.raises(ValueError, match=r"LSTMCell\(2, 3\): Keras has no layer"):
        interop.to_keras(model, tmp_path / "m.keras")
    pytest.importorskip("onnx", reason="needs the package onnx")
    with pytest.raises(ValueError, match=r"layers\.0, LSTMCell\(2, 3\): ONNX has no operator"):
        interop.to_onnx(model, tmp_path / "m.onnx")
