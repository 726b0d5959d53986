"""What every source of tokens promises, and that its probabilities, as logits, reach its entropy."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Linear, OneHot, Sequential, SoftmaxCrossEntropy, TokenStream, evaluate, pad
from tinygrad_rnn.datasets import DyckSource, MarkovSource, ReberGrammar
from tinygrad_rnn.datasets.source import Source

SOURCES: dict[str, Callable[[], Any]] = {
    "chain": lambda: MarkovSource.random(5, rng=np.random.default_rng(7)),
    "chain of order 3": lambda: MarkovSource.random(3, order=3, concentration=0.3, rng=np.random.default_rng(7)),
    "reber": ReberGrammar,
    "embedded reber": lambda: ReberGrammar(embedded=True),
    "brackets": lambda: DyckSource(3, opening=0.4),
    "shallow brackets": lambda: DyckSource(2, opening=0.7, max_depth=2),
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> Any:
    return SOURCES[request.param]()


def documents(source: Any, count: int, seed: int) -> list[Any]:
    """Strings, or as many stretches of a chain."""
    rng = np.random.default_rng(seed)
    return (
        [source.sample(20, rng=rng) for _ in range(count)]
        if isinstance(source, MarkovSource)
        else source.sample(count, rng=rng)
    )


def logits_of(source: Source, ids: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(source.probabilities(ids))


def test_the_rng_determines_what_is_drawn(source: Any) -> None:
    one, same, two = (documents(source, 20, seed) for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [ids.tolist() for ids in one] != [ids.tolist() for ids in two]
    assert {ids.dtype for ids in one} == {np.dtype("int64")}
    assert {*np.concatenate(one).tolist()} == {*range(source.vocab_size)}


def test_probabilities_are_such_and_not_of_the_source_itself(source: Any) -> None:
    for ids in documents(source, 20, 0):
        rows = source.probabilities(ids)
        assert rows.shape == (len(ids), source.vocab_size)
        assert rows.dtype == "float64"
        assert rows.min() >= 0
        np.testing.assert_allclose(rows[:-1].sum(axis=1), 1, rtol=1e-12)
        assert rows[-1].sum() == (pytest.approx(1) if isinstance(source, MarkovSource) else 0)  # a string ends
        for t in (1, len(ids) // 2):
            np.testing.assert_array_equal(source.probabilities(ids[:t]), rows[:t])  # the future is not looked at
        rows[:] = -1
        assert source.probabilities(ids).min() >= 0


def test_no_beginning_is_empty(source: Any) -> None:
    none = np.zeros(0, np.uint8)
    assert source.probabilities(none).shape == (0, source.vocab_size)
    assert source.log_probability(none) == 0


def test_the_probability_of_a_beginning_is_the_product_of_its_tokens(source: Any) -> None:
    first = sum(np.exp(source.log_probability(np.array([v]))) for v in range(source.vocab_size))
    assert first == pytest.approx(1)
    for ids in documents(source, 20, 0):
        expected = source.log_probability(ids[:1]) + logits_of(source, ids)[np.arange(len(ids) - 1), ids[1:]].sum()
        assert source.log_probability(ids) == pytest.approx(expected, abs=1e-12)


def test_what_is_drawn_comes_as_often_as_its_probability_says(source: Any) -> None:
    count, N = 3000, 3
    drawn = [tuple(ids[:N].tolist()) for ids in documents(source, count, 0)]
    total = 0.0
    for ids in product(range(source.vocab_size), repeat=N):
        p = np.exp(source.log_probability(np.array(ids)))
        total += p
        assert abs(drawn.count(ids) - count * p) <= 5 * np.sqrt(count * p * (1 - p) + 1e-9)
    assert total == pytest.approx(np.mean([len(ids) >= N for ids in drawn]), abs=0.03)


@pytest.mark.parametrize("name", [name for name in SOURCES if "chain" not in name])
def test_strings_given_their_probabilities_as_logits_reach_the_entropy(name: str) -> None:
    source = SOURCES[name]()
    strings = source.sample(1500, rng=np.random.default_rng(0))
    logits, lengths = pad([logits_of(source, ids[:-1]) for ids in strings])
    targets, _ = pad([ids[1:] for ids in strings], fill=-1)
    loss = float(SoftmaxCrossEntropy()(logits, targets, lengths=lengths))
    costs, tokens = np.array([(-source.log_probability(ids), len(ids) - 1) for ids in strings]).T
    assert loss == pytest.approx(costs.sum() / tokens.sum(), rel=1e-12)

    def error(values: Any) -> float:
        return float(values.std() / np.sqrt(len(values)))

    assert abs(costs.mean() - source.string_entropy) < 4 * error(costs)
    assert abs(tokens.mean() + 1 - source.mean_length) < 4 * error(tokens)
    assert abs(loss - source.entropy) < 4 * error(costs - source.entropy * tokens) / tokens.mean()
    assert error(costs - source.entropy * tokens) / tokens.mean() < 0.03 * source.entropy


def table(transitions: Any) -> Sequential:
    """A model of one layer that looks its logits up: those of a chain."""
    V = len(transitions)
    layer = Linear(V, V, rng=np.random.default_rng(0))
    model = Sequential(OneHot(V), layer).to(dtype="float64")
    with np.errstate(divide="ignore"):
        layer.w.value = np.log(transitions)
    return model


def test_a_table_of_the_transitions_reaches_the_entropy() -> None:
    source = MarkovSource.random(6, concentration=0.5, rng=np.random.default_rng(3))
    model, blocks = table(source.transitions), 50
    ids = source.sample(100_000, rng=np.random.default_rng(0))
    loss = evaluate(model, TokenStream(ids, batch=1, steps=500))
    expected = source.log_probability(ids[:1]) - source.log_probability(ids)
    assert loss == pytest.approx(expected / (len(ids) - 1), rel=1e-12)
    losses = [evaluate(model, TokenStream(part, batch=1, steps=500)) for part in np.split(ids, blocks)]
    error = np.std(losses) / np.sqrt(blocks)
    assert abs(loss - source.entropy) < 4 * error
    assert error < 0.005 * source.entropy


@pytest.mark.parametrize(
    ("transitions", "cycle"),
    [
        # In each cycle every transition stands as often as the source gives it, so nothing is left to chance.
        ([[1 / 2, 1 / 2], [1 / 4, 3 / 4]], [0, 0, 1, 1, 1, 1]),
        ([[0, 1 / 2, 1 / 2], [1, 0, 0], [0, 1 / 2, 1 / 2]], [0, 1, 0, 2, 2, 1]),
    ],
)
def test_a_table_reaches_just_the_entropy_on_a_typical_text(transitions: Any, cycle: list[int]) -> None:
    source = MarkovSource(transitions)
    ids = np.array(cycle * 100 + cycle[:1])
    assert evaluate(table(source.transitions), TokenStream(ids, batch=1, steps=50)) == pytest.approx(
        source.entropy, rel=1e-12
    )


@pytest.mark.messages
def test_ids_that_are_none(source: Any) -> None:
    V, name = source.vocab_size, re.escape(repr(source))
    for method in (source.probabilities, source.log_probability):
        for wrong, came in (([0], "a list"), (np.zeros(2), "float64")):
            with pytest.raises(TypeError, match=f"^{name}: ids must be an integer array, not {came}$"):
                method(wrong)
        with pytest.raises(ValueError, match=rf"^{name}: ids has shape \(2, 1\), where \(N,\) was expected; give one"):
            method(np.zeros((2, 1), int))
        for id in (-1, V):
            with pytest.raises(
                ValueError, match=rf"^{name}: id {id} at position 1 is outside the vocabulary, 0 to {V - 1}$"
            ):
                method(np.array([0, id]))


@pytest.mark.messages
@pytest.mark.parametrize(
    ("source", "ids", "position"),
    [
        (ReberGrammar(), [0, 1, 1], 2),
        (ReberGrammar(), [1], 0),
        (ReberGrammar(embedded=True), [0, 1, 0, 2, 5, 5, 6, 2, 6], 7),
        (DyckSource(2, opening=0.3), [0, 1, 4, 0], 2),
        (DyckSource(2, opening=0.3), [0, 0, 0], 2),
        (DyckSource(2, opening=0.3, max_depth=1), [0, 1, 1], 2),
        (MarkovSource([[0, 1], [1, 0]]), [0, 1, 1, 0, 0], 2),
        (MarkovSource([[1, 0], [1, 0]]), [1, 0], 0),
        (MarkovSource([[[0, 1], [1, 0]], [[1, 0], [1, 0]]]), [1, 1, 0], 1),
    ],
)
def test_ids_that_never_come(source: Source, ids: list[int], position: int) -> None:
    message = f"{source!r}: id {ids[position]} at position {position} never occurs there; give ids that the source drew"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        source.probabilities(np.array(ids))
    assert source.log_probability(np.array(ids)) == -np.inf
    assert source.log_probability(np.array(ids[:position], int)) > -np.inf
    assert source.probabilities(np.array(ids[:position], int)).shape == (position, source.vocab_size)


@pytest.mark.messages
def test_bad_arguments_of_sample(source: Any, rng: np.random.Generator) -> None:
    name = "length" if isinstance(source, MarkovSource) else "count"
    assert len(source.sample(0, rng=rng)) == 0
    with pytest.raises(ValueError, match=f"^{re.escape(repr(source))}: {name} must be at least 0, not -1$"):
        source.sample(-1, rng=rng)
    with pytest.raises(TypeError, match=f"^{re.escape(repr(source))}: {name} must be an integer, not 2.0$"):
        source.sample(2.0, rng=rng)
    with pytest.raises(TypeError, match=f"^{re.escape(repr(source))}: rng must be a numpy.random.Generator"):
        source.sample(1, rng=0)


def test_rounding_draws_nothing_that_never_comes() -> None:
    largest = {"random": lambda self, size=(): np.full(size, 1 - 2**-53)[()]}  # of all below 1
    last = type("Last", (np.random.Generator,), largest)(np.random.PCG64(0))
    tenths = np.array([0.1] * 10 + [0.0])  # which added up in order are not above what is drawn
    chain = MarkovSource(np.tile(tenths, (11, 1)))
    assert chain.sample(3, rng=last).tolist() == [9, 9, 9]
    brackets = DyckSource(10, opening=0.7, max_depth=3)
    assert [ids.tolist() for ids in brackets.sample(1, rng=last)] == [[0, 0]]
