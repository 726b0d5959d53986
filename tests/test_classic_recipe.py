"""The recipe that character RNNs began with, step by step against a straight-line version that shares no code.

One-hot, tanh, linear, summed loss, Adagrad at 0.1, each entry clipped at 5, 25 steps, one stream, state carried.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn import (
    Adagrad,
    CharTokenizer,
    ClipValue,
    Linear,
    OneHot,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
    TokenStream,
)

TEXT = "She sells sea shells by the sea shore; the shells she sells are sea shells, I am sure. " * 60
STEPS, UNITS, RATE, LIMIT, EPS = 25, 32, 0.1, 5.0, 1e-8


def reference(w: dict[str, Any], sums: dict[str, Any], h0: Any, inputs: Any, targets: Any) -> tuple[Any, ...]:
    """One update, with column vectors: the loss, the gradients before clipping, and the last state."""
    hs, ps, loss = {-1: h0}, {}, 0.0
    V = w["Why"].shape[0]
    for t, (character, target) in enumerate(zip(inputs, targets, strict=True)):
        hs[t] = np.tanh(w["Wxh"][:, [character]] + w["Whh"] @ hs[t - 1] + w["bh"])
        scores = np.exp(w["Why"] @ hs[t] + w["by"])
        ps[t] = scores / scores.sum()
        loss -= np.log(ps[t][target, 0])
    grads = {name: np.zeros_like(array) for name, array in w.items()}
    later = np.zeros_like(h0)
    for t in range(len(inputs) - 1, -1, -1):
        error = ps[t] - np.eye(V)[:, [targets[t]]]
        grads["Why"] += error @ hs[t].T
        grads["by"] += error
        inner = (w["Why"].T @ error + later) * (1 - hs[t] ** 2)
        grads["bh"] += inner
        grads["Wxh"] += inner @ np.eye(V)[[inputs[t]]]
        grads["Whh"] += inner @ hs[t - 1].T
        later = w["Whh"].T @ inner
    for name, grad in grads.items():
        clipped = np.clip(grad, -LIMIT, LIMIT)
        sums[name] += clipped**2
        w[name] -= RATE * clipped / (np.sqrt(sums[name]) + EPS)
    return loss, grads, hs[len(inputs) - 1]


def test_two_hundred_steps_of_the_classic_recipe() -> None:
    """The trajectory is chaotic, so each step starts from the reference's weights, sums and state."""
    rng = np.random.default_rng(0)
    tokenizer = CharTokenizer.from_text(TEXT)
    V = len(tokenizer)
    model = Sequential(OneHot(V), RNNCell(V, UNITS, rng=rng), Linear(UNITS, V, rng=rng)).to(dtype="float64")
    criterion = SoftmaxCrossEntropy(reduction="sum")
    optimizer = Adagrad(model, lr=RATE, clip=ClipValue(LIMIT))
    parameters = dict(zip(("Wxh", "Whh", "bh", "Why", "by"), model.parameters(), strict=True))
    accumulated = {name: np.zeros(p.shape) for name, p in parameters.items()}

    def columns(name: str, array: Any) -> Any:
        """The reference's layout of our array, and back."""
        return array.T if array.ndim == 2 and not name.startswith("b") else array.reshape(-1, 1)

    w = {name: 0.01 * rng.standard_normal(columns(name, p.value).shape) for name, p in parameters.items()}
    sums = {name: np.zeros_like(array) for name, array in w.items()}
    h = np.zeros((UNITS, 1))
    chunks = list(TokenStream(tokenizer.encode(TEXT), batch=1, steps=STEPS))[:200]
    assert len(chunks) == 200

    for step, (xs, targets, *_) in enumerate(chunks):
        for name, parameter in parameters.items():
            parameter.value = columns(name, w[name]).reshape(parameter.shape)
            accumulated[name] = columns(name, sums[name]).reshape(parameter.shape)
        plant(optimizer, model, accumulated, parameters)
        state = ((), (h.T.copy(),), ())

        logits, state, cache = model.forward(xs, state)
        loss, loss_cache = criterion.forward(logits, targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        ours = {name: columns(name, p.grad).copy() for name, p in parameters.items()}
        optimizer.step()

        expected, grads, h = reference(w, sums, h, xs[:, 0], targets[:, 0])
        assert abs(float(loss) - expected) <= 1e-12 * expected, f"loss at step {step}"
        for name, grad in grads.items():
            error = abs(ours[name] - grad).max() / abs(grad).max()
            assert error <= 1e-10, f"gradient of {name} at step {step}: {error}"
            moved = abs(columns(name, parameters[name].value) - w[name]).max()
            assert moved <= 1e-10, f"{name} after the update of step {step}: {moved}"
        assert abs(state[1][0].T - h).max() <= 1e-12, f"state after step {step}"
    assert expected < 10 < 25 * np.log(V)  # it has learnt


def plant(optimizer: Adagrad, model: Sequential, sums: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Write the reference's sums of squares where the optimizer keeps its own."""
    kept = model.flat_value.copy()
    for name, parameter in parameters.items():
        parameter.value = sums[name]
    optimizer.sum[...] = model.flat_value
    model.flat_value[...] = kept
