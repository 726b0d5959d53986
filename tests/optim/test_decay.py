"""The weight decay, which is the same for every method."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from textbook import CLIPS, Weights, give, gradient
from tinygrad_rnn import SGD, Adagrad, Adam, AdamW, Layer, Linear, Parameter, RMSprop, RNNCell, Sequential

METHODS = [SGD, partial(SGD, momentum=0.5), Adagrad, RMSprop, Adam, AdamW]
every_optimizer = pytest.mark.parametrize("make", METHODS)


@every_optimizer
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("biases", [False, True])
def test_weights_are_multiplied_and_then_changed_as_without(make: Any, clip: Any, biases: bool) -> None:
    """So the change by the gradients, step for step, is that of an optimizer without decay."""
    decays = (lambda name, parameter: True) if biases else None
    model, other = Weights(), Weights()
    optimizer = make(model, lambda n: 0.1 / (1 + n), clip=clip, decay=0.3, decays=decays)
    plain = make(other, lambda n: 0.1 / (1 + n), clip=clip, decay=0.0)
    for step in range(5):
        before, before_plain = ([p.value.copy() for p in each.parameters()] for each in (model, other))
        for each in (model, other):
            give(each, gradient(step))
        optimizer.step()
        plain.step()
        shrunk = 1 - 0.1 / (1 + step) * 0.3
        for i, (p, q) in enumerate(zip(model.parameters(), other.parameters(), strict=True)):
            expected = before[i] * (shrunk if i == 0 or biases else 1) + (q.value - before_plain[i])
            np.testing.assert_allclose(p.value, expected, rtol=1e-12, atol=1e-14)


@every_optimizer
def test_the_factor_of_a_part_is_that_of_its_decay(make: Any) -> None:
    rng = np.random.default_rng(0)
    model = Sequential(Linear(2, 2, rng=rng), Linear(2, 2, rng=rng), Linear(2, 2, rng=rng)).to(dtype="float64")
    model.flat_value.fill(1)
    make(model, 0.5, decay=0.5, rates={"layers.0": 0.0, "layers.1": 0.5}, decays=lambda name, p: True).step()
    for layer, expected in zip(model.layers, (1.0, 0.875, 0.75), strict=True):
        assert all((p.value == expected).all() for p in layer.parameters())


@every_optimizer
def test_it_may_be_changed_at_any_time(make: Any) -> None:
    model = Weights()
    w, b = model.w.value.copy(), model.b.value.copy()
    optimizer = make(model, 0.5, decay=0.0)
    optimizer.step()
    np.testing.assert_array_equal(model.w.value, w)
    optimizer.decay = 0.5
    optimizer.step()
    np.testing.assert_array_equal(model.w.value, 0.75 * w)
    np.testing.assert_array_equal(model.b.value, b)


@pytest.mark.parametrize("make", METHODS[:-1])
def test_only_adamw_decays_unless_asked(make: Any) -> None:
    assert make(Weights(), 0.1).decay == 0
    assert AdamW(Weights(), 0.1).decay == 0.01


def test_what_decays_is_asked_once() -> None:
    seen = []

    def decays(name: str, parameter: Parameter) -> bool:
        seen.append(name)
        return True

    model: Layer = RNNCell(2, 3, rng=np.random.default_rng(0))
    optimizer = SGD(model, 0.1, decay=0.1, decays=decays)
    optimizer.step()
    optimizer.rates = {"b": 0.5}
    optimizer.step()
    assert seen == [name for name, _ in model.named_parameters()]
