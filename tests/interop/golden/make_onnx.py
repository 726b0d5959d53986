"""Writes onnx_*.onnx and onnx.json: models of PyTorch 2.13.0, with an input and what ONNX Runtime 1.32.0 gives.

By its exporter of old: the new one leaves `linear_before_reset` out, so that every GRU is another one.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from tinygrad_rnn.interop import from_onnx

torch: Any = importlib.import_module("torch")  # which has no place among what the tests need, nor has the next
onnxruntime: Any = importlib.import_module("onnxruntime")
FOLDER = Path(__file__).parent
nn = torch.nn


class Model(torch.nn.Module):  # type: ignore[misc]  # without PyTorch, it has no type
    def __init__(self, recurrent: Any, *after: Any) -> None:
        super().__init__()
        self.recurrent, self.after = recurrent, nn.Sequential(*after)

    def forward(self, xs: Any) -> Any:
        return self.after(self.recurrent(xs)[0])


CASES: dict[str, Any] = {
    "lstm": lambda: Model(nn.LSTM(2, 2, bidirectional=True), nn.Linear(4, 2)),
    "gru": lambda: Model(nn.GRU(2, 3, batch_first=True), nn.Linear(3, 2, bias=False), nn.Softmax(-1)),
}


def main(folder: Path = FOLDER) -> None:
    torch.manual_seed(0)
    cases: dict[str, Any] = {}
    for name, make in CASES.items():
        path, model, xs = folder / f"onnx_{name}.onnx", make().eval(), torch.randn(4, 3, 2)
        options = {"dynamic_axes": {"x": {0: "a", 1: "b"}}, "opset_version": 17, "dynamo": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model, (xs,), path, input_names=["x"], **options)
        (ys,) = onnxruntime.InferenceSession(path).run(None, {"x": xs.numpy()})
        cases[name] = {"x": xs.tolist(), "y": ys.tolist(), "repr": repr(from_onnx(path)), "batch_first": name == "gru"}
    (folder / "onnx.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
