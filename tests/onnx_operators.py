"""RNN, LSTM and GRU written from the text of ONNX, a step and a row at a time.

The evaluator that comes with ONNX ignores `sequence_lens`, one direction of two, and activations that are given.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

onnx: Any = pytest.importorskip("onnx", reason="needs the package onnx")
reference: Any = importlib.import_module("onnx.reference")
op_run: Any = importlib.import_module("onnx.reference.op_run")


def sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def rnn_step(a: Any, h: Any, c: Any, r: Any, b: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    a = a + r @ h + b
    return (np.maximum(a, 0) if "Relu" in (options.get("activations") or []) else np.tanh(a)), c


def lstm_step(a: Any, h: Any, c: Any, r: Any, b: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    i, o, f, g = np.split(a + r @ h + b, 4)
    p_i, p_o, p_f = np.split(options["p"], 3)
    i = sigmoid(i + p_i * c)
    f = 1 - i if options.get("input_forget") else sigmoid(f + p_f * c)  # as ONNX Runtime reads it
    c = f * c + i * np.tanh(g)
    return sigmoid(o + p_o * c) * np.tanh(c), c


def gru_step(a: Any, h: Any, c: Any, r: Any, b: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    (a_z, a_r, a_n), (r_z, r_r, r_n), (b_z, b_r, b_n) = (np.split(array, 3) for array in (a, r, b))
    z, reset = sigmoid(a_z + r_z @ h + b_z), sigmoid(a_r + r_r @ h + b_r)
    inner = reset * (r_n @ h + b_n) if options.get("linear_before_reset") else r_n @ (reset * h) + b_n
    return (1 - z) * np.tanh(a_n + inner) + z * h, c


STEPS = {"RNN": rnn_step, "LSTM": lstm_step, "GRU": gru_step}


def unroll(
    kind: str, x: Any, w: Any, r: Any, b: Any, lengths: Any, h0: Any, c0: Any, options: dict[str, Any], p: Any = None
) -> Any:
    if options.get("layout"):
        x = x.swapaxes(0, 1)
        h0, c0 = (s if s is None else s.swapaxes(0, 1) for s in (h0, c0))
    (steps, batch, _), directions, hidden = x.shape, len(w), r.shape[-1]
    ys = np.zeros((steps, directions, batch, hidden), x.dtype)
    hs, cs = (np.zeros((directions, batch, hidden), x.dtype) if s is None else s.copy() for s in (h0, c0))
    b = np.zeros((directions, 2 * w.shape[1]), x.dtype) if b is None else b
    p = np.zeros((directions, 3 * hidden), x.dtype) if p is None else p
    for d in range(directions):
        options = options | {"p": p[d]}
        for row in range(batch):
            length = steps if lengths is None else int(lengths[row])
            assert length > 0, "some runtimes refuse it"
            for t in range(length)[:: -1 if d or options.get("direction") == "reverse" else 1]:
                b_x, b_h = np.split(b[d], 2)
                hs[d, row], cs[d, row] = STEPS[kind](w[d] @ x[t, row] + b_x, hs[d, row], cs[d, row], r[d], b_h, options)
                ys[t, d, row] = hs[d, row]
    if options.get("layout"):
        return ys.transpose(2, 0, 1, 3), hs.swapaxes(0, 1), cs.swapaxes(0, 1)
    return ys, hs, cs


class RNN(op_run.OpRun):  # type: ignore[misc]  # a class of the package, which has no types here
    op_domain = ""

    def _run(self, x: Any, w: Any, r: Any, b: Any = None, n: Any = None, h: Any = None, **options: Any) -> Any:
        return unroll("RNN", x, w, r, b, n, h, None, options)[:2]


class GRU(op_run.OpRun):  # type: ignore[misc]
    op_domain = ""

    def _run(self, x: Any, w: Any, r: Any, b: Any = None, n: Any = None, h: Any = None, **options: Any) -> Any:
        return unroll("GRU", x, w, r, b, n, h, None, options)[:2]


class LSTM(op_run.OpRun):  # type: ignore[misc]
    op_domain = ""

    def _run(
        self, x: Any, w: Any, r: Any, b: Any = None, n: Any = None, h: Any = None, c: Any = None, p: Any = None,
        **options: Any,
    ) -> Any:  # fmt: skip
        return unroll("LSTM", x, w, r, b, n, h, c, options, p)


def evaluate(model: Any, feed: dict[str, Any]) -> dict[str, Any]:
    """The outputs of a graph by name."""
    evaluator = reference.ReferenceEvaluator(model, new_ops=[RNN, GRU, LSTM])
    return dict(zip(evaluator.output_names, evaluator.run(None, feed), strict=True))
