from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Dropout, Linear, OneHot, RNNCell, Sequential, TokenStream, evaluate
from tinygrad_rnn.testing import StrictDevice

DOCUMENTS = [np.array([0, 3, 1, 1, 4, 2, 0]), np.array([2, 2]), np.array([4, 0, 1, 3])]


def network() -> Sequential:
    rng = np.random.default_rng(0)
    layers = (OneHot(5), RNNCell(5, 4, rng=rng), Dropout(0.5, rng=rng), Linear(4, 5, rng=rng))
    return Sequential(*layers).to(dtype="float64")


def by_hand(model: Any) -> float:
    """Document by document, step by step."""
    losses = []
    for document in DOCUMENTS:
        state = None
        for token, target in pairwise(document):
            logits, state = model.step(np.array([token]), state)
            powers = [math.exp(score) for score in logits[0].tolist()]
            losses.append(-math.log(powers[target] / math.fsum(powers)))
    return math.fsum(losses) / len(losses)


@pytest.mark.parametrize("steps", [1, 3, 100])
def test_it_is_the_mean_over_every_transition(steps: int) -> None:
    model = network()
    assert evaluate(model, TokenStream(DOCUMENTS, batch=1, steps=steps)) == pytest.approx(by_hand(model), rel=1e-14)


def test_nothing_is_drawn_or_kept() -> None:
    model, stream = network(), TokenStream(DOCUMENTS, batch=2, steps=2)
    (before,) = (generator.bit_generator.state for generator in model.generators().values())
    assert evaluate(model, stream) == evaluate(model, stream)
    (after,) = (generator.bit_generator.state for generator in model.generators().values())
    assert before == after
    assert all(not parameter.grad.any() for parameter in model.parameters())


def test_long_chunks_take_little_memory() -> None:
    """A stream of one chunk is 200 MB at once; the result does not depend on it."""
    rng = np.random.default_rng(0)
    model = Sequential(OneHot(65), RNNCell(65, 128, rng=rng), Linear(128, 65, rng=rng))
    ids = rng.integers(0, 65, 100_000)
    tracemalloc.start()
    found = evaluate(model, TokenStream(ids, batch=1, steps=len(ids)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6
    assert math.isclose(found, evaluate(model, TokenStream(ids, batch=1, steps=1000)), rel_tol=1e-6)


def test_a_model_on_another_device() -> None:
    model, stream = network(), TokenStream(DOCUMENTS, batch=1, steps=4)
    expected = evaluate(model, stream)
    assert evaluate(model.to(StrictDevice()), stream) == pytest.approx(expected, rel=1e-14)


@pytest.mark.messages
def test_what_is_no_model_is_refused() -> None:
    layer: Any = Linear(5, 5, rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"evaluate: model must be a Recurrent, such as Sequential, not Linear\(5, 5\)"):
        evaluate(layer, TokenStream(DOCUMENTS, batch=1, steps=4))
    with pytest.raises(ValueError, match=r"id 4 at index \(0, 0\) is outside the vocabulary, 0 to 3"):
        evaluate(Sequential(OneHot(4)), TokenStream(np.array([4, 0]), batch=1, steps=1))
