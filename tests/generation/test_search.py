from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkative import bigrams, with_large_weights
from tinygrad_rnn.cells.gru import GRUCell
from tinygrad_rnn.cells.lstm import LSTMCell
from tinygrad_rnn.cells.rnn import RNNCell
from tinygrad_rnn.core.parameter import Parameter
from tinygrad_rnn.core.roles import Recurrent
from tinygrad_rnn.core.rows import Rows
from tinygrad_rnn.core.states import Leaf, State, StateSpec, tree_map
from tinygrad_rnn.generation.greedy import greedy_search
from tinygrad_rnn.generation.search import Hypothesis, beam_search
from tinygrad_rnn.generation.tokens import generate
from tinygrad_rnn.layers.embedding import Embedding
from tinygrad_rnn.layers.linear import Linear
from tinygrad_rnn.layers.one_hot import OneHot
from tinygrad_rnn.losses.softmax_cross_entropy import SoftmaxCrossEntropy
from tinygrad_rnn.models.sequential import Sequential
from tinygrad_rnn.testing import StrictDevice

V = 6


def lstm(rng: np.random.Generator) -> Sequential:
    return Sequential(OneHot(V), LSTMCell(V, 8, rng=rng), Linear(8, V, rng=rng))


def gru(rng: np.random.Generator) -> Sequential:
    return Sequential(Embedding(V, 3, rng=rng), GRUCell(3, 8, rng=rng), Linear(8, V, rng=rng))


def stacked(rng: np.random.Generator) -> Sequential:
    cells = Sequential(RNNCell(V, 8, rng=rng), LSTMCell(8, 5, rng=rng))
    return Sequential(OneHot(V), cells, Linear(5, V, rng=rng))


MODELS = [lstm, gru, stacked]


def network(make: Any = lstm, seed: int = 3) -> Sequential:
    """Random weights large enough for its ids to vary."""
    rng = np.random.default_rng(seed)
    return with_large_weights(make(rng), rng)


def likely(size: int, after: dict[int, dict[int, float]]) -> Sequential:
    """A model of these probabilities; what is not named is next to impossible."""
    p = np.full((size, size), 1e-30)
    for v, follows in after.items():
        for w, probability in follows.items():
            p[v, w] = probability
    return bigrams(np.log(p))


class Reader(Recurrent):
    """Logits (B, V) looked up in a memory (B, S, V) of its state, at a place (B,) that all ids so far decide."""

    takes_ids = True

    def __init__(self, memory: Any) -> None:
        self.memory = Parameter(memory)
        self.in_size = self.out_size = memory.shape[1]

    @property
    def state_spec(self) -> StateSpec:
        memory = Leaf("memory", self.memory.shape, initial=self.memory)
        return Leaf("place", (), integer=True), (memory, Leaf("flags", (), initial=1, integer=True))

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> Any:
        place, (memory, flags) = state
        place = (5 * place + x + 1) % memory.shape[1]
        return memory[np.arange(len(x)), place], (place, (memory, flags)), None

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> Any:
        raise AssertionError

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> Any:
        ys = []
        for x in xs:
            y, state, _ = self.step_forward(x, state)
            ys.append(y)
        return np.stack(ys), state, None

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> Any:
        raise AssertionError


def reader(size: int, seed: int) -> Reader:
    return Reader(2 * np.random.default_rng(seed).standard_normal((1009, size)))


def log_likelihood(model: Any, prompt: list[int], ids: list[int], state: Any = None) -> float:
    """Of `ids` after the prompt, from one run of all of them, number by number."""
    logits, _ = model(np.array(prompt + ids)[:, None], state)
    rows = logits[len(prompt) - 1 :, 0].astype(float).tolist()
    return math.fsum(row[v] - math.log(math.fsum(map(math.exp, row))) for row, v in zip(rows, ids, strict=False))


def penalised(log_prob: float, size: int, alpha: float) -> float:
    return log_prob / (math.pow(5 + size, alpha) / math.pow(5 + 1, alpha))


def endings(model: Any, prompt: list[int], length: int, stop: set[int], alpha: float, state: Any) -> list[Hypothesis]:
    """Every hypothesis there is: all sequences of all lengths, less those that go on after a stop id or end early."""
    found = []
    for size in range(length + 1):
        for ids in map(list, product(range(model.in_size), repeat=size)):
            stops = [v in stop for v in ids]
            if any(stops[:-1]) or not (size == length or any(stops)):
                continue
            log_prob = log_likelihood(model, prompt, ids, state)
            text = ids[:-1] if any(stops) else ids
            found.append(Hypothesis(text, log_prob, penalised(log_prob, size, alpha)))
    return sorted(found, key=lambda h: -h.score)


def naive_beams(
    model: Any, prompt: list[int], width: int, length: int, stop: set[int], alpha: float, state: Any
) -> list[Hypothesis]:
    """The definition, run to the end: no step is saved, and each beam's log-probability begins at the prompt."""
    running: list[list[int]] = [[]]
    done: list[tuple[list[int], float]] = []
    for _ in range(length):
        every = [[*beam, v] for beam in running for v in range(model.in_size)]
        scored = sorted((-log_likelihood(model, prompt, ids, state), ids) for ids in every)
        running = []
        for negative, ids in scored[:width]:
            if ids[-1] in stop:
                done.append((ids, -negative))
            else:
                running.append(ids)
    done += [(ids, log_likelihood(model, prompt, ids, state)) for ids in running]
    found = []
    for ids, log_prob in done:
        text = [v for v in ids if v not in stop]
        found.append(Hypothesis(text, log_prob, penalised(log_prob, len(ids), alpha)))
    return sorted(found, key=lambda h: -h.score)[:width]


def assert_same(got: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [h.ids for h in got] == [h.ids for h in expected]
    np.testing.assert_allclose([h[1:] for h in got], [h[1:] for h in expected], rtol=1e-12, atol=1e-12)


SMALL: dict[str, Any] = {
    "size": st.integers(1, 4),
    "length": st.integers(0, 4),
    "seed": st.integers(0, 10**6),
    "stop": st.sets(st.integers(0, 3), max_size=2),
    "alpha": st.sampled_from([0.0, 0.6, 1.0, 3.0]),
    "prompt": st.lists(st.just(0), min_size=1, max_size=3),
}


@given(**SMALL, width=st.integers(1, 6))
def test_beams_against_their_definition(
    size: int, length: int, seed: int, stop: set[int], alpha: float, prompt: list[int], width: int
) -> None:
    model = reader(size, seed)
    _, state = model(np.array([[0]]))
    for before in (None, state):
        got = beam_search(model, prompt, width=width, length=length, state=before, stop=stop, length_penalty=alpha)
        assert_same(got, naive_beams(model, prompt, width, length, stop, alpha, before))


@given(**SMALL)
def test_a_beam_wide_enough_is_exhaustive(
    size: int, length: int, seed: int, stop: set[int], alpha: float, prompt: list[int]
) -> None:
    model = reader(size, seed)
    every = endings(model, prompt, length, stop, alpha, None)
    for width in (size**length, 1000):
        assert_same(beam_search(model, prompt, width=width, length=length, stop=stop, length_penalty=alpha), every)


@given(**SMALL, width=st.integers(1, 6))
def test_a_narrow_beam_gives_some_of_all_that_there_are(
    size: int, length: int, seed: int, stop: set[int], alpha: float, prompt: list[int], width: int
) -> None:
    model = reader(size, seed)
    every = endings(model, prompt, length, stop, alpha, None)
    found = beam_search(model, prompt, width=width, length=length, stop=stop, length_penalty=alpha)
    assert len(found) == min(width, len(every))
    scores = {(*h.ids, round(h.log_prob, 9)): h.score for h in every}
    for best, h in zip(every, found, strict=False):
        assert math.isclose(h.score, scores.pop((*h.ids, round(h.log_prob, 9))), rel_tol=1e-12, abs_tol=1e-12)
        assert h.score <= best.score + 1e-12  # so the best found is at most the best there is, the second likewise


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize(("stop", "alpha"), [((), 0.0), ((4,), 0.0), ((4, 2), 0.7), ((1,), 3.0)])
def test_several_prompts_give_what_each_gives_alone(make: Any, stop: Any, alpha: float) -> None:
    model, rng = network(make).to(dtype="float64"), np.random.default_rng(3)
    prompts = rng.integers(V, size=(3, 7))
    _, state = model(rng.integers(V, size=(2, 7)))
    for width in (1, 3, 8):
        for before in (None, state):
            options: Any = {"width": width, "length": 9, "stop": stop, "length_penalty": alpha}
            found = beam_search(model, prompts, state=before, **options)
            assert len(found) == 7
            for b, hypotheses in enumerate(found):
                row = None if before is None else tree_map(lambda array, b=b: array[b : b + 1], before)
                assert_same(hypotheses, beam_search(model, prompts[:, b], state=row, **options))
    assert len({tuple(hypotheses[0].ids) for hypotheses in found}) > 1


def test_a_prompt_that_has_ended_takes_no_more_steps() -> None:
    model, cell = counted(np.roll(9 * np.eye(5), 1, axis=1))  # counts up: the searches end one after another
    found = beam_search(model, [[0, 1, 2, 3]], width=1, length=10**6, stop=(4,))
    assert [[h.ids for h in hypotheses] for hypotheses in found] == [[[1, 2, 3]], [[2, 3]], [[3]], [[]]]
    assert cell.taken == (4, 3, 2, 1)
    model, cell = counted(np.zeros((4, 4)))
    assert [len(hypotheses) for hypotheses in beam_search(model, [[0, 1]], width=3, length=3)] == [3, 3]
    assert cell.taken == (2, 6, 6)


@pytest.mark.parametrize("make", MODELS)
def test_a_beam_of_one_is_greedy(make: Any, rng: np.random.Generator) -> None:
    ended = 0
    for seed in range(12):
        model = network(make, seed)
        _, state = model(np.array([[2], [5]]))
        for before, stop, alpha in ((None, (), 0.0), (state, (1, 4), 0.0), (None, (3,), 2.0)):
            options: Any = {"length": 20, "state": before, "stop": stop}
            expected = list(generate(model, [3, 1], temperature=0, rng=rng, **options))
            (found,) = beam_search(model, [3, 1], width=1, length_penalty=alpha, **options)
            assert greedy_search(model, np.array([[3], [1]]), **options) == [expected] == [found.ids]
            assert {type(v) for v in found.ids} <= {int}
            ended += len(expected) < 20
    assert 5 < ended < 35


@pytest.mark.parametrize("make", MODELS)
def test_greedy_rows_are_those_of_their_own_prompts(make: Any, rng: np.random.Generator) -> None:
    model = network(make).to(dtype="float64")
    prompts = rng.integers(V, size=(3, 9))
    _, state = model(rng.integers(V, size=(2, 9)))
    rows = greedy_search(model, prompts, length=15, state=state, stop=(4, 2))
    lone = []
    for b in range(9):
        row = tree_map(lambda array, b=b: array[b : b + 1], state)
        lone.append(list(generate(model, prompts[:, b], length=15, state=row, stop=(4, 2), temperature=0, rng=rng)))
    assert rows == lone
    assert len({len(row) for row in rows}) > 2
    one = greedy_search(model, prompts[0], length=15, stop=(4, 2))
    assert one == greedy_search(model, prompts[:1], length=15, stop=(4, 2))
    assert one == [list(generate(model, [v], length=15, stop=(4, 2), temperature=0, rng=rng)) for v in prompts[0]]


def test_greedy_of_a_state_with_a_memory() -> None:
    model = reader(4, 1)
    rng = np.random.default_rng(2)
    memory = 2 * rng.standard_normal((5, 1009, 4))
    state = (np.zeros(5, np.int64), (memory, np.zeros(5, np.int8)))
    rows = greedy_search(model, np.zeros(5, np.uint8), length=6, state=state, stop=[np.int64(3)])
    for b, row in enumerate(rows):
        lone = (np.zeros(1, np.int64), (memory[b : b + 1], np.zeros(1, np.int8)))
        (found,) = beam_search(model, [0], width=1, length=6, state=lone, stop=(3,))
        assert row == found.ids
    assert len(set(map(tuple, rows))) > 2


@pytest.mark.parametrize("make", MODELS)
def test_log_probabilities_are_the_cross_entropy(make: Any) -> None:
    criterion, prompt = SoftmaxCrossEntropy(reduction="sum"), [2, 0]
    ended = 0
    for seed in range(6):
        model = network(make, seed).to(dtype="float64")
        found = beam_search(model, prompt, width=7, length=9, stop=(5,), length_penalty=0.7)
        assert len(found) == 7
        for h in found:
            targets = h.ids if len(h.ids) == 9 else [*h.ids, 5]
            logits, _ = model(np.array([prompt + targets[:-1]]).T)
            loss = criterion(logits[len(prompt) - 1 :], np.array([targets]).T)
            assert math.isclose(-h.log_prob, loss, rel_tol=1e-12)
            assert math.isclose(h.score, h.log_prob / ((5 + len(targets)) / 6) ** 0.7, rel_tol=1e-12)
            ended += len(h.ids) < 9
    assert 6 < ended < 36


def test_log_probabilities_are_in_float64() -> None:
    model = bigrams(np.zeros((3, 3))).to(dtype="float32")
    (found,) = beam_search(model, [0], width=1, length=1)
    assert found == ([0], -math.log(3), -math.log(3))


def test_a_wider_beam_finds_what_a_greedy_search_misses() -> None:
    model = likely(5, {0: {1: 0.6, 2: 0.4}, 1: {3: 0.5, 4: 0.5}, 2: {3: 1.0}})
    (greedy,) = beam_search(model, [0], width=1, length=2)
    best, second = beam_search(model, [0], width=2, length=2)
    assert (greedy.ids, best.ids, second.ids) == ([1, 3], [2, 3], [1, 3])
    np.testing.assert_allclose([greedy.log_prob, best.log_prob], np.log([0.3, 0.4]))


def test_a_wider_beam_may_find_less() -> None:
    """What follows 2 crowds out 1, which would have gone on with certainty."""
    quarters = dict.fromkeys(range(9, 13), 0.25)
    after = {0: {1: 0.55, 2: 0.45}, 1: dict.fromkeys(range(3, 7), 0.25), 2: {7: 0.5, 8: 0.5}}
    model = likely(13, after | {v: {9: 1.0} for v in range(3, 7)} | {7: quarters, 8: quarters})
    narrow, wide = (beam_search(model, [0], width=width, length=3)[0] for width in (1, 2))
    assert (narrow.ids, wide.ids) == ([1, 3, 9], [2, 7, 9])
    assert wide.score < narrow.score


def test_finished_beams_are_set_aside() -> None:
    """After 0, 3 ends at once; 1 and 2 go on, and 1 ends after a second."""
    model = likely(4, {0: {3: 0.5, 1: 0.3, 2: 0.2}, 1: {3: 0.9, 2: 0.1}, 2: {3: 0.05, 2: 0.95}})
    found = beam_search(model, [0], width=3, length=3, stop=(3,))
    assert [h.ids for h in found] == [[], [1], [2, 2, 2]]
    np.testing.assert_allclose([h.log_prob for h in found], np.log([0.5, 0.27, 0.2 * 0.95 * 0.95]))
    assert [h.score for h in found] == [h.log_prob for h in found]
    # by scores that fall less with the length, what has not ended is better than what has
    found = beam_search(model, [0], width=3, length=3, stop=(3,), length_penalty=4)
    assert [h.ids for h in found] == [[2, 2, 2], [], [1]]
    expected = np.log([0.2 * 0.95 * 0.95, 0.5, 0.27]) / (np.array([8, 6, 7]) / 6) ** 4
    np.testing.assert_allclose([h.score for h in found], expected)


def test_several_stop_ids_at_the_first_step() -> None:
    model = likely(4, {0: {3: 0.5, 1: 0.3, 2: 0.2}})
    found = beam_search(model, [0], width=3, length=5, stop=(1, 3, 2))
    assert [h.ids for h in found] == [[], [], []]
    np.testing.assert_allclose([h.log_prob for h in found], np.log([0.5, 0.3, 0.2]))
    found[0].ids.append(9)
    assert found[1].ids == []  # each has a list of its own


class Counted(RNNCell):
    """Notes the size of the batch of each step, and has no kernel that would take several."""

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> Any:
        assert not training
        self.taken = (*getattr(self, "taken", ()), x.shape[0])
        return super().step_forward(x, state, training=training)


def counted(logits: Any) -> tuple[Sequential, Counted]:
    """As `bigrams`, and its cell: which gives the rows of its weights as they are, for ids."""
    rows = np.asarray(logits, np.float64)
    size = len(rows)
    rng = np.random.default_rng(0)
    cell = Counted(size, size, rng=rng, nonlinearity="relu")
    output = Linear(size, size, rng=rng)
    model = Sequential(OneHot(size), cell, output).to(dtype="float64")
    cell.w_x.value, cell.w_h.value, cell.b.value = np.eye(size), np.zeros((size, size)), np.zeros(size)
    output.w.value, output.b.value = rows, np.zeros(size)
    return model, cell


def test_the_search_ends_when_no_beam_can_win() -> None:
    logits = np.log([[0.3, 0.3, 0.4]] * 3)  # 2 ends
    model, cell = counted(logits)
    found = beam_search(model, [0], width=2, length=50, stop=(2,))
    assert [h.ids for h in found] == [[], [0]]
    assert cell.taken == (1, 1)  # [0, 0] has the probability 0.09 then, and [0] ended with 0.12
    # With a penalty a beam might win until, after n ids, it can only score n ln 0.3 / (55 / 6), less than the second
    # that ended, ln 0.12 / (7 / 6): after 14.
    model, cell = counted(logits)
    assert [h.ids for h in beam_search(model, [0], width=2, length=50, stop=(2,), length_penalty=1)] == [[], [0]]
    assert cell.taken == (1,) * 14
    model, cell = counted(np.zeros((3, 3)))  # a beam as likely as the last that ended cannot win either
    assert [h.ids for h in beam_search(model, [0], width=2, length=50, stop=(1,))] == [[], [0]]
    assert cell.taken == (1, 1)


def test_there_is_no_step_after_the_last_id_and_the_prompt_is_run_once() -> None:
    logits = np.zeros((4, 4))
    for length, taken in ((0, [1] * 3), (1, [1] * 3), (4, [1, 1, 1, 3, 3, 3])):
        model, cell = counted(logits)
        assert len(beam_search(model, [3, 1, 2], width=3, length=length)[0].ids) == length
        assert list(cell.taken) == taken
    for length, taken in ((0, [5, 5]), (1, [5, 5]), (3, [5] * 4)):
        model, cell = counted(logits)
        assert greedy_search(model, np.ones((2, 5), int), length=length) == [[0] * length] * 5
        assert list(cell.taken) == taken
    model, cell = counted(np.roll(9 * np.eye(4), 1, axis=1))  # counts up: the rows end one after another
    assert greedy_search(model, [0, 1, 2], length=10**9, stop=(3,)) == [[1, 2], [2], []]
    assert cell.taken == (3,) * 3
    model, cell = counted([[0, 0, 0, 9]] * 4)
    assert beam_search(model, [0], width=1, length=10**9, stop=(3,), length_penalty=1)[0].ids == []
    assert cell.taken == (1,)


def test_beams_refill_the_batch() -> None:
    """One is left after the first step, but what follows it is again as many as `width`."""
    rows = [[0.02, 0.03, 0.05, 0.45, 0.45], [0.1, 0.3, 0.4, 0.1, 0.1], [0.1, 0.4, 0.3, 0.1, 0.1]]
    model, cell = counted(np.log([*rows, *rows[1:]]))
    found = beam_search(model, [0], width=2, length=4, stop=(3, 4), length_penalty=30)
    assert [h.ids for h in found] == [[], []]
    assert cell.taken == (1,)  # none is left
    model, cell = counted(np.log([*rows, *rows[1:]]))
    found = beam_search(model, [0], width=3, length=4, stop=(3, 4), length_penalty=30)
    assert [len(h.ids) for h in found] == [4, 4, 4]
    assert cell.taken == (1, 1, 3, 3)


def test_ties_go_to_the_lower_id_and_then_to_the_earlier_beam() -> None:
    model = bigrams(np.zeros((4, 4)))
    found = beam_search(model, [0], width=3, length=1)
    assert [h.ids for h in found] == [[0], [1], [2]]
    found = beam_search(model, [0], width=3, length=2)
    assert [h.ids for h in found] == [[0, 0], [1, 0], [2, 0]]
    assert [h.ids for h in beam_search(model, [0], width=6, length=2)] == [
        [0, 0],
        [1, 0],
        [2, 0],
        [3, 0],
        [0, 1],
        [1, 1],
    ]
    found = beam_search(model, [0], width=5, length=2, stop=(0,))
    assert [h.ids for h in found] == [[], [1], [2], [3], [1, 1]]  # what is finished comes before what is not
    rows = [[0, 5, 5], [5, 0, 5], [5, 5, 0]]
    assert greedy_search(bigrams(rows), [0, 1, 2], length=2) == [[1, 0], [0, 1], [0, 1]]


def test_of_equal_scores_the_first_that_ended_stays() -> None:
    """The second step is certain, so that [1] and [2] end a step after [], as likely as it."""
    model = bigrams([[-800, 0, 0, 0], *[[-800, -800, -800, 0]] * 3])
    found = beam_search(model, [0], width=3, length=5, stop=(3,))
    assert [h.ids for h in found] == [[], [1], [2]]
    assert [h.log_prob for h in found] == [-math.log(3)] * 3
    assert [h.ids for h in beam_search(model, [0], width=2, length=5, stop=(3,))] == [[1], [2]]  # 3 is the highest id


def test_more_beams_than_sequences() -> None:
    model = bigrams([[0.0, 0.0]] * 2)
    assert [h.ids for h in beam_search(model, [0], width=99, length=2)] == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert [h.ids for h in beam_search(bigrams([[3.0]]), [0], width=5, length=3)] == [[0, 0, 0]]


def test_length_zero_is_one_empty_hypothesis() -> None:
    for alpha in (0, 1.5):
        assert beam_search(network(), [1], width=3, length=0, length_penalty=alpha) == [([], 0.0, 0.0)]
    assert greedy_search(network(), [1, 2], length=0) == [[], []]


def test_a_batch_of_none() -> None:
    assert greedy_search(network(), np.zeros(0, int), length=5) == []
    assert greedy_search(network(), np.zeros((3, 0), int), length=5) == []
    assert beam_search(network(), np.zeros((3, 0), int), width=2, length=5) == []


def test_a_stop_id_in_the_prompt_is_no_end() -> None:
    model = bigrams(9 * np.roll(np.eye(4), 1, axis=1))
    assert greedy_search(model, [3], length=3, stop=(3,)) == [[0, 1, 2]]
    assert beam_search(model, [3], width=2, length=3, stop=(3,))[0].ids == [0, 1, 2]


def test_nothing_given_is_changed() -> None:
    model, ids = network(), np.array([3, 1, 4], np.uint8)
    before = [parameter.value.copy() for parameter in model.parameters()]
    _, state = model(np.array([[2], [5]]))
    kept = [array.copy() for array in state[1]]
    for array in (ids, *state[1]):
        array.flags.writeable = False
    found = beam_search(model, ids, width=4, length=8, state=state)
    assert_same(found, beam_search(model, [2, 5, 3, 1, 4], width=4, length=8))
    assert found != beam_search(model, ids, width=4, length=8)
    assert greedy_search(model, ids[:, None], length=8, state=state) == greedy_search(
        model, np.array([[2, 5, 3, 1, 4]]).T, length=8
    )
    for array, value in zip(state[1], kept, strict=True):
        np.testing.assert_array_equal(array, value)
    for parameter, value in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.value, value)
        assert parameter._grad is None


@pytest.mark.parametrize("make", MODELS)
def test_a_model_on_another_device(make: Any) -> None:
    """The strict device refuses every move that is not asked for."""
    options: Any = {"length": 12, "stop": (1,)}
    model = network(make).to(dtype="float64")  # for a prompt in two parts is the same to rounding
    beams = beam_search(model, [2, 5, 3], width=4, **options)
    rows = greedy_search(model, [[2, 3], [0, 1]], **options)
    device = StrictDevice()
    model.to(device)
    assert beam_search(model, [2, 5, 3], width=4, **options) == beams
    assert greedy_search(model, [[2, 3], [0, 1]], **options) == rows
    _, state = model(device.asarray([[2], [5]]))
    assert_same(beam_search(model, [3], width=4, state=state, **options), beams)
    for found in beam_search(model, [[2, 2], [5, 5], [3, 3]], width=4, **options):
        assert_same(found, beams)
    with pytest.raises(ValueError, match="outside the vocabulary, 0 to 5"):  # the layer could not see it there
        greedy_search(model, [0, V], length=1)


def test_extreme_logits() -> None:
    with np.errstate(all="raise"):
        for row, expected in (([-800.0, 800.0], [0.0, -1600.0]), ([800.0, 800.0], [-math.log(2)] * 2)):
            found = beam_search(bigrams([row, row]), [0], width=2, length=1)
            np.testing.assert_allclose([h.log_prob for h in found], expected)
        found = beam_search(bigrams([[-1e308, 1e308]] * 2), [0], width=4, length=2, length_penalty=0.5)
    assert [h.ids for h in found] == [[1, 1], [1, 0], [0, 0], [0, 1]]
    assert [h.score for h in found] == [0, -math.inf, -math.inf, -math.inf]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite(wrong: float) -> None:
    model = bigrams([[0, 9, 0], [0, 0, 9], [0, wrong, wrong]])
    message = f"at step 1 the logit of id 1 is {wrong}, and 2 of 3 are not finite: the model has diverged"
    with pytest.raises(ValueError, match=f"greedy_search: {message}"):
        greedy_search(model, [0, 1], length=5)
    with pytest.raises(ValueError, match=f"beam_search: {message}"):
        beam_search(model, [1], width=2, length=5)
    with pytest.raises(ValueError, match="beam_search: at step 1 the logit of id 1"):
        beam_search(model, [[0, 1]], width=2, length=5)
    assert greedy_search(model, [0, 1], length=2, stop=(2,)) == [[1], []]  # a row that has ended does not matter
    assert [h.ids for h in beam_search(model, [1], width=1, length=5, stop=(2,))] == [[]]


class Backwards(Reader):
    """Not causal."""

    causal = False

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> Any:
        raise AssertionError("step was called")


BOTH: list[Any] = [
    ({"length": -1}, ValueError, "length must be at least 0, not -1"),
    ({"length": 2.0}, TypeError, "length must be an integer, not 2.0"),
    ({"stop": 3}, TypeError, r"stop must be a collection of ids, such as \(3,\), not 3"),
    ({"model": OneHot(3)}, TypeError, r"model must be a Recurrent, such as Sequential, not OneHot\(3\)"),
]
OF_THE_MODEL: list[Any] = [
    ({"ids": [0.5]}, TypeError, "ids must be an integer array, not float64"),
    ({"state": ()}, TypeError, r"state must be \(\(\), \(h, c\), \(\)\), a tuple of 3, not a tuple of 0"),
    ({"state": ((), (np.zeros((2, 8), np.float32),) * 2, ())}, ValueError, r"has shape \(2, 8\), expected \(1, 8\)"),
    ({"model": RNNCell(3, 3, rng=np.random.default_rng(0))}, TypeError, "Put OneHot or Embedding before it for ids"),
    ({"model": Backwards(np.zeros((5, 3)))}, ValueError, "has no step"),
]


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        *((arguments, error, f"greedy_search: {message}") for arguments, error, message in BOTH),
        *OF_THE_MODEL,
        ({"ids": 3}, ValueError, r"greedy_search: ids has shape \(\), expected \(B,\), one id per row, or \(N, B\)"),
        ({"ids": np.zeros((1, 2, 3), int)}, ValueError, r"greedy_search: ids has shape \(1, 2, 3\)"),
        ({"ids": np.zeros((0, 2), int)}, ValueError, "greedy_search: the prompt is empty: give at least one id"),
        ({"ids": [1, V]}, ValueError, r"id 6 at index \(0, 1\) is outside the vocabulary, 0 to 5"),
        ({"ids": [[1], [-1]]}, ValueError, r"id -1 at index \(1, 0\) is outside the vocabulary, 0 to 5"),
    ],
)
def test_bad_arguments_of_a_greedy_search(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"model": network(), "ids": [0], "length": 5, **arguments}
    with pytest.raises(error, match=message):
        greedy_search(given.pop("model"), given.pop("ids"), **given)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        *((arguments, error, f"beam_search: {message}") for arguments, error, message in BOTH),
        *OF_THE_MODEL,
        ({"ids": []}, ValueError, "beam_search: the prompt is empty: give at least one id"),
        ({"ids": np.zeros((1, 2, 3), int)}, ValueError, r"beam_search: ids has shape \(1, 2, 3\), expected \(N,\)"),
        ({"ids": 3}, ValueError, r"beam_search: ids has shape \(\), expected \(N,\), one prompt, or \(N, B\)"),
        ({"ids": np.zeros((0, 2), int)}, ValueError, "beam_search: the prompt is empty"),
        ({"ids": [1, V]}, ValueError, r"id 6 at index \(1,\) is outside the vocabulary, 0 to 5"),
        ({"width": 0}, ValueError, "beam_search: width must be at least 1, not 0"),
        ({"width": 2.0}, TypeError, "beam_search: width must be an integer, not 2.0"),
        (
            {"length_penalty": -0.1},
            ValueError,
            "length_penalty must be at least 0, which is none, and finite, not -0.1",
        ),
        (
            {"length_penalty": math.nan},
            ValueError,
            "length_penalty must be at least 0, which is none, and finite, not n",
        ),
        (
            {"length_penalty": math.inf},
            ValueError,
            "length_penalty must be at least 0, which is none, and finite, not i",
        ),
        (
            {"length_penalty": 1e300},
            ValueError,
            r"beam_search: length_penalty 1e\+300 is too large for 5 ids; 0.6 is usual",
        ),
        ({"length_penalty": "1"}, TypeError, "beam_search: length_penalty must be a number, not '1'"),
    ],
)
def test_bad_arguments_of_a_beam_search(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"model": network(), "ids": [0], "width": 2, "length": 5, **arguments}
    with pytest.raises(error, match=message):
        beam_search(given.pop("model"), given.pop("ids"), **given)
