"""Writes keras_*.keras and keras.json: models made by Keras 3.15.1 on PyTorch 2.13.0, with an input and their output.

Their zip is packed, which Keras does not do, for the sake of the size.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

os.environ["KERAS_BACKEND"] = "torch"
keras: Any = importlib.import_module("keras")  # which has no place among what the tests need
FOLDER = Path(__file__).parent


def models() -> dict[str, Any]:
    L = keras.layers
    text = [L.Input((None,), dtype="int32"), L.Embedding(6, 3)]
    series = [L.Input((None, 2))]
    functional = L.Input((None, 2))
    hidden = L.Dropout(0.2)(L.LSTM(3, return_sequences=True, use_bias=False)(functional))
    return {
        "text": [*text, L.LSTM(3, return_sequences=True), L.LayerNormalization(), L.Dense(6, activation="softmax")],
        "both": [
            *series,
            L.Bidirectional(L.GRU(2, return_sequences=True), merge_mode="ave"),
            L.GRU(3, reset_after=False),
        ],
        "relu": [*series, L.Bidirectional(L.SimpleRNN(3, activation="relu")), L.Dense(2)],
        "chain": keras.Model(functional, L.TimeDistributed(L.Dense(2, use_bias=False))(hidden)),
    }


def main(folder: Path = FOLDER) -> None:
    rng = np.random.default_rng(0)
    cases: dict[str, Any] = {}
    for name, layers in models().items():
        model = keras.Sequential(layers) if isinstance(layers, list) else layers
        for weight in model.weights:
            if "seed" not in weight.path:
                weight.assign(rng.uniform(-0.7, 0.7, weight.shape))
        x = rng.integers(6, size=(2, 4)) if name == "text" else rng.normal(size=(2, 4, 2)).astype("float32")
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "m.keras"
            model.save(path)
            with (
                zipfile.ZipFile(path) as whole,
                zipfile.ZipFile(folder / f"keras_{name}.keras", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed,
            ):
                for info in whole.infolist():
                    packed.writestr(info.filename, whole.read(info))
        cases[name] = {"x": x.tolist(), "y": np.asarray(model(x).detach()).tolist()}
    (folder / "keras.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
