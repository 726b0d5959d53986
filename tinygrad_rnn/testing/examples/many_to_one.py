"""A call of a `ManyToOne`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ...core.arrays import Generator, Integers
from ...models.many_to_one import ManyToOne
from ..named import Arrays, leaves, planted
from .recurrent import RecurrentExample


class ManyToOneExample(RecurrentExample):
    """Maps `xs` (T, B, D) and a state to `y` (B, K) and a state."""

    layer: ManyToOne  # type: ignore[assignment]  # it has what of a `Recurrent` is needed here
    gives = "(y, state, cache)"
    own_axes: ClassVar[Mapping[str, str]] = {"y": "B"}

    def __init__(self, layer: ManyToOne, rng: Generator, lengths: Integers | None = None) -> None:
        super().__init__(layer, rng, lengths)  # type: ignore[arg-type]

    def call(self, function: Callable[..., Any]) -> Any:
        return function(self.xs, self.state, lengths=self.lengths)

    def named(self, *outputs: Any) -> Arrays:
        y, state = outputs
        return {"y": y, **leaves("state", state)}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("y"), planted("state", self.state, upstream), cache)
