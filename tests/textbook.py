"""Ten steps of an optimizer against the textbook's formula for one number, in Python's own floats."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn import ClipNorm, ClipValue, Layer, Parameter

STEPS = 10
CLIPS: list[Any] = [None, ClipNorm(1.0), ClipValue(0.5), (ClipValue(1.5), ClipNorm(2.0))]


class Weights(Layer):
    """Two parameters and nothing else."""

    def __init__(self, dtype: str = "float64") -> None:
        rng = np.random.default_rng(0)
        self.w = Parameter(rng.standard_normal((3, 4)).astype(dtype))
        self.b = Parameter(rng.standard_normal(5).astype(dtype))


def gradient(step: int) -> list[float]:
    """Of all numbers of `Weights`, at a step; of different sizes."""
    drawn = np.random.default_rng(100 + step).standard_normal(17) * np.geomspace(0.01, 10, 17)
    return [float(number) for number in drawn]


def give(model: Weights, numbers: list[float]) -> None:
    model.w.grad = np.reshape(numbers[:12], (3, 4))
    model.b.grad = np.array(numbers[12:])


def clipped(numbers: list[float], clip: Any) -> list[float]:
    for clipper in clip if isinstance(clip, tuple) else (clip,):
        if isinstance(clipper, ClipNorm):
            norm = math.sqrt(math.fsum(g * g for g in numbers))
            numbers = [g * min(1.0, clipper.max_norm / norm) for g in numbers]
        elif isinstance(clipper, ClipValue):
            numbers = [max(-clipper.limit, min(g, clipper.limit)) for g in numbers]
    return numbers


def check(
    make: Callable[[Layer, Any], Any], update: Callable[[float, float, dict[str, float], int, bool], float], clip: Any
) -> None:
    """`make(model, clip)`; `update(w, g, memory, step, is_bias)` of one number gives the next w."""
    model = Weights()
    optimizer = make(model, clip)
    expected = [*model.w.value.ravel().tolist(), *model.b.value.tolist()]
    memories: list[dict[str, float]] = [{} for _ in expected]
    for step in range(STEPS):
        give(model, gradient(step))
        optimizer.step()
        numbers = clipped(gradient(step), clip)
        for i, g in enumerate(numbers):
            expected[i] = update(expected[i], g, memories[i], step, i >= 12)
        found = np.concatenate([model.w.value.ravel(), model.b.value])
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-14)
        left = np.concatenate([model.w.grad.ravel(), model.b.grad])
        np.testing.assert_allclose(left, numbers, rtol=1e-14)  # neither cleared nor, clipping aside, changed
    assert optimizer.steps == STEPS
