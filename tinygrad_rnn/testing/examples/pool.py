"""A call of a `Pool`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ...core.arrays import Generator, Integers
from ...layers.pooling.base import Pool
from ..named import Arrays
from .base import FEATURES, Example, draw, size_of


class PoolExample(Example):
    """Maps `xs` (T, B, D) to `y` (B, H)."""

    layer: Pool
    gives_back = "dxs"
    own_axes: ClassVar[Mapping[str, str]] = {"y": "B"}

    def __init__(self, layer: Pool, rng: Generator, lengths: Integers | None = None) -> None:
        super().__init__(layer, rng)
        steps, batch = size_of(lengths)
        self.lengths = None if lengths is None else lengths.copy()
        self.xs = draw(rng, (steps, batch, layer.in_size or FEATURES))

    @property
    def inputs(self) -> Arrays:
        return {"xs": self.xs}

    def call(self, function: Callable[..., Any]) -> Any:
        return function(self.xs, lengths=self.lengths)

    def named(self, *outputs: Any) -> Arrays:
        (y,) = outputs
        return {"y": y}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("y"), cache)

    def named_back(self, *gradients: Any) -> Arrays:
        (dxs,) = gradients
        return {"xs": dxs}
