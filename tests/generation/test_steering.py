from __future__ import annotations

import math
import re
from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from talkative import bigrams, network
from tinygrad_rnn.data.byte_tokenizer import ByteTokenizer
from tinygrad_rnn.data.char_tokenizer import CharTokenizer
from tinygrad_rnn.generation.steering import Steering
from tinygrad_rnn.generation.text import generate_text
from tinygrad_rnn.generation.tokens import generate, generate_samples
from tinygrad_rnn.testing import StrictDevice

V = 6
WISHES: list[dict[str, Any]] = [
    {"banned": (2, 4)},
    {"banned": [(1, 3), 5, [0]]},
    {"bias": {1: 2.5, 4: -1}},
    {"bias": np.linspace(-1, 2, V)},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.6},
    {"stop": (0, 3), "min_length": 12},
    {"banned": (2, (4, 4)), "bias": {4: 2}, "repetition_penalty": 1.3, "stop": (1,), "min_length": 5},
]
FILTERS: list[dict[str, Any]] = [{}, {"temperature": 0.7, "top_k": 3, "top_p": 0.9, "min_p": 0.05}, {"temperature": 0}]


def naive_scores(logits: list[float], ids: list[int], drawn: int, wishes: dict[str, Any]) -> list[float]:
    scores = []
    for v, logit in enumerate(logits):
        if v in ids:
            penalty = wishes.get("repetition_penalty", 1.0)
            logit = logit / penalty if logit > 0 else logit * penalty
        bias = wishes.get("bias", {})
        logit += bias.get(v, 0) if isinstance(bias, dict) else float(bias[v])
        for entry in wishes.get("banned", ()):
            sequence = [entry] if isinstance(entry, int) else list(entry)
            if [*ids, v][-len(sequence) :] == sequence:
                logit = -math.inf
        if v in wishes.get("stop", ()) and drawn < wishes.get("min_length", 0):
            logit = -math.inf
        scores.append(logit)
    return scores


def naive_draw(
    scores: list[float], u: float, temperature: float = 1, top_k: int = 99, top_p: float = 1, min_p: float = 0
) -> int:
    best = max(scores)
    if temperature == 0:
        return scores.index(best)
    order = sorted(range(len(scores)), key=lambda v: (-scores[v], v))[:top_k]
    p = {v: math.exp((scores[v] - best) / temperature) for v in order}
    p = {v: x / math.fsum(p.values()) for v, x in p.items()}
    upto = [0.0, *accumulate(p.values())]
    p = {v: x for (v, x), before in zip(p.items(), upto, strict=False) if before < top_p and x >= min_p * p[order[0]]}
    shares = [p.get(v, 0.0) / math.fsum(p.values()) for v in range(len(scores))]
    return next(v for v, s in enumerate(accumulate(shares)) if u < s)


def naive(model: Any, prompt: list[int], length: int, wishes: dict[str, Any], filters: dict[str, Any], rng: Any) -> Any:
    ids = list(prompt)
    for t in range(length):
        logits, _ = model(np.array(ids)[:, None])
        scores = naive_scores(logits[-1, 0].tolist(), ids, t, wishes)
        chosen = naive_draw(scores, rng.random() if filters.get("temperature", 1) else 0.0, **filters)
        if chosen in wishes.get("stop", ()):
            break
        ids.append(chosen)
    return ids[len(prompt) :]


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("wishes", WISHES)
def test_texts_against_the_naive_ones(
    wishes: dict[str, Any], filters: dict[str, Any], pytestconfig: pytest.Config
) -> None:
    for seed in range(4 if pytestconfig.getoption("--long") else 2):
        model = network(V, seed).to(dtype="float64")
        expected = naive(model, [3, 1], 30, wishes, filters, np.random.default_rng(seed))
        options = {**wishes, **filters}
        assert list(generate(model, [3, 1], length=30, rng=np.random.default_rng(seed), **options)) == expected
        assert len(expected) >= wishes.get("min_length", 0)
        (stream,) = np.random.default_rng(seed).spawn(1)
        first = list(generate(model, [3, 1], length=30, rng=stream, **options))
        rows: list[list[int]] = [[], [], []]
        for b, chosen, _ in generate_samples(
            model, [3, 1], samples=3, length=30, rng=np.random.default_rng(seed), **options
        ):
            rows[b].append(chosen)
        assert rows[0] == first
        for row, rng in zip(rows, np.random.default_rng(seed).spawn(3), strict=True):
            assert row == naive(model, [3, 1], 30, wishes, filters, rng)


def test_log_probabilities_are_those_of_the_model(rng: np.random.Generator) -> None:
    model = bigrams(np.log([[0.7, 0.2, 0.1]] * 3))
    wishes: Any = {"banned": (0,), "bias": {2: 3}, "repetition_penalty": 2}
    for token in generate_samples(model, [0], samples=4, length=5, rng=rng, **wishes):
        assert math.isclose(token.log_prob, math.log([0.7, 0.2, 0.1][token.id]))


def test_the_penalty_makes_what_has_occurred_less_likely_whatever_its_sign(rng: np.random.Generator) -> None:
    for row in ([2.0, 1.5, 1], [-1.0, -1.5, -2.0]):  # 0, which is in the prompt, would be the likeliest for ever
        text = list(generate(bigrams([row] * 3), [0], length=2, temperature=0, repetition_penalty=2.5, rng=rng))
        assert text == [1, 2]


def test_wishes_that_change_nothing_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def text(**options: Any) -> list[int]:
        return list(generate(network(V), [1], length=20, rng=np.random.default_rng(0), **options))

    plain = text()
    changed = text(bias=np.zeros(V))
    monkeypatch.setattr(Steering, "scores", None)
    assert text(banned=[], bias=None, repetition_penalty=1, min_length=9) == plain == changed
    assert len(text(stop=(3,))) <= 20
    with pytest.raises(TypeError):
        text(banned=(0,))


def test_on_another_device() -> None:
    expected = list(generate(network(V), [2], length=20, rng=np.random.default_rng(5), **WISHES[-1]))
    model = network(V).to(StrictDevice())
    assert list(generate(model, [2], length=20, rng=np.random.default_rng(5), **WISHES[-1])) == expected


def text_of(tokenizer: Any, size: int, prompt: str = "ab", **options: Any) -> str:
    return "".join(generate_text(network(size), tokenizer, prompt, length=300, rng=np.random.default_rng(1), **options))


def test_banned_texts() -> None:
    tokenizer = CharTokenizer("abcde", special=("<end>",))
    banned = ("e", "bb", "abc", "cd")
    free = text_of(tokenizer, V, temperature=4.0)
    assert all(text in "ab" + free for text in banned)
    text = "ab" + text_of(tokenizer, V, banned=(*banned, 0), temperature=4.0)
    assert len(text) == 302
    assert not any(s in text for s in (*banned, "<end>"))
    assert not text_of(tokenizer, V, prompt="ab", banned=("abc",)).startswith("c")  # with the end of the prompt


def test_banned_characters_of_several_bytes() -> None:
    tokenizer, rows = ByteTokenizer(), np.full((256, 256), -30.0)
    euro = "€".encode()
    for before, after in zip(b" " + euro, euro + b" ", strict=False):
        rows[before, after] = 9
    rows[euro[-1], ord(" ")] = 9
    rows[:, ord("x")] = 3
    rows[ord("x"), ord(" ")] = 9
    options: Any = {"length": 20, "temperature": 0, "rng": np.random.default_rng(0)}
    assert "€" in "".join(generate_text(bigrams(rows), tokenizer, " ", **options))
    assert "€" not in "".join(generate_text(bigrams(rows), tokenizer, " ", banned=("€",), **options))


def test_a_bias_on_characters_and_a_minimum_length() -> None:
    tokenizer = CharTokenizer("abcde", special=("<end>",))
    assert set(text_of(tokenizer, V, bias={"c": 999.0})) == {"c"}
    assert set(text_of(tokenizer, V, bias={3: 999.0})) == {"c"}
    assert text_of(tokenizer, V, bias={"c": 9, 0: 999}, end=0) == ""
    assert text_of(tokenizer, V, bias={"c": 500.0, 0: 999}, end=0, min_length=4) == "cccc"
    assert text_of(tokenizer, V, bias={"c": 500.0, 0: 999}, end=0, min_length=4, stop=("cc",)) == ""
    assert text_of(tokenizer, V, repetition_penalty=3.0) != text_of(tokenizer, V)


def test_every_id_is_banned(rng: np.random.Generator) -> None:
    message = "generate: at step 0 every id is banned. Ban fewer; before there are min_length ids, those of stop are"
    with pytest.raises(ValueError, match=re.escape(message)):
        list(generate(network(V), [0], length=3, banned=range(V), rng=rng))
    rows = 9 * np.roll(np.eye(2), 1, axis=1)
    text = generate(bigrams(rows), [0], length=3, banned=((0, 1), (0, 0)), rng=rng)
    with pytest.raises(ValueError, match="at step 0 every id"):
        next(text)
    text = generate(bigrams(rows), [0], length=3, banned=(0,), stop=(1,), min_length=1, rng=rng)
    with pytest.raises(ValueError, match="generate: at step 0 every id"):
        next(text)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"banned": 3}, TypeError, "banned must be a collection of ids, such as (3,), not 3"),
        ({"banned": (V,)}, ValueError, "an id of banned is 6, outside the vocabulary, 0 to 5"),
        ({"banned": (-1,)}, ValueError, "an id of banned must be at least 0, not -1"),
        ({"banned": ((1, 0.5),)}, TypeError, "an id of banned must be an integer, not 0.5"),
        ({"banned": ((),)}, ValueError, "banned holds an empty sequence; leave it out"),
        ({"bias": {V: 1.0}}, ValueError, "an id of bias is 6, outside the vocabulary, 0 to 5"),
        ({"bias": {1: "a"}}, TypeError, "a number of bias must be a number, not 'a'"),
        ({"bias": {1: -math.inf}}, ValueError, "the bias of id 1 is -inf, but must be finite; banned rules an id out"),
        ({"bias": np.zeros(3)}, ValueError, "bias has shape (3,), expected (6,): a number for each id"),
        ({"bias": np.zeros(V, complex)}, TypeError, "bias must hold numbers, not complex128"),
        ({"bias": 2.0}, TypeError, "bias must be a mapping from ids to numbers, such as {3: -2.0}, or an array (V,)"),
        ({"repetition_penalty": 0}, ValueError, "repetition_penalty must be above 0, and finite; 1 is none. It is 0"),
        ({"repetition_penalty": math.nan}, ValueError, "repetition_penalty must be above 0"),
        ({"repetition_penalty": "2"}, TypeError, "repetition_penalty must be a number, not '2'"),
        ({"min_length": -1}, ValueError, "min_length must be at least 0, not -1"),
        ({"min_length": 1.5}, TypeError, "min_length must be an integer, not 1.5"),
    ],
)
def test_bad_wishes_are_refused_by_the_call(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(error, match=re.escape(f"generate: {message}")):
        generate(network(V), [0], length=2, rng=rng, **arguments)
    with pytest.raises(error, match=re.escape(f"generate_samples: {message}")):
        generate_samples(network(V), [0], samples=2, length=2, rng=rng, **arguments)
    assert rng.bit_generator.seed_seq.n_children_spawned == 0  # type: ignore[attr-defined]


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"banned": "a"}, TypeError, "banned is the str 'a'; write banned=('a',)"),
        ({"banned": 3}, TypeError, "banned must be a collection of str, such as ('z',), not 3"),
        ({"banned": ("",)}, ValueError, "banned has '', which is not in the vocabulary; leave it out"),
        ({"banned": ("ax",)}, ValueError, "banned has 'ax', which is not in the vocabulary; leave it out"),
        ({"banned": (9,)}, ValueError, "an id of banned is 9, outside the vocabulary, 0 to 5"),
        ({"bias": {"ab": 1.0}}, ValueError, "bias has 'ab', which is 2 ids; give those of one id"),
        ({"bias": {"x": 1.0}}, ValueError, "bias has 'x', which is not in the vocabulary; leave it out"),
        ({"bias": {"a": None}}, TypeError, "a number of bias must be a number, not None"),
    ],
)
def test_bad_wishes_for_a_text(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    tokenizer = CharTokenizer("abcde", special=("<unk>",), unknown="<unk>")
    with pytest.raises(error, match=re.escape(f"generate_text: {message}")):
        generate_text(network(V), tokenizer, "a", length=2, rng=np.random.default_rng(0), **arguments)
