from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn.data.char_tokenizer import _BLOCK, CharTokenizer

# Every plane, and lone surrogates, which st.text() leaves out.
PLANES = "".join(chr(plane + low) for plane in range(0, 0x110000, 0x10000) for low in (0x41, 0xD800, 0xFFFF))
TEXTS = st.text(st.characters(exclude_categories=()) | st.sampled_from(PLANES), min_size=1)


@given(text=TEXTS, special=st.sampled_from([(), ("<start>", "<end>")]))
def test_decode_inverts_encode(text: str, special: tuple[str, ...]) -> None:
    tokenizer = CharTokenizer.from_text(text, special=special)
    ids = tokenizer.encode(text)
    vocabulary = [*special, *sorted(set(text))]
    assert ids.tolist() == [vocabulary.index(character) for character in text]
    assert tokenizer.decode(ids) == text
    assert [tokenizer.id_of(token) for token in vocabulary] == list(range(len(tokenizer)))
    config = json.loads(json.dumps(tokenizer.config(), ensure_ascii=False))
    assert config == {"characters": "".join(sorted(set(text))), "special": list(special), "unknown": None}
    assert CharTokenizer(**config) == tokenizer


def test_a_text_of_several_blocks() -> None:
    tokenizer = CharTokenizer("dcba")
    ids = np.arange(2 * _BLOCK + 5) % 4
    assert tokenizer.decode(ids) == "dcba" * (_BLOCK // 2 + 1) + "d"
    np.testing.assert_array_equal(tokenizer.encode(tokenizer.decode(ids)), ids)


@pytest.mark.parametrize(("size", "dtype"), [(1, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4")])
def test_ids_take_the_smallest_type(size: int, dtype: str) -> None:
    characters = "".join(map(chr, range(size)))
    ids = CharTokenizer(characters).encode(characters)
    assert ids.dtype == dtype
    np.testing.assert_array_equal(ids, np.arange(size))
    assert CharTokenizer(characters).encode("").dtype == dtype


def test_unknown_characters_become_the_unknown_token() -> None:
    tokenizer = CharTokenizer("bd", special=("<s>", "<unk>"), unknown="<unk>")
    assert tokenizer.encode("abcd\U0010ffff").tolist() == [1, 2, 1, 3, 1]  # below, between and beyond what is known
    assert tokenizer.decode([0, 2, 1]) == "<s>b<unk>"


def test_decode_takes_lists_and_nothing() -> None:
    tokenizer = CharTokenizer("ab")
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([1, 0]) == "ba"


def test_equality_and_repr() -> None:
    tokenizer = CharTokenizer("ab", special=["<s>"])
    assert tokenizer == CharTokenizer("ab", special=("<s>",))
    assert hash(tokenizer) == hash(CharTokenizer("ab", special=("<s>",)))
    assert tokenizer != CharTokenizer("ba", special=("<s>",))
    assert tokenizer != CharTokenizer("ab", special=("<s>",), unknown="<s>")
    assert tokenizer != "ab"
    assert repr(tokenizer) == "<CharTokenizer of 3 ids: 'ab', special=('<s>',), unknown=None>"
    assert len(repr(CharTokenizer("".join(map(chr, range(5000)))))) < 120


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"characters": b"ab"}, TypeError, "characters is a bytes, where a str was expected"),
        ({"characters": "ab", "special": "<s>"}, TypeError, "special is the str '<s>'; write special=('<s>',)"),
        ({"characters": "ab", "special": [3]}, TypeError, "a special token is a int, where a str was expected"),
        ({"characters": ""}, ValueError, "an empty vocabulary; give at least one"),
        ({"characters": "ab", "special": [""]}, ValueError, "a special token is ''; give it a text"),
        ({"characters": "abcbb"}, ValueError, "'b' occurs 3 times among the special tokens and characters"),
        ({"characters": "ab", "special": ["<s>", "<s>"]}, ValueError, "'<s>' occurs 2 times"),
        ({"characters": "ab", "special": ["b"]}, ValueError, "'b' occurs 2 times"),
        ({"characters": "ab", "unknown": "a"}, ValueError, "unknown='a' is not one of special=(); add it there"),
    ],
)
def test_bad_vocabularies(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape("CharTokenizer: ") + ".*" + re.escape(message)):
        CharTokenizer(**arguments)


@pytest.mark.messages
def test_an_unknown_character_is_named_with_the_options() -> None:
    message = (
        "CharTokenizer.encode: 'é' (U+00E9) at position 70002 is not one of the 2 characters known; build the "
        'tokenizer from a text that holds it, or name a token for such characters (special=("<unk>",), '
        'unknown="<unk>"), or drop it from the text'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CharTokenizer("ab").encode("ab" * 35001 + "é!")
    with pytest.raises(ValueError, match=re.escape(r"'\ud800' (U+D800) at position 0")):
        CharTokenizer("ab").encode("\ud800")


@pytest.mark.messages
@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([0, 1, 2, 9], ValueError, "id 2 at position 2 is outside the vocabulary 0..1; decode with the tokenizer"),
        (np.array([0, -1]), ValueError, "id -1 at position 1 is outside"),
        ([0.0], TypeError, "ids are float64, where integers were expected"),
        ([True], TypeError, "ids are bool"),
        (np.zeros((2, 3), int), ValueError, "ids is a ndarray of shape (2, 3), where (N,) was expected"),
        (1, ValueError, "one id as [id]"),
        (iter([1]), ValueError, "an iterator as list(ids)"),
    ],
)
def test_bad_ids(ids: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape("CharTokenizer.decode: ") + ".*" + re.escape(message)):
        CharTokenizer("ab").decode(ids)


@pytest.mark.messages
def test_what_is_not_text() -> None:
    tokenizer = CharTokenizer("ab")
    data: Any = b"ab"
    with pytest.raises(TypeError, match="encode: text is a bytes, where a str was expected; decode bytes first"):
        tokenizer.encode(data)
    with pytest.raises(TypeError, match="from_text: text is a bytes"):
        CharTokenizer.from_text(data)
    with pytest.raises(ValueError, match=r"id_of: 'c' is neither one of special=\(\) nor one of the 2 characters"):
        tokenizer.id_of("c")


def test_an_extended_one_keeps_all_ids() -> None:
    tokenizer = CharTokenizer("bac", special=("<s>", "<unk>"), unknown="<unk>")
    larger = tokenizer.extended("zab€y")
    assert larger == CharTokenizer("bacyz€", special=("<s>", "<unk>"), unknown="<unk>")
    text = "abcabc"
    np.testing.assert_array_equal(larger.encode(text), tokenizer.encode(text))
    assert larger.decode(larger.encode("zy€")) == "zy€"
    assert [larger.id_of(token) for token in ("<s>", "<unk>", "b")] == [0, 1, 2]
    assert tokenizer.extended("abc") == tokenizer
    assert tokenizer.extended("") == tokenizer
    assert len(tokenizer) == 5


@pytest.mark.messages
def test_what_cannot_be_added() -> None:
    with pytest.raises(TypeError, match=r"^CharTokenizer\.extended: text is a list, where a str was expected"):
        CharTokenizer("ab").extended(["c"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^CharTokenizer: '#' occurs 2 times"):
        CharTokenizer("ab", special=("#",)).extended("a#")
