"""A call of a `Loss`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.arrays import Generator, Integers
from ...core.layer import Layer
from ...core.roles import Loss
from ..named import Arrays
from .base import FEATURES, Example, draw, size_of


class LossExample(Example):
    """Maps `ys` (T, B, V) and targets, one of them ignored, to the loss.

    Other ways have weights (T, B), of which some are 0, and with these distributions as targets.
    """

    layer: Loss
    gives = "(loss, cache)"
    gives_back = "dys"

    def __init__(
        self, layer: Loss, rng: Generator, lengths: Integers | None = None, weighted: bool = False, soft: bool = False
    ) -> None:
        super().__init__(layer, rng)
        steps, batch = size_of(lengths)
        self.lengths = None if lengths is None else lengths.copy()
        self.ys = draw(rng, (steps, batch, FEATURES * layer.outputs_per_target))
        self.targets: Any
        if soft:
            self.targets = rng.dirichlet([1.0] * FEATURES, (steps, batch))
            self.targets[0, 0] = np.eye(FEATURES)[0]
        elif layer.takes_ids:
            self.targets = rng.integers(0, FEATURES, (steps, batch))
            self.targets[1, 0] = getattr(layer, "ignore_index", 0)
        else:  # halfway between multiples of 0.1, so that no prediction is where a loss may have a kink
            self.ys = self.ys.round(1)
            self.targets = rng.integers(0, 10, (steps, batch, FEATURES)) / 10 + 0.05
            if getattr(layer, "missing", None):
                self.targets[1, 1, 2] = np.nan
        self.weights: Any = None
        if soft or weighted:
            self.how = f", with {'soft targets and ' * soft}weights,"
            self.weights = rng.random((steps, batch)) + 0.1
            self.weights[[0, 2], [batch - 1, 0]] = 0

    @property
    def inputs(self) -> Arrays:
        return {"ys": self.ys}

    def call(self, function: Callable[..., Any]) -> Any:
        weights = {} if self.weights is None else {"weights": self.weights}
        return function(self.ys, self.targets, lengths=self.lengths, **weights)

    def named(self, *outputs: Any) -> Arrays:
        (loss,) = outputs
        return {"loss": loss}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(cache, upstream["loss"])

    def named_back(self, *gradients: Any) -> Arrays:
        (dys,) = gradients
        return {"ys": dys}


def takes_weights(layer: Layer) -> bool:
    """Whether it is a `Loss` whose `forward` has the argument `weights`, which one of a user's own may leave out."""
    return isinstance(layer, Loss) and "weights" in inspect.signature(layer.forward).parameters
