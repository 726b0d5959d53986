from __future__ import annotations

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
