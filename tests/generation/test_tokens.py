from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from talkative import bigrams, network
from tinygrad_rnn.cells.rnn import RNNCell
from tinygrad_rnn.core.roles import Recurrent
from tinygrad_rnn.core.rows import Rows
from tinygrad_rnn.core.states import State, StateSpec
from tinygrad_rnn.generation.sampling import token_probabilities
from tinygrad_rnn.generation.tokens import generate
from tinygrad_rnn.layers.linear import Linear
from tinygrad_rnn.layers.one_hot import OneHot
from tinygrad_rnn.models.sequential import Sequential
from tinygrad_rnn.testing import StrictDevice

V = 6
FILTERS: list[dict[str, Any]] = [{}, {"top_k": 2}, {"top_p": 0.7}, {"temperature": 0.5, "top_k": 4, "top_p": 0.9}]
FILTERS += [{"min_p": 0.3}, {"temperature": 2.0, "top_p": 0.9, "min_p": 0.5}]


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp((logit - max(logits)) / temperature) for logit in logits]
    return [power / math.fsum(powers) for power in powers]


def naive_probabilities(
    logits: list[float], temperature: float = 1.0, top_k: int = 99, top_p: float = 1.0, min_p: float = 0.0
) -> list[float]:
    kept = sorted(range(len(logits)), key=lambda v: (-logits[v], v))[:top_k]
    p = softmax([logits[v] for v in kept], temperature)
    count = 1
    while math.fsum(p[:count]) < top_p and count < len(p):
        count += 1
    left = {v: x for v, x in zip(kept[:count], p, strict=False) if x >= min_p * p[0]}
    return [left.get(v, 0.0) / math.fsum(left.values()) for v in range(len(logits))]


@given(
    logits=st.lists(st.floats(-5, 5).map(lambda x: round(x, 1)), min_size=1, max_size=7),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_k=st.integers(1, 8),
    top_p=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.03, 0.3, 1.0]),
)
@example(logits=[1.0, 1.0, 1.0, 1.0], temperature=1.0, top_k=3, top_p=0.6, min_p=1.0)
def test_probabilities_against_the_naive_filters(
    logits: list[float], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    sums = accumulate(softmax(sorted(logits, reverse=True)[:top_k], temperature))
    assume(top_p == 1 or all(abs(s - top_p) > 1e-9 for s in sums))  # else rounding decides whether one id more is kept
    options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    got = token_probabilities(np.array(logits, np.float32), **options)
    assert got.dtype == np.float64
    exact = [float(np.float32(logit)) for logit in logits]
    np.testing.assert_allclose(got, naive_probabilities(exact, **options), rtol=1e-12, atol=0)


def test_the_nucleus_is_the_fewest_ids_that_reach_top_p() -> None:
    logits = np.log([0.125, 0.5, 0.25, 0.125])
    nuclei: list[tuple[float, list[float]]] = [
        (0.01, [0, 1, 0, 0]),
        (0.49, [0, 1, 0, 0]),
        (0.51, [0, 2 / 3, 1 / 3, 0]),
        (0.76, [1 / 7, 4 / 7, 2 / 7, 0]),  # of the two that are equal, the lower id
        (1.0, [0.125, 0.5, 0.25, 0.125]),
    ]
    for top_p, expected in nuclei:
        np.testing.assert_allclose(token_probabilities(logits, top_p=top_p), expected, rtol=1e-12, err_msg=str(top_p))
    np.testing.assert_array_equal(token_probabilities(np.zeros(4), top_p=0.5), [0.5, 0.5, 0, 0])  # just enough
    # top_p comes after top_k: of 2/3 and 1/3, the first is enough for 0.6, as it is not of the whole distribution
    np.testing.assert_array_equal(token_probabilities(logits, top_k=2, top_p=0.6), [0, 1, 0, 0])


def test_min_p_is_a_share_of_the_largest_probability() -> None:
    logits = np.log([0.1, 0.5, 0.3, 0.1])
    for min_p, expected in ((0, [0.1, 0.5, 0.3, 0.1]), (0.19, [0.1, 0.5, 0.3, 0.1]), (0.21, [0, 0.625, 0.375, 0])):
        np.testing.assert_allclose(token_probabilities(logits, min_p=min_p), expected, rtol=1e-12, err_msg=str(min_p))
    np.testing.assert_array_equal(token_probabilities(np.array([2.0, 3, 3]), min_p=1), [0, 0.5, 0.5])  # all the largest
    # after the temperature, at which 0.3 is 0.36 of the largest and not 0.6
    np.testing.assert_array_equal(token_probabilities(logits, temperature=0.5, min_p=0.4), [0, 1, 0, 0])


@pytest.mark.filterwarnings("error")
def test_probabilities_of_extreme_logits() -> None:
    np.testing.assert_array_equal(token_probabilities(np.array([800.0, -800, 800])), [0.5, 0, 0.5])
    np.testing.assert_array_equal(token_probabilities(np.full(4, -800, np.float32), top_p=1.0), [0.25] * 4)
    with np.errstate(all="raise"):
        for temperature in (5e-324, 1e-300, 1e-3):
            got = token_probabilities(np.array([-800.0, 799, 800]), temperature=temperature)
            np.testing.assert_array_equal(got, [0, 0, 1])
    np.testing.assert_allclose(token_probabilities(np.array([-800.0, 800]), temperature=1e9), 0.5, rtol=1e-5)
    for options in ({}, {"top_k": 3, "top_p": 1}):
        greedy = token_probabilities(np.array([3.0, 7, 7]), temperature=0, **options)
        np.testing.assert_array_equal(greedy, [0, 1, 0])


def test_top_p_of_one_keeps_every_id() -> None:
    logits = np.array([0.0, -36.9, -37.5, -40])  # the sum is 1 long before the last
    np.testing.assert_array_equal(token_probabilities(logits, top_p=1.0), token_probabilities(logits))


def test_greedy_is_an_argmax_over_the_whole_sequence() -> None:
    for seed in range(5):
        model, text = network(V, seed), [1, 4]
        for _ in range(30):
            logits, _ = model(np.array(text)[:, None])
            text.append(int(np.argmax(logits[-1, 0])))
        assert list(generate(model, [1, 4], length=30, temperature=0, rng=np.random.default_rng(0))) == text[2:]
        assert list(generate(model, [1, 4], length=30, top_k=1, rng=np.random.default_rng(0))) == text[2:]


def test_greedy_takes_the_lowest_id_on_ties(rng: np.random.Generator) -> None:
    model = bigrams([[1, 2, 2], [0, 0, 0], [9, 9, 9]])
    assert list(generate(model, [0], length=3, temperature=0, rng=rng)) == [1, 0, 1]


@pytest.mark.parametrize("options", FILTERS)
def test_each_id_is_drawn_by_one_uniform_number(options: dict[str, Any]) -> None:
    model, rng, text = network(V), np.random.default_rng(7), [2]
    for u in np.random.default_rng(7).random(40):
        logits, _ = model(np.array(text)[:, None])
        p = naive_probabilities(logits[-1, 0].astype(float).tolist(), **options)
        text.append(next(v for v, upto in enumerate(accumulate(p)) if u < upto))
    assert list(generate(model, [2], length=40, rng=rng, **options)) == text[1:]
    same = np.random.default_rng(7)
    same.random(40)
    assert rng.bit_generator.state == same.bit_generator.state


@pytest.mark.parametrize("options", FILTERS)
def test_frequencies(options: dict[str, Any]) -> None:
    logits = np.random.default_rng(1).normal(size=(3, 3))
    text = np.array([0, *generate(bigrams(logits), [0], length=600, rng=np.random.default_rng(2), **options)])
    for v in range(3):
        after = text[1:][text[:-1] == v]
        p = np.array(naive_probabilities(logits[v].tolist(), **options))
        seen = np.bincount(after, minlength=3) / max(len(after), 1)
        assert not len(after) or (abs(seen - p) <= 4 * np.sqrt(p * (1 - p) / len(after))).all()


class Ends(np.random.Generator):
    """Gives the ends of what `random` may give."""

    end: float

    def random(self, *args: Any, **kwargs: Any) -> Any:
        return self.end


@pytest.mark.parametrize(("end", "drawn"), [(0.0, 1), (1 - 2.0**-53, 400)])
def test_no_number_draws_an_id_of_probability_zero(end: float, drawn: int) -> None:
    rng = Ends(np.random.PCG64(0))
    rng.end = end
    sums = []
    for seed in range(20):
        row = np.r_[-800, np.random.default_rng(seed).normal(size=drawn), -800]
        sums.append(np.cumsum(token_probabilities(row))[-1])
        assert next(generate(bigrams(np.tile(row, (2, 1))), [0], length=1, rng=rng)) == drawn
    assert drawn == 1 or min(sums) < 1  # by rounding: what random gives may be above it


def test_greedy_draws_nothing(rng: np.random.Generator) -> None:
    before = rng.bit_generator.state
    list(generate(network(V), [0], length=5, temperature=0, rng=rng))
    assert rng.bit_generator.state == before


def test_the_same_seed_gives_the_same_text() -> None:
    def text(seed: int) -> list[int]:
        return list(generate(network(V), [0], length=50, rng=np.random.default_rng(seed)))

    assert text(1) == text(1) != text(2)


def test_stop_ends_the_text_and_is_not_given(rng: np.random.Generator) -> None:
    model = bigrams(1000 * np.roll(np.eye(V), 1, axis=1))  # counts up
    stops: list[Any] = [(4,), [4, 0], {np.int64(4)}, np.array([4])]
    for stop in stops:
        assert list(generate(model, [0], length=9, stop=stop, rng=rng)) == [1, 2, 3]
    assert list(generate(model, [0], length=9, stop=(1,), rng=rng)) == []
    assert list(generate(model, [0], length=0, rng=rng)) == []
    assert list(generate(model, [4], length=3, stop=(4,), rng=rng)) == [5, 0, 1]  # a stop id in the prompt is no end


def test_a_state_goes_on_from_it_and_nothing_given_is_changed(rng: np.random.Generator) -> None:
    model, ids = network(V), np.array([3, 1, 4], np.uint8)
    before = [parameter.value.copy() for parameter in model.parameters()]
    _, state = model(np.array([[2], [5]]))
    kept = state[1][0].copy()
    for array in (ids, state[1][0]):
        array.flags.writeable = False
    text = list(generate(model, ids, length=20, state=state, rng=np.random.default_rng(5)))
    assert text == list(generate(model, [2, 5, 3, 1, 4], length=20, rng=np.random.default_rng(5)))
    assert text != list(generate(model, ids, length=20, rng=np.random.default_rng(5)))
    np.testing.assert_array_equal(state[1][0], kept)
    for parameter, value in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.value, value)
        assert parameter._grad is None


def test_two_texts_at_once_do_not_disturb_each_other() -> None:
    model = network(V)
    alone = list(generate(model, [1], length=10, rng=np.random.default_rng(0)))
    one = generate(model, [1], length=10, rng=np.random.default_rng(0))
    two = generate(model, [2], length=10, rng=np.random.default_rng(0))
    assert [a for a, _ in zip(one, two, strict=True)] == alone
    assert all(type(i) is int for i in alone)


def test_a_model_on_another_device(rng: np.random.Generator) -> None:
    """The strict device refuses every move that is not asked for."""
    expected = list(generate(network(V), [2, 5, 3], length=20, top_p=0.9, rng=np.random.default_rng(5)))
    device = StrictDevice()
    model = network(V).to(device)
    _, state = model(device.asarray([[2], [5]]))
    for prompt, before in (([2, 5, 3], None), ([3], state)):
        text = generate(model, prompt, length=20, state=before, top_p=0.9, rng=np.random.default_rng(5))
        assert list(text) == expected
    with pytest.raises(ValueError, match="outside the vocabulary, 0 to 5"):  # the layer could not see it there
        generate(model, [V], length=1, rng=rng)
    with pytest.raises(TypeError, match=r"device\.to_host"):
        generate(model, device.asarray([3]), length=1, rng=rng)


class Counted(RNNCell):
    """Notes the size of the batch of each step, and has no kernel that would take several."""

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> Any:
        assert not training
        self.taken = (*getattr(self, "taken", ()), x.shape[0])
        return super().step_forward(x, state, training=training)


def test_a_long_prompt_takes_little_memory(rng: np.random.Generator) -> None:
    """Not that of all its steps, which would be 60 MB; and it gives what its steps give."""
    model = Sequential(OneHot(65), RNNCell(65, 128, rng=rng), Linear(128, 65, rng=rng))
    prompt = rng.integers(0, 65, 30_000)
    tracemalloc.start()
    (chosen,) = generate(model, prompt, length=1, temperature=0, rng=rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    ys, _ = model(prompt[:, None])
    assert chosen == ys[-1, 0].argmax()


def test_there_is_no_step_after_the_last_id(rng: np.random.Generator) -> None:
    for length in (0, 1, 5):
        model = Sequential(OneHot(V), cell := Counted(V, V, rng=rng))
        assert len(list(generate(model, [3, 1], length=length, rng=rng))) == length
        assert cell.taken == (1,) * (2 + max(length - 1, 0))


def test_a_model_that_is_moved_in_between(rng: np.random.Generator) -> None:
    """It takes its state no longer, and says so; one whose weights change goes on with these."""
    model = network(V)
    ids = generate(model, [2], length=3, temperature=0, rng=rng)
    next(ids)
    model.flat_value[...] = 0
    model.parameters()[-1].value[4] = 1  # the offset of the linear layer
    assert next(ids) == 4
    model.to(dtype="float32" if model.dtype == "float64" else "float64")
    with pytest.raises(TypeError, match=r"state\[.*but the parameters are"):
        next(ids)


class Backwards(Recurrent):
    """Not causal."""

    causal = False
    takes_ids = True

    @property
    def state_spec(self) -> StateSpec:
        return ()

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> Any:
        raise AssertionError("step was called")

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> Any:
        raise AssertionError

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> Any:
        return np.zeros((*xs.shape, 3)), (), None

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> Any:
        raise AssertionError


def diverged(row: list[float]) -> tuple[Sequential, NDArray[Any]]:
    """A model whose logits are of `row` two steps after the prompt."""
    return bigrams([[0, 9, 0], [0, 0, 9], row]), np.array([0])


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ids": []}, ValueError, "generate: the prompt is empty: give at least one id"),
        ({"ids": np.zeros((2, 3), int)}, ValueError, r"generate: ids has shape \(2, 3\), expected \(N,\): one prompt"),
        ({"ids": 3}, ValueError, r"ids has shape \(\), expected \(N,\)"),
        ({"ids": [0.5]}, TypeError, "ids must be an integer array, not float64"),
        ({"ids": "ab"}, ValueError, r"ids has shape \(\)"),
        ({"ids": [1, V]}, ValueError, r"id 6 at index \(1,\) is outside the vocabulary, 0 to 5"),
        ({"ids": [-1]}, ValueError, r"id -1 at index \(0,\) is outside"),
        ({"length": -1}, ValueError, "generate: length must be at least 0, not -1"),
        ({"length": 2.0}, TypeError, "generate: length must be an integer, not 2.0"),
        ({"temperature": -0.1}, ValueError, "temperature must be at least 0, which is greedy, not -0.1"),
        ({"temperature": math.nan}, ValueError, "temperature must be at least 0, which is greedy, not nan"),
        ({"top_k": 0}, ValueError, "generate: top_k must be at least 1, not 0"),
        ({"top_k": 2.5}, TypeError, "generate: top_k must be an integer, not 2.5"),
        ({"top_p": 0.0}, ValueError, "top_p must be above 0 and at most 1, which keeps every id, not 0.0"),
        ({"top_p": 1.5}, ValueError, "top_p must be above 0 and at most 1, which keeps every id, not 1.5"),
        ({"top_p": math.nan}, ValueError, "top_p must be above 0 and at most 1, which keeps every id, not nan"),
        ({"min_p": -0.1}, ValueError, "min_p must be at least 0, which keeps every id, and at most 1, not -0.1"),
        ({"min_p": math.nan}, ValueError, "min_p must be at least 0, which keeps every id, and at most 1, not nan"),
        ({"stop": 3}, TypeError, r"generate: stop must be a collection of ids, such as \(3,\), not 3"),
        ({"stop": "\n"}, TypeError, r"generate: stop must be a collection of ids"),
        ({"rng": 0}, TypeError, "generate: rng must be a numpy.random.Generator"),
        ({"rng": 0, "temperature": 0}, TypeError, "generate: rng must be a numpy.random.Generator"),
        ({"state": ()}, TypeError, r"state must be \(\(\), \(h,\), \(\)\), a tuple of 3, not a tuple of 0"),
        ({"state": ((), (np.zeros((2, 8), np.float32),), ())}, ValueError, r"has shape \(2, 8\), expected \(1, 8\)"),
        ({"model": OneHot(3)}, TypeError, r"model must be a Recurrent, such as Sequential, not OneHot\(3\)"),
        (
            {"model": RNNCell(3, 3, rng=np.random.default_rng(0))},
            TypeError,
            "Put OneHot or Embedding before it for ids",
        ),
        ({"model": Backwards()}, ValueError, r"Backwards\(\) has no step"),
    ],
)
def test_bad_arguments_are_refused_by_the_call(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"model": network(V), "ids": [0], "length": 5, "rng": np.random.default_rng(0), **arguments}
    with pytest.raises(error, match=message):
        generate(given.pop("model"), given.pop("ids"), **given)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -1}, "temperature must"),
        ({"top_k": 0}, "top_k must"),
        ({"top_p": 2}, "top_p must"),
        ({"min_p": 2}, "min_p must"),
    ],
)
def test_bad_arguments_of_the_probabilities(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        token_probabilities(np.zeros(3), **arguments)


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite(wrong: float, temperature: float, rng: np.random.Generator) -> None:
    model, ids = diverged([0, wrong, wrong])
    text: Iterator[int] = generate(model, ids, length=5, temperature=temperature, top_k=1, rng=rng)
    assert list(islice(text, 2)) == [1, 2]
    message = f"generate: at step 2 the logit of id 1 is {wrong}, and 2 of 3 are not finite: the model has diverged"
    with pytest.raises(ValueError, match=message):
        next(text)
