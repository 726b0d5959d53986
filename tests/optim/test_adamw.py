from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

from textbook import CLIPS, Weights, check, give, gradient
from tinygrad_rnn import Adam, AdamW, Embedding, Layer, Linear, RNNCell, Sequential


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("biases", [False, True])
def test_adamw(biases: bool, clip: Any) -> None:
    """Ten steps against algorithm 2 of the paper."""

    def update(w: float, g: float, memory: dict[str, float], step: int, is_bias: bool) -> float:
        t, lr = step + 1, 0.1 / (1 + step)
        memory["m"] = 0.8 * memory.get("m", 0) + 0.2 * g
        memory["v"] = 0.9 * memory.get("v", 0) + 0.1 * g * g
        m_hat, v_hat = memory["m"] / (1 - 0.8**t), memory["v"] / (1 - 0.9**t)
        decayed = 0 if is_bias and not biases else lr * 0.3 * w
        return w - lr * m_hat / (math.sqrt(v_hat) + 1e-3) - decayed

    def make(model: Layer, clip: Any) -> AdamW:
        decays = (lambda name, parameter: True) if biases else None
        return AdamW(model, lambda n: 0.1 / (1 + n), betas=(0.8, 0.9), eps=1e-3, decay=0.3, decays=decays, clip=clip)

    check(make, update, clip)


def decayed(model: Layer, **options: Any) -> set[str]:
    """The names of the parameters that a step without gradients changes; all of them by the same factor."""
    model.flat_value.fill(1)
    AdamW(model, 0.5, decay=0.5, **options).step()
    changed = {name for name, p in model.named_parameters() if (p.value != 1).any()}
    assert all((p.value == 0.75).all() for name, p in model.named_parameters() if name in changed)
    return changed


def network() -> Sequential:
    rng = np.random.default_rng(0)
    return Sequential(Embedding(7, 4, rng=rng), RNNCell(4, 4, rng=rng), Linear(4, 7, rng=rng))


def test_matrices_decay_and_biases_do_not() -> None:
    assert decayed(network()) == {"layers.0.w", "layers.1.w_x", "layers.1.w_h", "layers.2.w"}


def test_a_function_says_what_decays() -> None:
    seen = []

    def decays(name: str, parameter: Any) -> bool:
        seen.append((name, parameter.shape))
        return name.startswith("layers.1.")

    model = network()
    assert decayed(model, decays=decays) == {"layers.1.w_x", "layers.1.w_h", "layers.1.b"}
    assert seen == [(name, p.shape) for name, p in model.named_parameters()]


def test_a_tied_parameter_decays_once() -> None:
    model: Any = Sequential(Linear(3, 3, rng=np.random.default_rng(0)), Linear(3, 3, rng=np.random.default_rng(1)))
    model.layers[1].w = model.layers[0].w
    assert decayed(model) == {"layers.0.w"}  # by 0.75, not by its square


def test_without_decay_it_is_adam_to_the_bit() -> None:
    models = Weights("float32"), Weights("float32"), Weights("float32")
    optimizers = Adam(models[0], 0.1), AdamW(models[1], 0.1, decay=0.0), AdamW(models[2], 0.1)
    for step in range(3):
        for model, optimizer in zip(models, optimizers, strict=True):
            give(model, gradient(step))
            optimizer.step()
    np.testing.assert_array_equal(models[1].flat_value, models[0].flat_value)
    np.testing.assert_array_equal(models[2].b.value, models[0].b.value)
    assert (models[2].w.value != models[0].w.value).all()


def test_the_decay_does_not_pass_through_the_mean_of_gradients() -> None:
    model = Weights()
    optimizer = AdamW(model, 0.1, decay=0.5)
    optimizer.step()
    assert not optimizer.gradients.any()
    assert not optimizer.squares.any()


def test_a_copy_decays_its_own_model() -> None:
    optimizer = AdamW(Weights(), 0.5, decay=0.5)
    other: Any = copy.deepcopy(optimizer)
    other.step()
    np.testing.assert_array_equal(other.model.w.value, 0.75 * Weights().w.value)
    np.testing.assert_array_equal(optimizer.model.flat_value, Weights().flat_value)


def test_its_memory_is_not_that_of_adam() -> None:
    with pytest.raises(ValueError, match=r"^Adam\.restore: the memory does not fit: it is of AdamW$"):
        Adam(Weights(), 0.1).restore(AdamW(Weights(), 0.1).memory())


@pytest.mark.messages
@pytest.mark.parametrize("decay", [-0.1, math.nan])
def test_decay_is_at_least_zero(decay: float) -> None:
    model: Any = Weights()
    with pytest.raises(ValueError, match=f"^AdamW: decay must be at least 0, not {decay}$"):
        AdamW(model, 0.1, decay=decay)
    assert model.w.vector is None
