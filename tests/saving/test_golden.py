"""The file of format 1 that `golden/make_format_1.py` wrote once loads in every later version, to the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinygrad_rnn import Adagrad, CharTokenizer, load

PATH = Path(__file__).parent / "golden" / "format_1.safetensors"

LOGITS = [
    [[-0.30797988176345825, 0.30952727794647217, 0.0697258785367012, 0.19347718358039856, 0.3109690845012665]],
    [[0.21508243680000305, -0.2395460307598114, 0.8306421041488647, 0.09716178476810455, 0.94515460729599]],
]


def test_the_golden_model_computes_what_it_did() -> None:
    saved = load(PATH)
    assert repr(saved.model) == "Sequential(OneHot(5), RNNCell(5, 4), Linear(4, 5))"
    assert saved.tokenizer == CharTokenizer("abß😀", special=("<end>",), unknown="<end>")
    assert saved.metadata == {"made": "2026"}
    np.testing.assert_allclose(saved.model(np.array([[1], [2]]))[0], LOGITS, rtol=1e-6)


def test_the_golden_training_goes_on() -> None:
    training = load(PATH)
    optimizer = Adagrad(training.model, lr=0.1)
    optimizer.restore(training.optimizer)
    assert optimizer.steps == 1
    assert optimizer.sum.any()
    assert training.state[1][0].shape == (2, 4)
