"""Models of Keras 3 with random options are read and equal, or refused; and what is written, Keras loads."""

from __future__ import annotations

import importlib
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.interop import from_keras, to_keras


@pytest.fixture(scope="module")
def keras(torch: Any) -> Any:
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs Keras: run `nox -s interop`")
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("keras")


def random_model(keras: Any, seed: int) -> tuple[Any, bool, str]:
    """A model, whether it takes ids, and why it must be refused, where it must."""
    rng, L, why = np.random.default_rng(seed), keras.layers, ""
    size, both, last = int(rng.integers(2, 6)), bool(rng.integers(2)), rng.random() < 0.4
    ids, depth = bool(rng.integers(2)), int(rng.integers(1, 4))
    layers = [L.Input((None,), dtype="int32"), L.Embedding(9, size)] if ids else [L.Input((None, size))]
    if ids and rng.random() < 0.15:
        layers[1], why = L.Embedding(9, size, mask_zero=True), "it masks"
    for k in range(depth):
        kind, sequences, odd = (
            str(rng.choice(["LSTM", "GRU", "SimpleRNN"])),
            not (last and k == depth - 1),
            rng.random(),
        )
        options: dict[str, Any] = {"return_sequences": sequences, "use_bias": bool(rng.random() < 0.8)}
        if kind == "GRU":
            options["reset_after"] = bool(rng.integers(2))
        if kind == "SimpleRNN" and rng.random() < 0.5:
            options["activation"] = "relu"
        for name, value, text in (
            ("recurrent_activation", "hard_sigmoid", "recurrent_activation"),
            ("activation", "elu", "its activation"),
            ("go_backwards", True, "go_backwards"),
        ):
            odd -= 0.04
            possible = kind != "SimpleRNN" if name == "recurrent_activation" else not (name == "go_backwards" and both)
            if -0.04 < odd < 0 and possible:
                options[name], why = value, why or text
        cell = getattr(L, kind)(int(rng.integers(1, 6)), **options)
        merge = str(rng.choice(["concat", "sum", "mul", "ave"])) if sequences else "concat"
        layers.append(L.Bidirectional(cell, merge_mode=merge) if both else cell)
    if rng.random() < 0.4:
        layers.append(L.LayerNormalization(epsilon=1e-2, center=bool(rng.integers(2))))
    if not last and rng.random() < 0.4:
        pools = [L.GlobalAveragePooling1D(), L.GlobalMaxPooling1D(), L.TimeDistributed(L.Dense(3))]
        layers.append(pools[rng.integers(3)])
    layers.append(L.Dropout(0.3))
    if rng.random() < 0.7:
        layers.append(L.Dense(3, activation=str(rng.choice(["linear", "tanh", "softmax", "relu", "sigmoid"]))))
    if rng.random() < 0.05:
        layers.append(L.UnitNormalization())
        why = why or "UnitNormalization"
    model = keras.Sequential(layers)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(rng.uniform(-0.7, 0.7, weight.shape))
    return model, ids, why


@pytest.mark.filterwarnings("ignore")  # what Keras does is its own
def test_random_models_are_read_and_equal_or_refused(keras: Any, tmp_path: Path) -> None:
    worst, counts = 0.0, {"read": 0, "refused": 0}
    for seed in range(40):
        model, ids, why = random_model(keras, seed)
        model.save(tmp_path / "m.keras")
        if why:
            counts["refused"] += 1
            with pytest.raises(ValueError, match=why):
                from_keras(tmp_path / "m.keras")
            continue
        counts["read"] += 1
        rng = np.random.default_rng(seed)
        x = rng.integers(9, size=(3, 5)) if ids else rng.normal(size=(3, 5, model.input_shape[-1])).astype("float32")
        expected = model(x).detach().numpy()
        ours = from_keras(tmp_path / "m.keras")
        y = ours(x.swapaxes(0, 1).copy())[0]
        worst = max(worst, float(abs((y if y.ndim == 2 else y.swapaxes(0, 1)) - expected).max()))
        to_keras(ours, tmp_path / "back.keras")
        back = keras.models.load_model(tmp_path / "back.keras", compile=False)
        worst = max(worst, float(abs(back(x).detach().numpy() - expected).max()))
    print(f"Keras: {counts}, worst difference {worst:.1e}")
    assert worst <= 1e-6
    assert min(counts.values()) >= 5
