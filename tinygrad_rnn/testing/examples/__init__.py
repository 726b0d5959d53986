"""Calls that check a layer. There is a class for each way to call one.

The `variables` of an example are the inputs that have a gradient. What an example of one's own needs comes from here.
"""

from __future__ import annotations

from ...core.arrays import Booleans, Generator, Integers
from ...core.layer import Layer
from ...core.roles import Feedforward, Loss, Recurrent
from ...layers.attention.base import Attention
from ...layers.pooling.base import Pool
from ...models.encoder_decoder import EncoderDecoder
from ...models.many_to_one import ManyToOne
from ..named import Arrays, floats, leaves, move, planted, same
from .attention import AttentionExample
from .base import BATCH, FEATURES, OTHER_STEPS, STEPS, Example, draw
from .encoder_decoder import EncoderDecoderExample
from .feedforward import FeedforwardExample
from .loss import LossExample, takes_weights
from .many_to_one import ManyToOneExample
from .pool import PoolExample
from .recurrent import RecurrentExample, StepsExample, draw_state

__all__ = [
    "Arrays",
    "AttentionExample",
    "BATCH",
    "EncoderDecoderExample",
    "Example",
    "FEATURES",
    "FeedforwardExample",
    "LossExample",
    "ManyToOneExample",
    "OTHER_STEPS",
    "PoolExample",
    "RecurrentExample",
    "STEPS",
    "StepsExample",
    "draw",
    "draw_state",
    "examples",
    "floats",
    "leaves",
    "move",
    "planted",
    "same",
    "takes_weights",
]


def examples(
    layer: Layer, rng: Generator, lengths: Integers | None = None, starts: Booleans | None = None
) -> list[Example]:
    """Every way to call `layer`; `starts` are only for a `Recurrent`, weights for a `Loss` that takes some.

    Raises:
        TypeError: the layer has none of the roles.
    """
    if isinstance(layer, Feedforward):
        return [FeedforwardExample(layer, rng)]
    if isinstance(layer, Loss):
        weighted = [LossExample(layer, rng, lengths, weighted=True)] if takes_weights(layer) else []
        soft = [LossExample(layer, rng, lengths, soft=True)] if weighted and layer.takes_distributions else []
        return [LossExample(layer, rng, lengths), *weighted, *soft]
    if isinstance(layer, Recurrent):
        whole = RecurrentExample(layer, rng, lengths, starts)
        return [whole, StepsExample(layer, rng, None, starts)] if layer.causal and lengths is None else [whole]
    if isinstance(layer, Attention):
        return [AttentionExample(layer, rng, lengths)]
    if isinstance(layer, EncoderDecoder):
        return [EncoderDecoderExample(layer, rng, lengths)]
    if isinstance(layer, Pool):
        return [PoolExample(layer, rng, lengths)]
    if isinstance(layer, ManyToOne):
        return [ManyToOneExample(layer, rng, lengths)]
    raise TypeError(
        f"{layer!r} is neither Feedforward, Recurrent, Attention, Pool, EncoderDecoder, ManyToOne nor Loss, so there "
        "is no standard way to call it"
    )
