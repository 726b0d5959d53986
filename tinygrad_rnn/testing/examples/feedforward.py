"""A call of a `Feedforward`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.arrays import Generator
from ...core.roles import Feedforward
from ..named import Arrays
from .base import BATCH, STEPS, Example, input_of


class FeedforwardExample(Example):
    """Maps `x` (T, B, D) to `y`."""

    layer: Feedforward

    def __init__(self, layer: Feedforward, rng: Generator) -> None:
        super().__init__(layer, rng)
        self.x = input_of(layer, rng, (STEPS, BATCH))
        if getattr(layer, "takes_gaps", False):
            self.x[1, 0, 0] = np.nan

    @property
    def inputs(self) -> Arrays:
        return {"x": self.x}

    def call(self, function: Callable[..., Any]) -> Any:
        return function(self.x)

    def named(self, *outputs: Any) -> Arrays:
        (y,) = outputs
        return {"y": y}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("y"), cache)

    def named_back(self, *gradients: Any) -> Arrays:
        (dx,) = gradients
        return {"x": dx}
