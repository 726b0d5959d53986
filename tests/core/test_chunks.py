from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Bidirectional, GRUCell, Linear, LSTMCell, OneHot, RNNCell, Sequential
from tinygrad_rnn.core import chunks
from tinygrad_rnn.core.chunks import in_chunks
from tinygrad_rnn.core.states import leaves


@pytest.mark.parametrize("starts", [False, True])
@pytest.mark.parametrize("cell", [RNNCell, GRUCell, LSTMCell])
@pytest.mark.parametrize("steps", [1, 16, 33])
def test_chunks_are_the_whole(
    cell: Any, steps: int, starts: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "ROWS", 3 * 16)
    model = Sequential(OneHot(5), cell(5, 4, rng=rng), Linear(4, 5, rng=rng)).to(dtype="float64")
    xs, flags = rng.integers(0, 5, (steps, 3)), rng.random((steps, 3)) < 0.1 if starts else None
    state = (), tuple(rng.standard_normal((3, 4)) for _ in leaves(model.initial_state(3))), ()
    found = list(in_chunks(model, xs, state, starts=flags))
    assert [len(ys) for ys, _ in found] == {1: [1], 16: [16], 33: [16, 16, 1]}[steps]
    ys, after = model(xs, state, starts=flags)
    np.testing.assert_allclose(np.concatenate([part for part, _ in found]), ys, rtol=0, atol=1e-12)
    for one, other in zip(leaves(found[-1][1]), leaves(after), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "batch", "steps"), [(65, 1, 4096), (65, 32, 128), (65, 1000, 16), (2048, 1, 2048)])
def test_how_long_they_are(size: int, batch: int, steps: int) -> None:
    model = Sequential(OneHot(size))
    (ys, _), *_ = in_chunks(model, np.zeros((5000, batch), np.uint8), None)
    assert ys.shape[:2] == (steps, batch)


def test_what_is_not_causal_stays_whole(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ROWS", 16)
    model = Bidirectional(RNNCell(2, 3, rng=rng), RNNCell(2, 3, rng=rng))
    ((ys, _),) = in_chunks(model, rng.standard_normal((40, 1, 2)).astype(np.float32), None)
    assert len(ys) == 40


@pytest.mark.parametrize("with_lengths", [False, True])
def test_a_long_call_is_the_forward_without_its_cache(
    with_lengths: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Sequential(OneHot(5), LSTMCell(5, 4, rng=rng), Linear(4, 5, rng=rng)).to(dtype="float64")
    xs, flags = rng.integers(0, 5, (70, 3)), rng.random((70, 3)) < 0.1
    how: dict[str, Any] = {"starts": flags, "lengths": np.array([70, 20, 0], np.uint8) if with_lengths else None}
    ys, state, _ = model.forward(xs, None, **how, training=False)
    monkeypatch.setattr(chunks, "ROWS", 48)
    monkeypatch.setattr(chunks, "LONG", 100)
    found, after = model(xs, **how)
    np.testing.assert_allclose(found, ys, rtol=0, atol=1e-12)
    for one, other in zip(leaves(after), leaves(state), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    assert Sequential(OneHot(5))(xs)[0].shape == (70, 3, 5)
    with pytest.raises(TypeError, match="xs must be an integer array, not float64"):
        model(xs * 1.0)
    xs[60, 0] = 7
    with pytest.raises(ValueError, match=r"id 7 at index \(60, 0\) is outside the vocabulary"):
        model(xs, **how)
    with pytest.raises(ValueError, match=r"lengths has shape \(2,\), expected \(3,\)"):
        model(xs, lengths=np.array([1, 2]))


def test_a_long_call_takes_little_more_memory_than_its_output(rng: np.random.Generator) -> None:
    model = Sequential(OneHot(5), LSTMCell(5, 32, rng=rng), Linear(32, 5, rng=rng))
    tracemalloc.start()
    try:
        ys, _ = model(rng.integers(0, 5, (7_500, 8)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < ys.nbytes + 2**23  # all at once it would be 40 MB
