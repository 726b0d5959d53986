"""A call of an `Attention`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ...core.arrays import Generator, Integers
from ...layers.attention.base import Attention
from ..named import Arrays
from .base import BATCH, FEATURES, OTHER_STEPS, STEPS, Example, draw, size_of


class AttentionExample(Example):
    """Maps `queries` (T, B, Q) and `memory` (S, B, M), which has the lengths, to the context and the weights."""

    layer: Attention
    gives = "(context, weights, cache)"
    gives_back = "(dqueries, dmemory)"
    sizes: ClassVar[Mapping[str, int]] = {"T": OTHER_STEPS, "B": BATCH, "S": STEPS}
    ends: ClassVar[Mapping[str, str]] = {"S": "lengths"}
    own_axes: ClassVar[Mapping[str, str]] = {"memory": "SB", "weights": "TBS"}

    def __init__(self, layer: Attention, rng: Generator, lengths: Integers | None = None) -> None:
        super().__init__(layer, rng)
        steps, batch = size_of(lengths)
        self.lengths = None if lengths is None else lengths.copy()
        self.queries = draw(rng, (OTHER_STEPS, batch, layer.query_size or FEATURES))
        self.memory = draw(rng, (steps, batch, layer.memory_size or FEATURES))

    @property
    def inputs(self) -> Arrays:
        return {"queries": self.queries, "memory": self.memory}

    def call(self, function: Callable[..., Any]) -> Any:
        return function(self.queries, self.memory, lengths=self.lengths)

    def named(self, *outputs: Any) -> Arrays:
        context, weights = outputs
        return {"context": context, "weights": weights}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("context"), upstream.get("weights"), cache)

    def named_back(self, *gradients: Any) -> Arrays:
        dqueries, dmemory = gradients
        return {"queries": dqueries, "memory": dmemory}
