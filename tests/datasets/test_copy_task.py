from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import SoftmaxCrossEntropy
from tinygrad_rnn.datasets import CopySource


def test_the_symbols_come_back_after_the_marker() -> None:
    source = CopySource(8, length=10, delay=4)
    xs, targets = source.sample(50, rng=np.random.default_rng(0))
    assert xs.shape == targets.shape == (source.steps, 50) == (10 + 4 + 10, 50)
    assert xs.dtype == targets.dtype == "int64"
    assert set(xs[:10].flat) == set(range(8))
    for rows, ids in ((xs[10:13], 8), (xs[13], 9), (xs[14:], 8), (targets[:14], 8), (targets[14:], xs[:10])):
        np.testing.assert_array_equal(rows, np.broadcast_to(ids, rows.shape))
    assert (source.blank, source.marker, source.vocab_size) == (8, 9, 10)


def test_the_shortest() -> None:
    xs, targets = CopySource(2, length=1, delay=1).sample(1, rng=np.random.default_rng(0))
    assert xs.T.tolist() == [[1, 3, 2]]
    assert targets.T.tolist() == [[2, 2, 1]]
    xs, targets = CopySource(2, length=1, delay=1).sample(0, rng=np.random.default_rng(0))
    assert xs.shape == targets.shape == (3, 0)


def test_the_rng_determines_all() -> None:
    source = CopySource(5, length=6, delay=7)
    one, same, two = (source.sample(8, rng=np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one[0] != two[0]).any()


def test_the_optimum_and_chance_as_the_loss_reports_them() -> None:
    source = CopySource(8, length=3, delay=5)
    xs, targets = source.sample(100, rng=np.random.default_rng(0))
    criterion, scores = SoftmaxCrossEntropy(), np.full((*xs.shape, source.vocab_size), -np.inf)
    scores[: -source.length, :, source.blank] = 0
    scores[-source.length :, :, : source.symbols] = 0  # any symbol, as nothing is remembered
    assert float(criterion(scores, targets)) == pytest.approx(source.chance, rel=1e-12)
    assert source.chance == pytest.approx(3 * math.log(8) / 11)
    remembered = xs[: source.length, :, None] == np.arange(source.vocab_size)
    scores[-source.length :] = np.where(remembered, 0, -np.inf)
    assert float(criterion(scores, targets)) == source.entropy == 0


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"symbols": 1}, ValueError, "symbols must be at least 2, not 1"),
        ({"symbols": "8"}, TypeError, "symbols must be an integer, not '8'"),
        ({"length": 0}, ValueError, "length must be at least 1, not 0"),
        ({"length": None}, TypeError, "length must be an integer, not None"),
        ({"delay": 0}, ValueError, "delay must be at least 1, not 0"),
        ({"delay": 1.5}, TypeError, "delay must be an integer, not 1.5"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    default: dict[str, Any] = {"symbols": 2, "length": 1, "delay": 1}
    with pytest.raises(error, match=f"^{re.escape(f'CopySource: {message}')}$"):
        CopySource(**default | arguments)


@pytest.mark.messages
def test_bad_arguments_of_sample(rng: np.random.Generator) -> None:
    source: Any = CopySource(2, length=1, delay=1)
    name = re.escape("CopySource(2, length=1, delay=1)")
    with pytest.raises(ValueError, match=f"^{name}: batch must be at least 0, not -1$"):
        source.sample(-1, rng=rng)
    with pytest.raises(TypeError, match=f"^{name}: batch must be an integer, not 2.0$"):
        source.sample(2.0, rng=rng)
    with pytest.raises(TypeError, match=f"^{name}: rng must be a numpy.random.Generator"):
        source.sample(1, rng=np.random)
