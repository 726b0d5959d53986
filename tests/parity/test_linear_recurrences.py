"""The cells that PyTorch has none of, against the equations of their papers, which it differentiates by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Cell, IndRNNCell, LRUCell, MinGRUCell, MinLSTMCell, SLSTMCell, SRUCell

from .conftest import Compare

Step = Callable[[Any, Any, dict[str, Any], Any, tuple[Any, ...]], tuple[Any, tuple[Any, ...]]]
"""PyTorch, our cell, its parameters as tensors, x and the state, to y and the next state."""


def candidate(torch: Any, cell: Any, a: Any) -> Any:
    if cell.candidate == "positive":
        return torch.where(a >= 0, a + 0.5, torch.sigmoid(a))
    return torch.tanh(a) if cell.candidate == "tanh" else a


def min_gru(torch: Any, cell: Any, p: Any, x: Any, state: Any) -> Any:
    z, n = (x @ p["w_x"] + p["b"]).chunk(2, -1)
    z = torch.sigmoid(z)
    h = (1 - z) * state[0] + z * candidate(torch, cell, n)
    return h, (h,)


def min_lstm(torch: Any, cell: Any, p: Any, x: Any, state: Any) -> Any:
    f, i, n = (x @ p["w_x"] + p["b"]).chunk(3, -1)
    f, i = torch.sigmoid(f), torch.sigmoid(i)
    h = f / (f + i) * state[0] + i / (f + i) * candidate(torch, cell, n)
    return h, (h,)


def lru(torch: Any, cell: Any, p: Any, x: Any, state: Any) -> Any:
    N = cell.units
    factors = torch.exp(torch.complex(-torch.exp(p["nu"]), torch.exp(p["theta"])))
    b = torch.complex(p["w_x"][:, :N], p["w_x"][:, N : 2 * N])
    c = torch.complex(p["w_y"][:N], p["w_y"][N:])
    h = factors * torch.complex(*state) + torch.exp(p["gamma"]) * (x.to(b.dtype) @ b)
    return (h @ c).real + x @ p["w_x"][:, 2 * N :], (h.real, h.imag)


def ind_rnn(torch: Any, cell: Any, p: Any, x: Any, state: Any) -> Any:
    a = x @ p["w_x"] + p["u"] * state[0] + p["b"]
    h = torch.tanh(a) if cell.nonlinearity == "tanh" else torch.relu(a)
    return h, (h,)


def sru(torch: Any, cell: Any, p: Any, x: Any, state: Any) -> Any:
    (c,), (v_f, v_r) = state, p["v"].chunk(2)
    f, r, u, around = (x @ p["w_x"] + p["b"]).chunk(4, -1)
    f, r = torch.sigmoid(f + v_f * c), torch.sigmoid(r + v_r * c)
    c = (c - u) * f + u
    return (torch.tanh(c) - around) * r + around, (c,)


def slstm(torch: Any, cell: Any, p: Any, x: Any, state: Any) -> Any:
    """With the three arrays of the paper, of which our c and m are the quotient and the logarithm.

    The third begins at 0 here: it cancels, whatever it is.
    """
    h, c, log_n = state
    i, f, o, z = (x @ p["w_x"] + h @ p["w_h"] + p["b"]).chunk(4, -1)
    log_f = torch.nn.functional.logsigmoid(f)
    most = torch.maximum(log_f, i)
    i, f = torch.exp(i - most), torch.exp(log_f - most)
    n = f * torch.exp(log_n) + i
    memory = f * torch.exp(log_n) * c + i * torch.tanh(z)
    h = torch.sigmoid(o) * memory / n
    return h, (h, memory / n, torch.log(n) + most)


CASES: dict[str, tuple[Callable[[int, int, np.random.Generator], Cell], Step]] = {
    "MinGRUCell": (lambda D, H, rng: MinGRUCell(D, H, rng=rng), min_gru),
    "MinGRUCell tanh": (lambda D, H, rng: MinGRUCell(D, H, rng=rng, candidate="tanh"), min_gru),
    "MinGRUCell positive": (lambda D, H, rng: MinGRUCell(D, H, rng=rng, candidate="positive"), min_gru),
    "MinLSTMCell": (lambda D, H, rng: MinLSTMCell(D, H, rng=rng), min_lstm),
    "MinLSTMCell positive": (lambda D, H, rng: MinLSTMCell(D, H, rng=rng, candidate="positive"), min_lstm),
    "LRUCell": (lambda D, H, rng: LRUCell(D, H, units=H + 2, rng=rng), lru),
    "IndRNNCell": (lambda D, H, rng: IndRNNCell(D, H, rng=rng), ind_rnn),
    "IndRNNCell tanh": (lambda D, H, rng: IndRNNCell(D, H, rng=rng, nonlinearity="tanh"), ind_rnn),
    "SRUCell": (lambda D, H, rng: SRUCell(D, H, rng=rng), sru),
    "SLSTMCell": (lambda D, H, rng: SLSTMCell(D, H, rng=rng), slstm),
}


@pytest.mark.parametrize("given", [False, True], ids=["from the start", "from a state"])
@pytest.mark.parametrize("name", CASES)
def test_sequence(torch: Any, compare: Compare, name: str, given: bool) -> None:
    make, step = CASES[name]
    for seed in range(8):
        rng = np.random.default_rng([seed, given])
        T, B, D, H = (int(rng.integers(1, most + 1)) for most in (25, 8, 10, 12))
        cell = make(D, H, rng).to(dtype="float64")
        for key, parameter in cell.named_parameters():
            if key not in ("nu", "theta", "gamma"):
                parameter.value = rng.standard_normal(parameter.shape) / math.sqrt(H)
        xs, dys = rng.standard_normal((T, B, D)), rng.standard_normal((T, B, H))
        start = cell.initial_state(B)
        state, dstate = (tuple(rng.standard_normal(array.shape) for array in start) for _ in range(2))
        ys, after, cache = cell.forward(xs, state if given else None)
        dxs, dbefore = cell.backward(dys, dstate, cache)

        def leaf(array: Any) -> Any:
            return torch.tensor(array, requires_grad=True)

        parameters = {key: leaf(p.value) for key, p in cell.named_parameters()}
        inputs, begin = leaf(xs), tuple(map(leaf, state if given else (array.astype(float) for array in start)))
        now, outputs = begin, []
        for x in inputs:
            y, now = step(torch, cell, parameters, x, now)
            outputs.append(y)
        theirs = torch.stack(outputs)
        torch.autograd.backward([theirs, *now], [torch.tensor(array) for array in (dys, *dstate)])

        names = [leaf.name for leaf in cell.state_spec]
        line = f"`{name}`"
        compare(f"{line}: outputs, final states", {"ys": ys, **dict(zip(names, after, strict=True))},
                {"ys": theirs, **dict(zip(names, now, strict=True))})  # fmt: skip
        found, right = {"xs": dxs}, {"xs": inputs.grad}
        if given:
            found |= dict(zip(names, dbefore, strict=True))
            right |= {key: array.grad for key, array in zip(names, begin, strict=True)}
        compare(f"{line}: gradients of inputs, initial states", found, right)
        compare(
            f"{line}: gradients of parameters",
            {key: p.grad for key, p in cell.named_parameters()},
            {key: p.grad for key, p in parameters.items()},
        )
