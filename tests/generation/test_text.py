from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn.cells.rnn import RNNCell
from tinygrad_rnn.data.char_tokenizer import CharTokenizer
from tinygrad_rnn.generation.text import _before_stop, _whole_characters, generate_text
from tinygrad_rnn.generation.tokens import generate
from tinygrad_rnn.layers.embedding import Embedding
from tinygrad_rnn.layers.linear import Linear
from tinygrad_rnn.layers.one_hot import OneHot
from tinygrad_rnn.models.sequential import Sequential

SPECIAL = ("<start>", "<end>")


class Bytes:
    """UTF-8, the ids of bytes after those of special tokens; bytes that are no text are decoded as `errors` says."""

    def __init__(self, errors: str = "replace") -> None:
        self.errors = errors

    def encode(self, text: str) -> Any:
        return np.frombuffer(text.encode(errors=self.errors), np.uint8).astype(np.uint16) + len(SPECIAL)

    def decode(self, ids: Any) -> str:
        tokens = [SPECIAL[i].encode() if i < len(SPECIAL) else bytes([i - len(SPECIAL)]) for i in map(int, ids)]
        return b"".join(tokens).decode(errors=self.errors)


class Words:
    """Decodes by what is before a word: a space stands between two."""

    def encode(self, text: str) -> Any:
        return np.array([ord(word) for word in text.split()])

    def decode(self, ids: Any) -> str:
        return " ".join(map(chr, ids))


def pieces_of(tokenizer: Any, ids: Any, prompt: Any = ()) -> list[str]:
    return list(_whole_characters(tokenizer, list(prompt), iter(ids)))


REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(f"aé€😀{REPLACEMENT}")


@pytest.mark.parametrize("errors", ["replace", "surrogateescape", "strict"])
@given(text=TEXTS, prompt=TEXTS)
def test_each_character_comes_whole(errors: str, text: str, prompt: str) -> None:
    tokenizer = Bytes(errors)
    pieces = pieces_of(tokenizer, tokenizer.encode(text).tolist(), tokenizer.encode(prompt).tolist())
    assert "".join(pieces) == text
    assert "" not in pieces
    if REPLACEMENT not in text + prompt:  # of which bytes could be the first part
        assert pieces == list(text)  # as soon as it is whole


@pytest.mark.parametrize("errors", ["replace", "surrogateescape"])
@given(data=st.lists(st.sampled_from([*b"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\xff"]) | st.integers(0, 255)))
def test_bytes_that_are_no_text_are_given_as_they_are_decoded_together(errors: str, data: list[int]) -> None:
    tokenizer, ids = Bytes(errors), [byte + len(SPECIAL) for byte in data]
    assert "".join(pieces_of(tokenizer, ids)) == tokenizer.decode(ids)


def test_bytes_that_are_no_text_are_not_held_back_for_ever() -> None:
    for errors in ("replace", "surrogateescape"):
        pieces = _whole_characters(Bytes(errors), [], (0xFF + len(SPECIAL) for _ in count()))
        assert list(islice(pieces, 200)) == [bytes([0xFF]).decode(errors=errors)] * 200


@pytest.mark.parametrize("errors", ["replace", "surrogateescape", "strict"])
def test_many_replacement_characters_in_a_text(errors: str) -> None:
    text = "a" + 40 * REPLACEMENT + "é"
    assert "".join(pieces_of(Bytes(errors), Bytes().encode(text).tolist())) == text


def test_a_strict_tokenizer_raises_for_what_is_no_text() -> None:
    assert pieces_of(Bytes("strict"), [*Bytes().encode("a😀")][:-1]) == ["a"]  # cut: what is whole
    for wrong in (b"a\xff", b"\xf0\x9fa"):
        with pytest.raises(UnicodeDecodeError):
            pieces_of(Bytes("strict"), [byte + len(SPECIAL) for byte in wrong])


@given(text=st.text("ab\N{REPLACEMENT CHARACTER}\ud800\udc80\udcff😀"))
def test_characters_that_look_unfinished_come_through(text: str) -> None:
    tokenizer = CharTokenizer("ab\N{REPLACEMENT CHARACTER}\ud800\udc80\udcff😀")
    assert "".join(pieces_of(tokenizer, tokenizer.encode(text).tolist())) == text


def test_what_a_tokenizer_puts_between_words() -> None:
    assert pieces_of(Words(), map(ord, "bcd"), [ord("a")]) == [" b", " c", " d"]
    assert pieces_of(Words(), map(ord, "bcd")) == ["b", " c", " d"]
    assert pieces_of(Words(), map(ord, "b\N{REPLACEMENT CHARACTER}d"), [ord("a")]) == [
        " b",
        " ",
        "\N{REPLACEMENT CHARACTER} d",
    ]


def naive_before_stop(text: str, stop: list[str]) -> str:
    for n in range(len(text) + 1):
        ended = [s for s in stop if text[:n].endswith(s)]
        if ended:
            return text[: n - max(map(len, ended))]
    return text


STOPS = [[], ["a"], ["aab"], ["abab"], ["bab", "aba"], ["aabb", "ab"], ["abba", "bb", "b"], ["babb", "abaa"]]


@pytest.mark.parametrize("stop", STOPS)
def test_stop_strings_against_the_naive_search(stop: list[str]) -> None:
    for text in map("".join, product("ab", repeat=8)):
        for size in (1, 2, 3, 8):
            pieces = list(_before_stop([text[i : i + size] for i in range(0, 8, size)], stop))
            assert "".join(pieces) == naive_before_stop(text, stop)
            assert "" not in pieces


@pytest.mark.parametrize("stop", STOPS)
def test_what_is_held_back_is_what_may_become_a_stop_string(stop: list[str]) -> None:
    for text in map("".join, product("ab", repeat=8)):
        given: list[str] = []

        def characters(text: str = text, given: list[str] = given) -> Iterator[str]:
            for n, character in enumerate(text):
                begun = (i for i in range(n) if any(s.startswith(text[i:n]) for s in stop))
                assert "".join(given) == text[: next(begun, n)]
                yield character

        for piece in _before_stop(characters(), stop):
            given.append(piece)
        assert "".join(given) == naive_before_stop(text, stop)


def network(size: int) -> Sequential:
    """Random weights large enough for its text to vary."""
    rng = np.random.default_rng(0)
    model = Sequential(OneHot(size), RNNCell(size, 8, rng=rng), Linear(8, size, rng=rng))
    for parameter in model.parameters():
        parameter.value = rng.standard_normal(parameter.shape)
    return model


def counting(tokenizer: CharTokenizer) -> Sequential:
    """A model that gives the ids in their order, round and round."""
    V = len(tokenizer)
    table = Embedding(V, V, rng=np.random.default_rng(0))
    table.w.value = 1000 * np.roll(np.eye(V), 1, axis=1)
    return Sequential(table)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5, "top_k": 9, "top_p": 0.9, "min_p": 0.01}])
def test_the_text_is_that_of_the_ids(options: dict[str, Any]) -> None:
    tokenizer = CharTokenizer("abcde\n😀", special=SPECIAL)
    model, prompt = network(len(tokenizer)), [0, *tokenizer.encode("ab")]
    ids = list(generate(model, prompt, length=99, stop=(1,), rng=np.random.default_rng(11), **options))
    assert len(ids) > 5

    def pieces(*stop: str) -> list[str]:
        rng = np.random.default_rng(11)
        return list(generate_text(model, tokenizer, "ab", length=99, start=0, end=1, stop=stop, rng=rng, **options))

    assert pieces() == [tokenizer.decode([i]) for i in ids]
    text = tokenizer.decode(ids)
    assert "".join(pieces(text[3:6], "never")) == text[: text.index(text[3:6])]


def test_text_of_bytes_is_that_of_the_ids() -> None:
    tokenizer, size = Bytes(), 256 + len(SPECIAL)
    model = network(size)
    ids = list(generate(model, tokenizer.encode("é"), length=500, rng=np.random.default_rng(3)))
    text = "".join(generate_text(model, tokenizer, "é", length=500, rng=np.random.default_rng(3)))
    assert text == tokenizer.decode(ids)


def test_start_end_and_stop(rng: np.random.Generator) -> None:
    tokenizer = CharTokenizer("abcd", special=SPECIAL)
    model = counting(tokenizer)

    def text(prompt: str, **options: Any) -> str:
        return "".join(generate_text(model, tokenizer, prompt, **{"length": 9, "rng": rng, **options}))

    assert text("a") == "bcd<start><end>abcd"
    assert text("a", end=0) == "bcd"
    assert text("", start=1, end=np.int64(0)) == "abcd"
    assert text("", start=np.int64(1), length=2) == "ab"
    assert text("a", stop=("cd",)) == "b"
    assert text("a", stop=["d<sta", "zz"]) == "bc"  # over several ids, one of them special
    assert text("ab", stop=("bc",)) == "cd<start><end>a"  # the prompt is not looked at
    assert text("a", stop=("bcd<start><end>x",)) == "bcd<start><end>abcd"  # held back, and not a stop string
    assert text("a", stop=("abcde",)) == "bcd<start><end>abcd"  # held back up to the end
    assert text("a", length=0) == ""


def test_nothing_is_drawn_after_a_stop_string() -> None:
    tokenizer, rng = CharTokenizer("abcd", special=SPECIAL), np.random.default_rng(0)
    list(generate_text(counting(tokenizer), tokenizer, "a", length=99, stop=("cd",), rng=rng))
    same = np.random.default_rng(0)
    same.random(3)
    assert rng.bit_generator.state == same.bit_generator.state


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"prompt": ""}, ValueError, "generate_text: the prompt is empty: give a text, or start, the id of a token"),
        ({"prompt": "Zoë"}, ValueError, r"CharTokenizer.encode: 'Z' \(U\+005A\) at position 0 is not one of the"),
        ({"tokenizer": str}, TypeError, "tokenizer must have encode and decode, as CharTokenizer, not <class 'str'>"),
        (
            {"start": "<start>"},
            TypeError,
            r"start must be the id of a token, such as tokenizer.id_of\('<start>'\), not",
        ),
        (
            {"end": "<end>"},
            TypeError,
            r"end must be the id of a token, such as tokenizer.id_of\('<end>'\), not '<end>'",
        ),
        ({"start": 99}, ValueError, "id 99 at index .* is outside the vocabulary"),
        ({"stop": "ab"}, TypeError, r"generate_text: stop is the str 'ab'; write stop=\('ab',\)"),
        ({"stop": (3,)}, TypeError, "stop holds 3, not a str; the id of a token is given as end"),
        ({"stop": ("a", "")}, ValueError, "a stop string is empty; leave it out"),
        ({"min_p": 2}, ValueError, "generate_text: min_p must be"),
        ({"length": -1}, ValueError, "generate_text: length must be"),
        ({"rng": 0}, TypeError, "generate_text: rng must be a numpy.random.Generator"),
    ],
)
def test_bad_arguments_are_refused_by_the_call(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    tokenizer = CharTokenizer("abcd", special=SPECIAL)
    given = {"tokenizer": tokenizer, "prompt": "a", "length": 5, "rng": np.random.default_rng(0), **arguments}
    with pytest.raises(error, match=message):
        generate_text(counting(tokenizer), given.pop("tokenizer"), given.pop("prompt"), **given)
