"""Layers that know no time against the functions of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_rnn import Embedding, Feedforward, LayerNorm, Linear, ReLU, Sigmoid, Softmax, Tanh

from .conftest import Compare


class Peer(NamedTuple):
    """A layer, and what PyTorch computes of `torch`, the input, and our parameters by name."""

    make: Callable[[np.random.Generator], Feedforward]
    theirs: Callable[..., Any]


LAYERS = {
    "Embedding": Peer(
        lambda rng: Embedding(7, 4, rng=rng), lambda torch, x, w: torch.nn.functional.embedding(x.long(), w)
    ),
    "Linear": Peer(lambda rng: Linear(5, 4, rng=rng), lambda torch, x, w, b: torch.nn.functional.linear(x, w.T, b)),
    "LayerNorm": Peer(
        lambda rng: LayerNorm(5, eps=0.01),
        lambda torch, x, g, b: torch.nn.functional.layer_norm(x, (5,), g, b, 0.01),
    ),
    "Tanh": Peer(lambda rng: Tanh(), lambda torch, x: torch.tanh(x)),
    "Sigmoid": Peer(lambda rng: Sigmoid(), lambda torch, x: torch.sigmoid(x)),
    "ReLU": Peer(lambda rng: ReLU(), lambda torch, x: torch.relu(x)),
    "Softmax": Peer(lambda rng: Softmax(), lambda torch, x: torch.softmax(x, -1)),
}
"""A new layer is one line here. Each is given features of size 5, or ids below 7."""


@pytest.mark.parametrize("lead", [(), (6,), (9, 4)], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(torch: Any, compare: Compare, name: str, lead: tuple[int, ...]) -> None:
    for seed in range(8):
        rng = np.random.default_rng([seed, *lead])
        layer = LAYERS[name].make(rng).to(dtype="float64")
        for parameter in layer.parameters():
            parameter.value = rng.standard_normal(parameter.shape)
        x = rng.integers(0, 7, lead) if layer.takes_ids else 3 * rng.standard_normal((*lead, 5))
        if not layer.takes_ids:
            x[..., 0] = 0  # where the ReLU has its kink; both say that it has no slope there
        y, cache = layer.forward(x)
        dy = rng.standard_normal(y.shape)
        dx = layer.backward(dy, cache)

        given = torch.tensor(x, requires_grad=not layer.takes_ids)
        parameters = {key: torch.tensor(p.value, requires_grad=True) for key, p in layer.named_parameters()}
        result = LAYERS[name].theirs(torch, given, **parameters)
        result.backward(torch.tensor(dy))
        compare(f"`{name}`: outputs", {"y": y}, {"y": result})
        ours = {key: p.grad for key, p in layer.named_parameters()} | ({} if dx is None else {"x": dx})
        theirs = {key: p.grad for key, p in parameters.items()} | ({} if dx is None else {"x": given.grad})
        compare(f"`{name}`: gradients", ours, theirs)
