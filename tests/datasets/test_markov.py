from __future__ import annotations

import re
from itertools import product
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.datasets import MarkovSource


def block_entropy(source: MarkovSource, n: int) -> float:
    """Of n tokens in a row, by the probabilities of all V^n."""
    logs = np.array([source.log_probability(np.array(ids, int)) for ids in product(range(source.vocab_size), repeat=n)])
    logs = logs[logs > -np.inf]
    assert np.exp(logs).sum() == pytest.approx(1, rel=1e-12)
    return float(-(np.exp(logs) * logs).sum())


@pytest.mark.parametrize(("V", "order"), [(1, 1), (1, 2), (2, 1), (5, 1), (3, 2), (2, 3), (2, 4)])
def test_the_entropy_is_what_one_more_token_adds(V: int, order: int, rng: np.random.Generator) -> None:
    source = MarkovSource.random(V, order=order, rng=rng)
    assert (source.vocab_size, source.order) == (V, order)
    blocks = [block_entropy(source, n) for n in range(order + 3)]
    assert blocks[order + 1] - blocks[order] == pytest.approx(source.entropy, abs=1e-12)
    assert blocks[order + 2] - blocks[order + 1] == pytest.approx(source.entropy, abs=1e-12)
    if V > 1:
        assert blocks[order] - blocks[order - 1] > source.entropy + 1e-3  # who knows fewer tokens pays more


@pytest.mark.parametrize(("V", "order"), [(5, 1), (3, 2), (2, 3)])
def test_it_looks_the_same_from_wherever_it_is_seen(V: int, order: int, rng: np.random.Generator) -> None:
    source = MarkovSource.random(V, order=order, rng=rng)
    assert source.stationary.shape == (V,) * order
    for n in range(1, order + 2):
        for ids in product(range(V), repeat=n):
            later = sum(np.exp(source.log_probability(np.array([v, *ids]))) for v in range(V))
            assert np.exp(source.log_probability(np.array(ids))) == pytest.approx(later, rel=1e-12)


def test_the_stationary_distribution_by_walking_on() -> None:
    source = MarkovSource.random(6, concentration=0.2, rng=np.random.default_rng(1))
    p = np.full(6, 1 / 6)
    for _ in range(2000):
        p = p @ source.transitions
    np.testing.assert_allclose(source.stationary, p, rtol=1e-10)


def test_chains_that_anyone_can_solve() -> None:
    cycle = MarkovSource(np.roll(np.eye(3), 1, axis=1))  # of a period, so that no power of it converges
    np.testing.assert_allclose(cycle.stationary, 1 / 3)
    assert cycle.entropy == 0
    ids = cycle.sample(7, rng=np.random.default_rng(0))
    np.testing.assert_array_equal((ids - ids[0]) % 3, np.arange(7) % 3)
    coin = MarkovSource(np.full((2, 2, 2), 0.5, np.float32))
    assert coin.entropy == pytest.approx(np.log(2), rel=1e-12)
    one = MarkovSource([[1]])
    assert (one.entropy, one.sample(3, rng=np.random.default_rng(0)).tolist()) == (0, [0, 0, 0])
    leaving = MarkovSource([[0.5, 0.25, 0.25], [0, 0.1, 0.9], [0, 0.9, 0.1]])  # token 0 never comes again
    assert leaving.stationary.tolist() == [0, 0.5, 0.5]
    assert 0 not in leaving.sample(1000, rng=np.random.default_rng(0))


def test_a_sample_is_as_likely_as_the_transitions_say() -> None:
    source = MarkovSource.random(3, order=2, rng=np.random.default_rng(4))
    ids = source.sample(30_000, rng=np.random.default_rng(0))
    for a, b in product(range(3), repeat=2):
        after = ids[2:][(ids[:-2] == a) & (ids[1:-1] == b)]
        p, count = source.transitions[a, b], len(after)
        assert (abs(np.bincount(after, minlength=3) - count * p) < 4 * np.sqrt(count * p * (1 - p))).all()
        assert count / len(ids) == pytest.approx(source.stationary[a, b], rel=0.1)


def test_a_shorter_sample_is_the_beginning_of_a_longer_one() -> None:
    source = MarkovSource.random(4, order=3, rng=np.random.default_rng(0))
    longest = source.sample(20, rng=np.random.default_rng(5))
    for length in range(20):
        np.testing.assert_array_equal(source.sample(length, rng=np.random.default_rng(5)), longest[:length])


def test_a_smaller_concentration_is_a_smaller_entropy() -> None:
    entropies = [
        MarkovSource.random(8, concentration=c, rng=np.random.default_rng(0)).entropy for c in (0.05, 0.5, 5, 500)
    ]
    assert entropies == sorted(entropies)
    assert 0 < entropies[0] < 0.6
    assert np.log(8) - 0.01 < entropies[-1] < np.log(8)


def test_the_rng_determines_the_chain() -> None:
    one, same, two = (MarkovSource.random(4, rng=np.random.default_rng(s)).transitions for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != two).any()


def test_what_was_given_is_neither_written_to_nor_kept() -> None:
    given = np.array([[0.5, 0.5], [0.1, 0.9000001]])
    before = given.copy()
    source = MarkovSource(given)
    np.testing.assert_array_equal(given, before)
    given[:] = 0
    np.testing.assert_allclose(source.transitions, before, rtol=1e-6)
    np.testing.assert_allclose(source.transitions.sum(axis=1), 1, rtol=1e-15)
    with pytest.raises(ValueError, match="read-only"):
        source.transitions[0] = 0


@pytest.mark.messages
@pytest.mark.parametrize(
    ("transitions", "error", "message"),
    [
        ([["a"]], TypeError, "transitions are <U1, where numbers were expected"),
        ([[True]], TypeError, "transitions are bool, where numbers were expected"),
        ([1.0], ValueError, "transitions has the shape (1,), where (V, V) was expected, and one more V for each"),
        (np.ones((2, 2, 3)), ValueError, "transitions has the shape (2, 2, 3), where (V, V) was expected"),
        (np.ones((0, 0)), ValueError, "transitions has the shape (0, 0), where (V, V) was expected"),
        ([[1, 0], [1.5, -0.5]], ValueError, "transitions is 1.5 at index (1, 0), but a probability is 0 to 1"),
        ([[1, 0], [np.nan, 1]], ValueError, "transitions is nan at index (1, 0), but a probability is 0 to 1"),
        (
            [[[1, 0], [1, 0]], [[1, 0], [0.5, 0.25]]],
            ValueError,
            "the row transitions[1, 1] adds up to 0.75, where 1 was expected; divide each row by its sum",
        ),
        (
            np.eye(2),
            ValueError,
            "the chain has more than one stationary distribution, because it has several parts that it never",
        ),
        (
            [[0.4, 0.3, 0.3], [0, 1, 0], [0, 0, 1]],
            ValueError,
            "the chain has more than one stationary distribution",
        ),
    ],
)
def test_bad_transitions(transitions: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(f'MarkovSource: {message}')}"):
        MarkovSource(transitions)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vocab_size": 0}, ValueError, "vocab_size must be at least 1, not 0"),
        ({"order": 0}, ValueError, "order must be at least 1, not 0"),
        ({"order": 1.0}, TypeError, "order must be an integer, not 1.0"),
        ({"concentration": 0}, ValueError, "concentration must be above 0 and finite, not 0"),
        ({"concentration": np.inf}, ValueError, "concentration must be above 0 and finite, not inf"),
        ({"concentration": np.nan}, ValueError, "concentration must be above 0 and finite, not nan"),
        ({"concentration": None}, TypeError, "concentration must be a number, not None"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator, such as np.random.default_rng(0), not 0"),
    ],
)
def test_bad_arguments_of_random(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    default: dict[str, Any] = {"vocab_size": 3, "rng": np.random.default_rng(0)}
    with pytest.raises(error, match=f"^{re.escape(f'MarkovSource.random: {message}')}$"):
        MarkovSource.random(**default | arguments)
