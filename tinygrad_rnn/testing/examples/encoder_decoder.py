"""A call of an `EncoderDecoder`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ...core.arrays import Generator, Integers
from ...models.encoder_decoder import EncoderDecoder
from ..named import Arrays
from .base import BATCH, OTHER_STEPS, STEPS, Example, input_of, size_of


class EncoderDecoderExample(Example):
    """Maps `sources` (S, B, D) and `targets` (T, B, E) to `ys`; long sources have short targets."""

    layer: EncoderDecoder
    gives = "(ys, cache)"
    gives_back = "(dsources, dtargets)"
    sizes: ClassVar[Mapping[str, int]] = {"T": STEPS, "B": BATCH, "S": OTHER_STEPS}
    ends: ClassVar[Mapping[str, str]] = {"T": "target_lengths", "S": "source_lengths"}
    own_axes: ClassVar[Mapping[str, str]] = {"sources": "SB"}

    def __init__(self, layer: EncoderDecoder, rng: Generator, lengths: Integers | None = None) -> None:
        super().__init__(layer, rng)
        steps, batch = size_of(lengths)
        self.target_lengths = None if lengths is None else lengths.copy()
        self.source_lengths = None if lengths is None else lengths[::-1].copy()
        self.sources = input_of(self.layer.encoder, rng, (max(steps, OTHER_STEPS), batch))
        self.targets = input_of(self.layer.decoder, rng, (steps, batch))

    @property
    def inputs(self) -> Arrays:
        return {"sources": self.sources, "targets": self.targets}

    def call(self, function: Callable[..., Any]) -> Any:
        lengths = {"source_lengths": self.source_lengths, "target_lengths": self.target_lengths}
        return function(self.sources, self.targets, **lengths)

    def named(self, *outputs: Any) -> Arrays:
        (ys,) = outputs
        return {"ys": ys}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("ys"), cache)

    def named_back(self, *gradients: Any) -> Arrays:
        dsources, dtargets = gradients
        return {"sources": dsources, "targets": dtargets}
