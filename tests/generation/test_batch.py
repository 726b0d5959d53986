from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from talkative import bigrams, network
from tinygrad_rnn.cells.rnn import RNNCell
from tinygrad_rnn.core.states import State
from tinygrad_rnn.data.char_tokenizer import CharTokenizer
from tinygrad_rnn.generation.text import generate_text
from tinygrad_rnn.generation.tokens import Token, generate, generate_samples
from tinygrad_rnn.layers.linear import Linear
from tinygrad_rnn.layers.one_hot import OneHot
from tinygrad_rnn.losses.softmax_cross_entropy import SoftmaxCrossEntropy
from tinygrad_rnn.models.sequential import Sequential
from tinygrad_rnn.optim.adagrad import Adagrad
from tinygrad_rnn.testing import StrictDevice

V = 6
FILTERS: list[dict[str, Any]] = [{}, {"temperature": 0.5, "top_k": 4, "top_p": 0.9, "min_p": 0.1}, {"temperature": 0}]


def texts(tokens: Iterable[Token], samples: int) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(samples)]
    for sample, chosen, _ in tokens:
        rows[sample].append(chosen)
    return rows


@pytest.mark.parametrize("options", FILTERS)
def test_each_sample_is_a_text_of_its_own_stream(options: dict[str, Any]) -> None:
    model = network(V)
    _, state = model(np.array([[2], [5]]))
    options = {"length": 30, "state": state, "stop": (1,), **options}
    streams = np.random.default_rng(7).spawn(4)
    expected = [list(generate(model, [3, 1, 4], rng=stream, **options)) for stream in streams]
    tokens = list(generate_samples(model, [3, 1, 4], samples=4, rng=np.random.default_rng(7), **options))
    assert texts(tokens, 4) == expected
    assert {(type(t.sample), type(t.id), type(t.log_prob)) for t in tokens} == {(int, int, float)}


def test_a_sample_does_not_depend_on_the_others() -> None:
    model = network(V)
    eight = texts(generate_samples(model, [0], samples=8, length=40, rng=np.random.default_rng(1)), 8)
    assert len(set(map(tuple, eight))) == 8
    for samples in (1, 3):
        fewer = texts(generate_samples(model, [0], samples=samples, length=40, rng=np.random.default_rng(1)), samples)
        assert fewer == eight[:samples]


def test_a_sample_that_ends_leaves_the_others_as_they_are_to_the_bit() -> None:
    def tokens(stop: tuple[int, ...]) -> list[Token]:
        return list(generate_samples(network(V), [0], samples=5, length=40, stop=stop, rng=np.random.default_rng(1)))

    whole, ended, expected = tokens(()), tokens((4,)), []
    over: set[int] = set()
    for token in whole:
        if token.id == 4:
            over.add(token.sample)
        if token.sample not in over:
            expected.append(token)
    assert ended == expected
    assert len(over) > 1


def test_the_order_is_by_step_and_within_it_by_sample(rng: np.random.Generator) -> None:
    tokens = list(generate_samples(network(V), [0], samples=3, length=4, rng=rng))
    assert [token.sample for token in tokens] == [0, 1, 2] * 4


def test_the_rng_is_spawned_from_and_not_advanced() -> None:
    rng = np.random.default_rng(2)
    before = rng.bit_generator.state
    first, second = (list(generate_samples(network(V), [0], samples=2, length=20, rng=rng)) for _ in range(2))
    assert first != second
    assert rng.bit_generator.state == before
    assert first == list(generate_samples(network(V), [0], samples=2, length=20, rng=np.random.default_rng(2)))


@pytest.mark.parametrize("options", FILTERS)
def test_log_probabilities_are_those_of_the_whole_distribution(options: dict[str, Any]) -> None:
    model, prompt = network(V).to(dtype="float64"), [2, 0]
    tokens = list(generate_samples(model, prompt, samples=3, length=12, rng=np.random.default_rng(4), **options))
    for b, text in enumerate(texts(tokens, 3)):
        given = [token.log_prob for token in tokens if token.sample == b]
        logits, _ = model(np.array(prompt + text)[:, None])
        for t, (chosen, log_prob) in enumerate(zip(text, given, strict=True), len(prompt) - 1):
            row = logits[t, 0].tolist()
            assert math.isclose(log_prob, row[chosen] - math.log(math.fsum(map(math.exp, row))), rel_tol=1e-9)
        criterion = SoftmaxCrossEntropy(reduction="sum")
        loss = criterion(logits[len(prompt) - 1 : -1], np.array(text)[:, None])
        assert math.isclose(-sum(given), loss, rel_tol=1e-9)


@pytest.mark.filterwarnings("error")
def test_log_probabilities_of_extreme_logits(rng: np.random.Generator) -> None:
    with np.errstate(all="raise"):
        for row, expected in (([-800.0, 800.0], 0.0), ([800.0, 800.0], -math.log(2)), ([-800.0, -800.0], -math.log(2))):
            (token,) = generate_samples(bigrams([row, row]), [0], samples=1, length=1, rng=rng)
            assert math.isclose(token.log_prob, expected)
    (token,) = generate_samples(bigrams([[0.0, 0.0]] * 2).to(dtype="float32"), [0], samples=1, length=1, rng=rng)
    assert token.log_prob == -math.log(2)  # in float64, whatever the model's


def test_what_a_row_that_has_ended_gives_does_not_matter(rng: np.random.Generator) -> None:
    model = bigrams([[0, 0, -800], [math.nan] * 3, [0, 0, 0]])  # only a stop id leads to what is not finite
    tokens = list(generate_samples(model, [0], samples=16, length=6, stop=(1,), rng=rng))
    assert {token.id for token in tokens} == {0}
    assert 6 < len(tokens) < 96
    with pytest.raises(ValueError, match="generate_samples: at step 1 the logit of id 0 is nan"):
        list(generate_samples(model, [0], samples=16, length=6, top_k=2, rng=np.random.default_rng(0)))


class Counted(RNNCell):
    """Notes the size of the batch of each step, and has no kernel that would take several."""

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> Any:
        assert not training
        self.taken = (*getattr(self, "taken", ()), x.shape[0])
        return super().step_forward(x, state, training=training)


def test_the_prompt_is_run_once(rng: np.random.Generator) -> None:
    model = Sequential(OneHot(V), cell := Counted(V, V, rng=rng))
    assert len(list(generate_samples(model, [3, 1, 2], samples=4, length=5, rng=rng))) == 20
    assert cell.taken == (1,) * 3 + (4,) * 4
    model = bigrams(1000 * np.roll(np.eye(V), 1, axis=1))  # counts up, so that all end at once
    assert texts(generate_samples(model, [0], samples=2, length=10**9, stop=(3,), rng=rng), 2) == [[1, 2], [1, 2]]
    assert list(generate_samples(model, [0], samples=2, length=0, rng=rng)) == []


def test_samples_of_a_model_on_another_device() -> None:
    """The strict device refuses every move that is not asked for."""
    expected = list(generate_samples(network(V), [2, 5], samples=3, length=9, rng=np.random.default_rng(5)))
    model = network(V).to(StrictDevice())
    assert list(generate_samples(model, [2, 5], samples=3, length=9, rng=np.random.default_rng(5))) == expected


def test_generation_does_not_disturb_training() -> None:
    def trained(generating: bool) -> Any:
        rng = np.random.default_rng(0)
        model = Sequential(OneHot(V), RNNCell(V, 8, rng=rng), Linear(8, V, rng=rng))
        criterion, optimizer = SoftmaxCrossEntropy(), Adagrad(model, lr=0.1)
        state: Any = None
        running = generate(model, [1], length=99, rng=np.random.default_rng(1))
        for step in range(12):
            ids = np.random.default_rng(step).integers(V, size=(5, 3))
            logits, state, cache = model.forward(ids[:-1], state)
            if generating:  # between a forward and its backward, from the state carried too, and by an open iterator
                next(running)
                row = (state[0], (state[1][0][:1],), state[2])
                tokens = generate_samples(model, [0, 2], samples=2, length=4, state=row, rng=rng)
                assert len(list(tokens)) == 8
            _, loss_cache = criterion.forward(logits, ids[1:])
            model.zero_grad()
            model.backward(criterion.backward(loss_cache), None, cache)
            optimizer.step()
        return model.flat_value, state[1][0], rng.random()

    for without, with_it in zip(trained(False), trained(True), strict=True):
        np.testing.assert_array_equal(with_it, without)


def one_text(model: Any, seed: int) -> list[int]:
    return list(generate(model, [1, seed % V], length=100, top_p=0.9, rng=np.random.default_rng(seed)))


def some_samples(model: Any, seed: int) -> list[Token]:
    rng = np.random.default_rng(seed)
    return list(generate_samples(model, [seed % V], samples=3, length=50, temperature=0.9, rng=rng))


def characters(model: Any, seed: int) -> list[str]:
    tokenizer, rng = CharTokenizer("abcdef"), np.random.default_rng(seed)
    prompt = "abcdef"[seed % V]
    return list(generate_text(model, tokenizer, prompt, length=100, stop=("fedcba",), temperature=2.0, rng=rng))


@pytest.mark.parametrize("work", [one_text, some_samples, characters])
def test_eight_threads_get_what_one_gets(work: Any) -> None:
    model, barrier = network(V), Barrier(8)

    def together(seed: int) -> Any:
        barrier.wait(timeout=60)
        return work(model, seed)

    alone = [work(model, seed) for seed in range(8)]
    assert all(a != b for a, b in combinations(alone, 2))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that each is interrupted anywhere, and not at a few places
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(together, range(8))) == alone
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"samples": 0}, ValueError, "generate_samples: samples must be at least 1, not 0"),
        ({"samples": 2.0}, TypeError, "generate_samples: samples must be an integer, not 2.0"),
        ({"ids": []}, ValueError, "the prompt is empty"),
        ({"length": -1}, ValueError, "length must be at least 0"),
        ({"min_p": 2}, ValueError, "min_p must be"),
        ({"stop": 3}, TypeError, "stop must be a collection of ids"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator"),
    ],
)
def test_bad_arguments_are_refused_by_the_call(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    rng = np.random.default_rng(0)
    given = {"ids": [0], "samples": 2, "length": 5, "rng": rng, **arguments}
    with pytest.raises(error, match=message):
        generate_samples(network(V), given.pop("ids"), **given)
    assert rng.bit_generator.seed_seq.n_children_spawned == 0  # type: ignore[attr-defined]
