"""Attention against PyTorch: its function for the dot product, its gradients of the formulas for the other scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_rnn import AdditiveAttention, Attention, DotAttention, GeneralAttention

from .conftest import Compare


class Peer(NamedTuple):
    """An attention, and the context and the weights that PyTorch makes of `torch`, queries, memory and parameters.

    Its arrays have the batch first: queries (B, T, Q), memory (B, S, M). `there` (B, 1, S) says what is no padding.
    """

    make: Callable[[int, int, np.random.Generator], Attention]
    theirs: Callable[..., tuple[Any, Any]]
    least: int = 1
    """The shortest row of a memory. PyTorch's softmax of nothing is NaN."""


def dot(torch: Any, q: Any, m: Any, there: Any) -> tuple[Any, Any]:
    """The weights are the mean of the rows of the identity."""
    attend = torch.nn.functional.scaled_dot_product_attention
    identity = torch.eye(m.shape[1], dtype=q.dtype).expand(len(m), -1, -1)
    return attend(q, m, m, there, scale=1.0), attend(q, m, identity, there, scale=1.0)


def general(torch: Any, q: Any, m: Any, there: Any, w: Any) -> tuple[Any, Any]:
    return of_scores(torch, torch.einsum("btq,qm,bsm->bts", q, w, m), m, there)


def additive(torch: Any, q: Any, m: Any, there: Any, w_query: Any, w_memory: Any, b: Any, v: Any) -> tuple[Any, Any]:
    sums = (q @ w_query)[:, :, None] + (m @ w_memory)[:, None] + b
    return of_scores(torch, torch.tanh(sums) @ v, m, there)


def of_scores(torch: Any, scores: Any, m: Any, there: Any) -> tuple[Any, Any]:
    weights = torch.softmax(scores.masked_fill(~there, float("-inf")), -1)
    return weights @ m, weights


ATTENTIONS = {
    "DotAttention": Peer(lambda Q, M, rng: DotAttention(), dot, least=0),
    "GeneralAttention": Peer(lambda Q, M, rng: GeneralAttention(Q, M, rng=rng), general),
    "AdditiveAttention": Peer(lambda Q, M, rng: AdditiveAttention(Q, M, 7, rng=rng), additive),
}
"""A new attention is one line here."""


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention(torch: Any, compare: Compare, name: str, padded: bool) -> None:
    for seed in range(8):
        rng = np.random.default_rng([seed, padded])
        T, B, S, Q, M = (int(rng.integers(1, most + 1)) for most in (12, 6, 15, 10, 10))
        Q = M if name == "DotAttention" else Q
        attention = ATTENTIONS[name].make(Q, M, rng).to(dtype="float64")
        for parameter in attention.parameters():
            parameter.value = rng.standard_normal(parameter.shape)
        queries, memory = rng.standard_normal((T, B, Q)), rng.standard_normal((S, B, M))
        lengths = rng.integers(ATTENTIONS[name].least, S + 1, B) if padded else None
        context, weights, cache = attention.forward(queries, memory, lengths=lengths)
        dcontext, dweights = rng.standard_normal(context.shape), rng.standard_normal(weights.shape)
        dqueries, dmemory = attention.backward(dcontext, dweights, cache)

        def leaf(array: Any) -> Any:
            return torch.tensor(array, requires_grad=True)

        q, m = leaf(queries), leaf(memory)
        there = torch.tensor(np.arange(S) < (np.full(B, S) if lengths is None else lengths)[:, None])[:, None]
        parameters = {key: leaf(p.value) for key, p in attention.named_parameters()}
        batch_first = ATTENTIONS[name].theirs(torch, q.transpose(0, 1), m.transpose(0, 1), there, **parameters)
        outputs = [output.transpose(0, 1) for output in batch_first]
        torch.autograd.backward(outputs, [torch.tensor(array) for array in (dcontext, dweights)])
        compare(
            f"`{name}`: outputs",
            {"context": context, "weights": weights},
            dict(zip(("context", "weights"), outputs, strict=True)),
        )
        compare(
            f"`{name}`: gradients",
            {"queries": dqueries, "memory": dmemory, **{key: p.grad for key, p in attention.named_parameters()}},
            {"queries": q.grad, "memory": m.grad, **{key: p.grad for key, p in parameters.items()}},
        )
