"""Models of PyTorch with random options, read from its own state_dict, compute what it computes; and the way back."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.interop import from_onnx, from_torch, to_torch

KINDS = ("RNN", "LSTM", "GRU")


def random_model(torch: Any, seed: int) -> tuple[Any, dict[str, Any], int | None]:
    """A chain of modules, what `from_torch` must be told, and the vocabulary where it takes ids."""
    nn, rng = torch.nn, np.random.default_rng(seed)
    torch.manual_seed(seed)
    width, vocabulary = int(rng.integers(2, 8)), None
    modules: dict[str, Any] = {}
    told: dict[str, Any] = {"eps": 1e-5}
    if rng.random() < 0.5:
        vocabulary = int(rng.integers(9, 30))  # above every width, so that its sizes tell it from a Linear
        modules["embedding"] = nn.Embedding(vocabulary, width)
    kind, hidden, both = str(rng.choice(KINDS)), int(rng.integers(1, 9)), bool(rng.integers(2))
    options: dict[str, Any] = {
        "bias": bool(rng.integers(2)),
        "num_layers": int(rng.integers(1, 4)),
        "bidirectional": both,
    }
    if kind == "RNN":
        options["nonlinearity"] = told["nonlinearity"] = str(rng.choice(["tanh", "relu"]))
    modules["rnn"] = getattr(nn, kind)(width, hidden, **options)
    width = hidden * (1 + both)
    if rng.random() < 0.5:
        modules["norm"] = nn.LayerNorm(width)
    if rng.random() < 0.7:
        modules["head"] = nn.Linear(width, 5, bias=bool(rng.integers(2)))
    told["embeddings"] = ["embedding"] if vocabulary else []
    return nn.ModuleDict(modules), told, vocabulary


def run(modules: Any, xs: Any) -> Any:
    for name, module in modules.items():
        xs = module(xs)[0] if name == "rnn" else module(xs)
    return xs.detach().numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_models_are_read_and_equal(torch: Any, dtype: str) -> None:
    worst = 0.0
    for seed in range(40):
        modules, told, vocabulary = random_model(torch, seed)
        modules = modules.to(getattr(torch, dtype))
        for p in modules.parameters():
            torch.nn.init.uniform_(p, -0.7, 0.7)
        rng = np.random.default_rng(seed)
        xs = rng.normal(size=(9, 3, modules["rnn"].input_size)).astype(dtype)
        if vocabulary:
            xs = rng.integers(vocabulary, size=(9, 3))
        expected = run(modules, torch.from_numpy(xs))
        model = from_torch(modules.state_dict(), **told)
        worst = max(worst, float(abs(model(xs)[0] - expected).max()))

        arrays = to_torch(model, names=list(modules))
        again = {name: torch.from_numpy(array) for name, array in arrays.items()}
        lacking = modules.load_state_dict(again, strict=False)
        assert not lacking.missing_keys
        assert set(lacking.unexpected_keys) <= {"head.bias"}  # of a Linear without one, it is zeros
        assert not any(arrays[name].any() for name in lacking.unexpected_keys)
        worst = max(worst, float(abs(run(modules, torch.from_numpy(xs)) - expected).max()))
    print(f"{dtype}: worst difference {worst:.1e}")
    assert worst <= (1e-6 if dtype == "float32" else 1e-12)


def test_what_has_no_counterpart_is_refused(torch: Any) -> None:
    nn = torch.nn
    for module, text in (
        (nn.LSTM(3, 4, proj_size=2), "proj_size"),
        (nn.Conv1d(3, 4, 5), "no module that has a counterpart"),
        (nn.BatchNorm1d(3), "num_batches_tracked is int64; no layer here has integers"),
        (nn.BatchNorm1d(3, track_running_stats=False), "or BatchNorm; give the eps"),
        (nn.GroupNorm(2, 4), "GroupNorm.*; give the eps"),
        (nn.InstanceNorm1d(4, affine=True), "InstanceNorm.*; give the eps"),
        (nn.RMSNorm(4), "RMSNorm"),
        (nn.PReLU(4), "PReLU"),
        (nn.LayerNorm((3, 4)), "bias is"),
        (nn.MultiheadAttention(4, 2), "no module that has a counterpart"),
        (nn.Bilinear(2, 3, 4), "no module that has a counterpart"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), "no module that has a counterpart"),
        (nn.RNN(3, 4), "nonlinearity"),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), "which activation"),
        (nn.LSTM(3, 4).half(), "float16"),
        (nn.LSTM(3, 4).bfloat16(), "BFloat16"),
    ):
        with pytest.raises((ValueError, TypeError), match=text):
            from_torch(module.state_dict())


def test_what_pytorch_exports_to_onnx_is_read(torch: Any, tmp_path: Any) -> None:
    """By its exporter of old: the new one leaves `linear_before_reset` out, so that every GRU is another one."""
    pytest.importorskip("onnx", reason="needs the package onnx")
    path, worst = tmp_path / "m.onnx", 0.0
    for seed in range(20):
        modules, _, vocabulary = random_model(torch, seed)
        for p in modules.eval().parameters():
            torch.nn.init.uniform_(p, -0.7, 0.7)
        rng = np.random.default_rng(seed)
        first = bool(rng.integers(2))
        modules["rnn"].batch_first = first
        xs = rng.normal(size=(4, 3, modules["rnn"].input_size)).astype("float32")
        xs = rng.integers(vocabulary, size=(4, 3)) if vocabulary else xs
        chain = chained(torch, modules)
        options = {"dynamic_axes": {"x": {0: "a", 1: "b"}}, "opset_version": 17, "dynamo": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(chain, (torch.from_numpy(xs),), path, input_names=["x"], **options)
        model = from_onnx(path)
        ys = model(xs.swapaxes(0, 1).copy() if first else xs)[0]
        worst = max(worst, float(abs((ys.swapaxes(0, 1) if first else ys) - run(modules, torch.from_numpy(xs))).max()))
    print(f"ONNX: worst difference {worst:.1e}")
    assert worst <= 1e-6


def chained(torch: Any, modules: Any) -> Any:
    """The modules one after the other, as one."""

    class Module(torch.nn.Module):  # type: ignore[misc]  # without PyTorch, it has no type
        def __init__(self) -> None:
            super().__init__()
            self.inner = modules

        def forward(self, xs: Any) -> Any:
            for name, module in self.inner.items():
                xs = module(xs)[0] if name == "rnn" else module(xs)
            return xs

    return Module()
