from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn
from tinygrad_rnn.data.word_tokenizer import WordTokenizer, _tokens

LETTERS = "ab_1 .,\n\té\u0301ि\u200c\u200d👩\ufe0f\ud800\udc00\U0010ffff"
TEXTS = st.text(st.sampled_from(LETTERS) | st.characters(exclude_categories=()))


def cut(text: str) -> list[str]:
    """The rule, a character at a time."""
    tokens: list[str] = []
    last = ""
    for character in text:
        mark = unicodedata.category(character)[0] == "M" or character in "\u200c\u200d"
        kind = "space" if character == " " else "blank" if character.isspace() else "symbol"
        kind = "word" if character.isalnum() or character == "_" else kind
        joined = kind == last == "symbol" and tokens[-1][-1] == "\u200d"
        if (mark and last in ("word", "symbol")) or (kind in ("word", "space") and kind == last) or joined:
            tokens[-1] += character
        else:
            tokens.append(character)
            last = kind
    return tokens


@given(text=TEXTS, special=st.sampled_from([(), ("<s>", "<e>")]))
def test_decode_inverts_encode(text: str, special: tuple[str, ...]) -> None:
    tokenizer = WordTokenizer.from_text(text, special=special)
    ids = tokenizer.encode(text)
    assert [tokenizer.decode([i]) for i in ids.tolist()] == cut(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.special == (*special, "<unk>")
    assert [tokenizer.id_of(t) for t in (*tokenizer.special, *tokenizer.words)] == list(range(len(tokenizer)))
    config = json.loads(json.dumps(tokenizer.config(), ensure_ascii=False))
    assert WordTokenizer(**config) == tokenizer


@given(text=st.text("ab .", min_size=1), size=st.integers(1, 8))
def test_the_most_frequent_are_known(text: str, size: int) -> None:
    tokens = cut(text)
    counts = Counter(tokens)
    expected = sorted(counts, key=lambda token: (-counts[token], tokens.index(token)))[:size]
    tokenizer = WordTokenizer.from_text(text, size=size, special=("<s>",))
    assert tokenizer.words == tuple(expected)
    unknown = tokenizer.id_of("<unk>")
    assert unknown == 1
    assert tokenizer.encode(text).tolist() == [2 + expected.index(t) if t in expected else unknown for t in tokens]


def test_the_split_that_is_documented() -> None:
    text = "Don't  go!\n"
    tokenizer = WordTokenizer.from_text(text)
    assert [tokenizer.decode([i]) for i in tokenizer.encode(text).tolist()] == ["Don", "'", "t", "  ", "go", "!", "\n"]


@pytest.mark.parametrize(
    "words",
    [
        ["हिन्दी", " ", "में", " ", "लिखो"],
        ["தமிழ்", " ", "மொழி", "!"],
        ["ภาษาไทย", " ", "ไม่"],
        ["اَلْعَرَبِيَّةُ"],
        ["می\u200cخواهم", "."],
        ["שָׁלוֹם"],
        ["e\u0301te\u0301", " ", "été", "'", "s"],
        ["👨\u200d👩\u200d👧", " ", "❤\ufe0f", "❤", "👍", "🏽", "!"],
        ["a", "\n", "\u0301", "b", " ", "\u0301\u0301", "c"],
        ["No", "\u00a0", "\u00b4", "marks", "\u2013", "ß²", "€"],
    ],
)
def test_marks_belong_to_their_letters(words: list[str]) -> None:
    text = "".join(words)
    tokenizer = WordTokenizer.from_text(text)
    assert [tokenizer.decode([i]) for i in tokenizer.encode(text).tolist()] == words
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_all_marks_are_known() -> None:
    """Also those of the last planes."""
    codes = [code for code in range(0x110000) if unicodedata.category(chr(code))[0] == "M"]
    text = "".join(f"a{chr(code)}b " for code in codes)
    assert list(_tokens(text)) == [token for code in codes for token in (f"a{chr(code)}b", " ")]


def test_vocabularies_of_before_load() -> None:
    """Their words may be single marks; texts without marks are encoded as before."""
    tokenizer = WordTokenizer(["ह", "ि", "न", " ", "\u200d", "\n"], unknown=None)
    assert tokenizer.encode("ह न\n").tolist() == [0, 3, 2, 5]
    assert tokenizer.encode("\n\u200d ि").tolist() == [5, 4, 3, 1]


@given(text=st.text(st.characters(exclude_categories=("Mn", "Mc", "Me"), exclude_characters="\u200c\u200d")))
def test_without_marks_a_text_is_cut_as_before(text: str) -> None:
    assert list(_tokens(text)) == re.findall(r"\w+| +|[^\w ]", text)


def test_unknown_words() -> None:
    tokenizer = WordTokenizer(["to", " "], special=("<none>", "<s>"), unknown="<none>")
    assert tokenizer.special == ("<none>", "<s>")
    assert tokenizer.encode("to be ").tolist() == [2, 3, 0, 3]
    assert tokenizer.decode([2, 3, 0]) == "to <none>"
    assert WordTokenizer([]).encode("to be").tolist() == [0, 0, 0]


@pytest.mark.parametrize(("size", "dtype"), [(255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4")])
def test_ids_take_the_smallest_type(size: int, dtype: str) -> None:
    tokenizer = WordTokenizer([str(number) for number in range(size)])
    assert tokenizer.encode(str(size - 1)).tolist() == [size]
    assert tokenizer.encode("").dtype == tokenizer.encode("1").dtype == dtype


def test_equality_and_repr() -> None:
    tokenizer = WordTokenizer(["a", "b"], special=["<s>"])
    assert tokenizer == WordTokenizer(("a", "b"), special=("<s>", "<unk>"))
    assert hash(tokenizer) == hash(WordTokenizer(("a", "b"), special=("<s>", "<unk>")))
    assert tokenizer != WordTokenizer(["b", "a"], special=["<s>"])
    assert tokenizer != WordTokenizer(["a", "b"], special=["<s>", "<unk>"], unknown="<s>")
    assert tokenizer != "ab"
    assert repr(tokenizer) == "<WordTokenizer of 4 ids: ('a', 'b'), special=('<s>', '<unk>'), unknown='<unk>'>"
    assert len(repr(WordTokenizer([str(number) for number in range(5000)]))) < 120


def test_it_is_saved_with_a_model(tmp_path: Path, rng: np.random.Generator) -> None:
    tokenizer = WordTokenizer.from_text("to be\ud800\n", special=("<s>",), unknown=None)
    model = tinygrad_rnn.RNNCell(2, 2, rng=rng)
    tinygrad_rnn.save(tmp_path / "model", model, tokenizer=tokenizer)
    assert tinygrad_rnn.load(tmp_path / "model", classes=[WordTokenizer]).tokenizer == tokenizer


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"words": "to be"}, TypeError, "words is a str, where a sequence of str was expected; WordTokenizer.from_"),
        ({"words": ["to", b"be"]}, TypeError, "a word is a bytes, where a str was expected"),
        ({"words": ["New York"]}, ValueError, "the word 'New York' is cut into the tokens ['New', ' ', 'York']"),
        ({"words": [""]}, ValueError, "the word '' is cut into the tokens []"),
        ({"words": ["a", "b", "a"]}, ValueError, "'a' occurs 2 times among the special tokens and words"),
        ({"words": ["a"], "special": ["a"]}, ValueError, "'a' occurs 2 times"),
        ({"words": ["a"], "unknown": "a"}, ValueError, "'a' occurs 2 times"),
        ({"words": ["a"], "unknown": ""}, ValueError, "a special token is ''; give it a text"),
        ({"words": ["a"], "special": "<s>"}, TypeError, "special is the str '<s>'; write special=('<s>',)"),
        ({"words": [], "unknown": None}, ValueError, "an empty vocabulary; give at least one"),
    ],
)
def test_bad_vocabularies(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(f"WordTokenizer: {message}")):
        WordTokenizer(**arguments)


@pytest.mark.messages
def test_an_unknown_word_is_named_with_the_options() -> None:
    message = (
        "WordTokenizer.encode: 'see' at position 6 is not one of the 3 words known; build the tokenizer from a text "
        'that holds it, name a token for such words (unknown="<unk>"), or drop it from the text'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        WordTokenizer.from_text("to be", unknown=None).encode("be to see it")


@pytest.mark.messages
def test_bad_arguments() -> None:
    tokenizer = WordTokenizer(["a"])
    data: Any = b"ab"
    with pytest.raises(TypeError, match=r"WordTokenizer\.encode: text is a bytes, where a str was expected"):
        tokenizer.encode(data)
    with pytest.raises(TypeError, match=r"WordTokenizer\.from_text: text is a bytes"):
        WordTokenizer.from_text(data)
    with pytest.raises(ValueError, match=r"from_text: size must be at least 1, not 0"):
        WordTokenizer.from_text("a", size=0)
    with pytest.raises(ValueError, match=r"id_of: 'b' is neither one of special=\('<unk>',\) nor one of the 1 words"):
        tokenizer.id_of("b")
    with pytest.raises(ValueError, match=r"WordTokenizer.decode: id 2 at position 1 is outside the vocabulary 0..1"):
        tokenizer.decode([1, 2])
