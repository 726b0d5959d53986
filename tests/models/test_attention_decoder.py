from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn import AttentionDecoder, DotAttention, GeneralAttention, Linear, LSTMCell, OneHot, Sequential, Tanh

RNG = np.random.default_rng


def draw(*shape: int) -> Any:
    return RNG(1).standard_normal(shape).astype(np.float32)


def test_sizes_are_those_of_the_ends() -> None:
    cell = LSTMCell(3, 4, rng=RNG(0))
    for attention, output, memory_size, out_size in (
        (DotAttention(), (), 4, 8),
        (GeneralAttention(4, 6, rng=RNG(0)), (Tanh(),), 6, 10),
        (GeneralAttention(4, 6, rng=RNG(0)), (Linear(10, 2, rng=RNG(0)), Tanh()), 6, 2),
    ):
        layer = AttentionDecoder(cell, attention, *output)
        assert (layer.in_size, layer.takes_ids, layer.memory_size, layer.out_size) == (3, False, memory_size, out_size)


def test_without_output_layers_state_and_context_stand_side_by_side() -> None:
    cell, attention = LSTMCell(3, 4, rng=RNG(0)), DotAttention()
    layer, xs, memory = AttentionDecoder(cell, attention), draw(5, 2, 3), draw(7, 2, 4)
    lengths = np.array([7, 2])
    ys, (after, *_) = layer(xs, layer.attach(None, memory, lengths=lengths))
    hs, expected = cell(xs)
    context, _ = attention(hs, memory, lengths=lengths)
    np.testing.assert_array_equal(ys, np.concatenate([hs, context], axis=-1))
    np.testing.assert_array_equal(after, expected)


def test_what_is_found_does_not_reach_the_recurrence() -> None:
    layer = AttentionDecoder(LSTMCell(3, 4, rng=RNG(0)), DotAttention())
    xs, memory = draw(5, 2, 3), draw(7, 2, 4)
    one, other = (layer(xs, layer.attach(None, factor * memory)) for factor in (1, -1))
    assert (one[0] != other[0]).any()
    np.testing.assert_array_equal(one[1][0], other[1][0])


def test_one_hot_rows_go_through() -> None:
    ids, memory = RNG(2).integers(0, 3, (5, 2)), draw(7, 2, 4)
    layer = AttentionDecoder(LSTMCell(3, 4, rng=RNG(0)), DotAttention())
    model, state = Sequential(OneHot(3), layer), layer.attach(None, memory)
    ys, _, cache = model.forward(ids, ((), state))
    np.testing.assert_allclose(ys, layer(np.eye(3, dtype=np.float32)[ids], state)[0], atol=1e-6)
    assert model.backward(ys, None, cache)[0] is None
