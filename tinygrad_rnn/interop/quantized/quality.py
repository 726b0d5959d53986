"""How much is lost by whole numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...core.roles import Recurrent
from ...layers.softmax import Softmax
from ...losses.softmax_cross_entropy import SoftmaxCrossEntropy
from .model import sequences


class Quality(NamedTuple):
    """How far a quantized model is from the model."""

    error: float
    """The root of the mean square of the differences of the outputs, relative to that of the outputs."""
    same: float
    """The share of the steps in which the same output is the largest."""
    loss: float | None
    """The loss of a model that predicts the next id, in nats."""
    quantized_loss: float | None
    """The loss of the quantized model."""


def quality(model: Recurrent, other: Recurrent, xs: Any) -> Quality:
    """How much worse the quantized model is, measured on inputs that were not used for the calibration.

    Args:
        model: the model itself, on the CPU.
        other: what `quantize` or `round_weights` made of it.
        xs: ids (T,) or (T, B), or numbers (T, D) or (T, B, D), as for `quantize`.

    Raises:
        TypeError: `model` or `other` is not a `Recurrent`, or `xs` not an array of what it takes.
        ValueError: `xs` has another shape.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), GRUCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> ids = rng.integers(0, 5, 400)
        >>> lost = interop.quality(model, interop.quantize(model, ids[:200]), ids[200:])
        >>> abs(lost.quantized_loss - lost.loss) < 0.01
        True
    """
    for name, one in (("model", model), ("other", other)):
        if not isinstance(one, Recurrent):
            raise TypeError(f"quality: {name} must be a Recurrent, such as a Sequential, not {one!r:.80}")
    takes_ids = model.takes_ids
    xs = sequences("quality", model, xs, takes_ids)
    (ys, _), (others, _) = model(xs), other(xs)
    error = float(np.sqrt(np.mean((ys - others) ** 2.0) / (np.mean(ys**2.0) or 1.0)))
    same = float((ys.argmax(axis=-1) == others.argmax(axis=-1)).mean())
    if not takes_ids or model.out_size != model.in_size or len(xs) < 2:
        return Quality(error, same, None, None)
    losses = [_loss(model, logits[:-1], xs[1:]) for logits in (ys, others)]
    return Quality(error, same, *losses)


def _loss(model: Any, logits: Any, targets: Any) -> float:
    """In nats, of logits, or of probabilities where the model ends in a `Softmax`."""
    last = getattr(model, "layers", (model,))[-1]
    if isinstance(last, Softmax):
        logits = np.log(np.maximum(logits, 1e-9))
    return float(SoftmaxCrossEntropy()(logits, targets))
