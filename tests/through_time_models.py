"""What the tests of `through_time` share: small models and batches, and the gradients that a method gives."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn import (
    Batch,
    Cell,
    Embedding,
    Leaf,
    Linear,
    Loss,
    LSTMCell,
    Parameter,
    RNNCell,
    Sequential,
    SoftmaxCrossEntropy,
)

T, B, V = 7, 3, 5


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class ElementwiseCache(NamedTuple):
    x: Any
    before: Any
    h: Any


class ElementwiseCell(Cell):
    """`h = tanh(x w + u * h + b)`: no unit influences another."""

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size,)
        self.w = Parameter(rng.standard_normal((in_size, out_size)))
        self.u = Parameter(rng.standard_normal(out_size))
        self.b = Parameter(rng.standard_normal(out_size))

    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        h = np.tanh(x @ self.w.value + self.u.value * state[0] + self.b.value)
        return h, (h,), ElementwiseCache(x, state[0], h)

    def step_backward(self, dy: Any, dstate: Any, cache: Any) -> Any:
        da = (dy + dstate[0]) * (1 - cache.h**2)
        self.w.grad += cache.x.T @ da
        self.u.grad += (cache.before * da).sum(axis=0)
        self.b.grad += da.sum(axis=0)
        return da @ self.w.value.T, (da * self.u.value,)


class LearntLSTM(LSTMCell):
    """Its first state learns: h in one parameter, c in another."""

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        super().__init__(in_size, out_size, rng=rng)
        self.c0, self.h0 = (Parameter(rng.standard_normal(out_size).astype("f4")) for _ in range(2))

    @property
    def state_spec(self) -> Any:
        return Leaf("h", (self.out_size,), initial=self.h0), Leaf("c", (self.out_size,), initial=self.c0)


class Given(Loss):
    """A loss whose gradient w.r.t. the outputs is given."""

    def __init__(self, dys: Any) -> None:
        self.dys = dys

    def forward(self, ys: Any, targets: Any, *, lengths: Any = None, weights: Any = None) -> Any:
        return np.asarray((self.dys * ys).sum()), None

    def backward(self, cache: Any, dloss: Any = None) -> Any:
        return self.dys


def randomized(model: Any, scale: float = 0.7) -> Any:
    """In float64, all parameters random."""
    model.to(dtype="float64")
    for i, parameter in enumerate(model.parameters()):
        parameter.value = scale * rng(i).standard_normal(parameter.shape)
    return model


def language_model(*layers: Any) -> Any:
    """Of copies of these layers."""
    width = next(layer.out_size for layer in layers[::-1] if layer.out_size)
    both_ends = Embedding(V, 3, rng=rng()), Linear(width, V, rng=rng())
    return randomized(Sequential(both_ends[0], *copy.deepcopy(layers), both_ends[1]))


def small() -> Any:
    return language_model(RNNCell(3, 4, rng=rng()))


def batch(steps: int = T, rows: int = B, *, lengths: bool = False, starts: bool = False, seed: int = 1) -> Batch:
    """Ids, with weights."""
    ids, weights = rng(seed).integers(0, V, (steps + 1, rows)), rng(seed).random((steps, rows))
    ends = rng(seed + 1).permutation(np.arange(rows) * steps // max(rows - 1, 1)) if lengths else None
    begins = rng(seed + 2).random((steps, rows)) < 0.3 if starts else None
    return Batch(ids[:-1], ids[1:], ends, begins, weights)


def cut(whole: Batch, *sizes: int) -> list[Batch]:
    """A batch as several of so many steps."""
    edges = np.cumsum([0, *sizes])
    arrays = (None if a is None else [a[i:j] for i, j in pairwise(edges)] for a in whole)
    return [Batch(*parts) for parts in zip(*([None] * len(sizes) if a is None else a for a in arrays), strict=True)]


def rows_of(whole: Batch) -> list[Batch]:
    """The rows of a batch, each cut at its end."""
    rows = []
    for b in range(whole.xs.shape[1]):
        steps = slice(None if whole.lengths is None else int(whole.lengths[b]))
        arrays = (None if a is None else a[steps, b : b + 1] for a in whole._replace(lengths=None))
        rows.append(Batch(*arrays))
    return rows


def gradient(method: Any, model: Any, *batches: Batch, criterion: Any = None, **given: Any) -> Any:
    """What a method adds to all gradients for batches, one with the carry of the other, as one vector."""
    criterion = SoftmaxCrossEntropy(reduction="sum") if criterion is None else criterion
    for i, stream in enumerate(model.generators().values()):
        stream.bit_generator.state = rng(i).bit_generator.state
    model.flat_grad[...] = 3.0
    carry = None
    for each in batches:
        _, _, carry = method(model, criterion, each, carry, **given)
    return model.flat_grad - 3.0


def close(found: Any, expected: Any, within: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=within * max(1.0, abs(np.asarray(expected)).max()))


def differs(found: Any, other: Any) -> bool:
    return bool(abs(found - other).max() > 1e-3 * abs(other).max())
