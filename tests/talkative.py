"""Small models whose text is worth testing: one of given probabilities, and one whose text varies."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn import Embedding, Linear, OneHot, RNNCell, Sequential


def bigrams(logits: Any) -> Sequential:
    """A model whose logits after id v are row v of `logits`."""
    rows = np.asarray(logits, np.float64)
    table = Embedding(*rows.shape, rng=np.random.default_rng(0)).to(dtype="float64")
    table.w.value = rows
    return Sequential(table)


def network(size: int, seed: int = 3) -> Sequential:
    """An RNN of `size` ids, with weights large enough for its text to vary."""
    rng = np.random.default_rng(seed)
    return with_large_weights(Sequential(OneHot(size), RNNCell(size, 8, rng=rng), Linear(8, size, rng=rng)), rng)


def with_large_weights(model: Sequential, rng: np.random.Generator) -> Sequential:
    for parameter in model.parameters():
        parameter.value = 2 * rng.standard_normal(parameter.shape)
    return model
