from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    AdditiveAttention,
    Dropout,
    Embedding,
    Feedforward,
    GeneralAttention,
    InputFeedingDecoder,
    Linear,
    LockedDropout,
    LSTMCell,
    OneHot,
    RNNCell,
    Sequential,
    Tanh,
)

RNG = np.random.default_rng


def draw(*shape: int) -> Any:
    return RNG(1).standard_normal(shape).astype(np.float32)


def decoder(**parts: Any) -> InputFeedingDecoder:
    rng = RNG(0)
    usual = {
        "embedding": Embedding(6, 2, rng=rng),
        "decoder": LSTMCell(2 + 3, 4, rng=rng),
        "attention": GeneralAttention(4, 5, rng=rng),
        "combine": Linear(4 + 5, 3, rng=rng),
    }
    return InputFeedingDecoder(*(usual | parts).values())


def test_sizes_are_those_of_the_ends() -> None:
    layer = decoder()
    assert (layer.in_size, layer.takes_ids, layer.memory_size, layer.out_size) == (6, True, 5, 3)
    layer = decoder(embedding=Tanh())  # which keeps the width, so that it must be 2
    assert (layer.in_size, layer.takes_ids, layer.embedding_size) == (2, False, 2)
    assert layer(draw(3, 2, 2))[0].shape == (3, 2, 3)


def test_what_is_found_reaches_the_next_step_and_not_this_one() -> None:
    layer, ids, memory = decoder(), RNG(2).integers(0, 6, (2, 3)), draw(7, 3, 5)
    states = []
    for factor in (1, -1):
        _, after = layer.step(ids[0], layer.attach(None, factor * memory))
        states.append((after, layer.step(ids[1], after)[1]))
    (one_first, one_then), (other_first, other_then) = states
    np.testing.assert_array_equal(one_first[0], other_first[0])
    assert (one_first[1] != other_first[1]).any()
    assert (one_then[0][0] != other_then[0][0]).any()


def test_without_output_layers_the_output_is_what_is_fed_back() -> None:
    layer = decoder()
    ys, (_, a, _, _) = layer(RNG(2).integers(0, 6, (4, 3)), layer.attach(None, draw(7, 3, 5)))
    np.testing.assert_array_equal(ys[-1], a)


class Counted(AdditiveAttention):
    """Keeps what becomes of the memory each time that its keys are computed, forth and back."""

    def __init__(self) -> None:
        super().__init__(4, 5, 3, rng=RNG(0))
        self.calls: dict[str, list[Any]] = {"keys": [], "keys_backward": []}

    def keys(self, memory: Any) -> Any:
        self.calls["keys"].append(memory)
        return super().keys(memory)

    def keys_backward(self, dkeys: Any, cache: Any) -> Any:
        self.calls["keys_backward"].append(dkeys)
        return super().keys_backward(dkeys, cache)


def test_the_memory_is_prepared_once_for_all_steps() -> None:
    """Cleared once, not at every step, and its keys computed once; the caches of all steps share them."""
    attention = Counted()
    layer = decoder(attention=attention)
    state = layer.attach(None, draw(7, 3, 5), lengths=np.array([7, 0, 2]))
    ys, _, cache = layer.forward(RNG(2).integers(0, 6, (4, 3)), state)
    layer.backward(ys, None, cache)
    prepared, steps = cache.inner.prepared, cache.inner.steps
    assert len(steps) == 4
    assert all(step.attention.prepared is prepared for step in steps)
    assert [len(calls) for calls in attention.calls.values()] == [1, 1]
    assert attention.calls["keys"][0] is prepared.memory


def test_a_decoder_that_draws_may_stand_within() -> None:
    rng = RNG(0)
    recurrent = Sequential(LockedDropout(0.5, rng=rng), LSTMCell(5, 4, rng=rng))
    layer = decoder(embedding=Dropout(0.5, rng=rng), decoder=recurrent)
    one, other = (layer.forward(draw(4, 3, 2), layer.attach(None, draw(7, 3, 5)))[0] for _ in range(2))
    assert (one != other).any()


class Any3(Feedforward):
    """Takes what comes, and gives nobody knows how much."""

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, None]:
        raise AssertionError("is not run")

    def backward(self, dy: Any, cache: None) -> Any:
        raise AssertionError("is not run")


def refused(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        call()


@pytest.mark.messages
def test_parts_that_do_not_fit_are_named() -> None:
    rng = RNG(0)
    cell, linear = RNNCell(3, 2, rng=rng), Linear(9, 4, rng=rng)
    for error, message, parts in (
        (TypeError, "embedding must be a Feedforward, not RNNCell(3, 2)", {"embedding": cell}),
        (TypeError, "combine must be a Feedforward, not RNNCell(3, 2)", {"combine": cell}),
        (
            ValueError,
            "combine, Linear(8, 3), takes 8 features, but 9 come from LSTMCell(5, 4) and GeneralAttention(4, 5) togeth",
            {"combine": Linear(8, 3, rng=rng)},
        ),
        (
            ValueError,
            "decoder, Sequential(Embedding(5, 4)), takes ids, but gets the vectors of the embedding",
            {"decoder": Sequential(Embedding(5, 4, rng=rng))},
        ),
        (ValueError, "LSTMCell(5, 4) must have an in_size, and Any3() an out_size", {"combine": Any3()}),
        (
            ValueError,
            "decoder, LSTMCell(5, 4), takes 5 features, but 2 come from Embedding(6, 2) and 4 from Linear(9, 4)",
            {"combine": linear},
        ),
        (
            ValueError,
            "decoder, LSTMCell(5, 4), takes 5 features, but 3 come from Embedding(6, 3) and 3 from Linear(9, 3)",
            {"embedding": Embedding(6, 3, rng=rng)},
        ),
    ):
        refused(error, f"InputFeedingDecoder: {message}", lambda parts=parts: decoder(**parts))


@pytest.mark.messages
def test_one_hot_rows_are_refused() -> None:
    layer, ids = decoder(embedding=OneHot(2)), np.array([[0, 1]])
    for call in (lambda: layer(ids), lambda: layer.step(ids[0], None)):
        refused(TypeError, f"{layer!r}: the embedding gives OneHotRows(shape=", call)
