"""Writes torch.safetensors and torch.json: small models made by PyTorch 2.13.0, with an input and their output."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from tinygrad_rnn.interop import from_torch

torch: Any = importlib.import_module("torch")  # which has no place among what the tests need
FOLDER = Path(__file__).parent
CASES: dict[str, Any] = {
    "rnn": (lambda n: n.RNN(2, 3, nonlinearity="relu", bidirectional=True), {"nonlinearity": "relu"}),
    "lstm": (lambda n: n.LSTM(2, 3, num_layers=2, bidirectional=True), {}),
    "lstm_without_bias": (lambda n: n.LSTM(2, 3, num_layers=2, bias=False), {}),
    "gru": (lambda n: n.GRU(2, 3, num_layers=2), {}),
    "gru_cell": (lambda n: n.GRUCell(2, 3), {}),
    "lstm_cell": (lambda n: n.LSTMCell(2, 3), {}),
    "rnn_cell": (lambda n: n.RNNCell(2, 3), {"nonlinearity": "tanh"}),
    "linear": (lambda n: n.Linear(2, 3), {}),
    "layer_norm": (lambda n: n.LayerNorm(2, eps=0.01), {"eps": 0.01}),
}


def main(folder: Path = FOLDER) -> None:
    torch.manual_seed(0)
    tensors: dict[str, Any] = {}
    cases = []
    for name, (make, arguments) in CASES.items():
        for dtype in (torch.float32, torch.float64):
            module = make(torch.nn).to(dtype)
            xs = torch.randn(4, 2, 2, dtype=dtype)
            state, steps = None, []
            for x in xs if name.endswith("_cell") else ():
                state = module(x, state)
                steps.append(state[0] if isinstance(state, tuple) else state)
            out = torch.stack(steps) if steps else module(xs)
            ys = out[0] if isinstance(out, tuple) else out
            full = f"{name}_{str(dtype)[-2:]}"
            tensors |= {f"{full}/{key}": value for key, value in module.state_dict().items()}
            tensors |= {f"{full}/xs": xs, f"{full}/ys": ys.detach().contiguous()}
            read = from_torch(module.state_dict(), **arguments)
            cases.append({"name": full, "arguments": arguments, "repr": repr(read)})
    importlib.import_module("safetensors.torch").save_file(tensors, folder / "torch.safetensors")
    (folder / "torch.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
