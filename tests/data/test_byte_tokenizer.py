from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn
from tinygrad_rnn.data.byte_tokenizer import ByteTokenizer

# Every plane, and lone surrogates, side by side too, which st.text() leaves out.
TEXTS = st.text(st.characters(exclude_categories=()) | st.sampled_from("a\0\ud800\udc00\udfff\uffff\ufffd\U0010ffff"))
SPECIALS = st.sampled_from([(), ("<start>",), ("<start>", "é", "\ud800")])


@given(text=TEXTS, special=SPECIALS)
def test_decode_inverts_encode(text: str, special: tuple[str, ...]) -> None:
    tokenizer = ByteTokenizer(special=special)
    ids = tokenizer.encode(text)
    assert (ids - len(special)).tolist() == list(text.encode("utf-8", "surrogatepass"))
    assert ids.dtype == ("uint16" if special else "uint8")
    assert ids.flags.writeable
    assert tokenizer.decode(ids) == text
    assert len(tokenizer) == 256 + len(special)


@given(data=st.binary(max_size=12), start=st.text(max_size=3))
def test_any_bytes_are_decoded(data: bytes, start: str) -> None:
    tokenizer = ByteTokenizer()
    text = tokenizer.decode([*start.encode(), *data])
    assert text.startswith(start)  # what is wrong spoils no character before it
    try:
        assert text == start + data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        assert "\ufffd" in text


def test_what_is_no_utf_8_is_replaced() -> None:
    tokenizer = ByteTokenizer(special=("<end>",))
    n_e = tokenizer.encode("né").tolist()
    assert tokenizer.decode(tokenizer.encode("né")[:-1]) == "n\ufffd"
    assert tokenizer.decode([*n_e[:-1], 0, n_e[-1]]) == "n\ufffd<end>\ufffd"
    # A surrogate and a byte that no text holds, in one.
    assert tokenizer.decode([*tokenizer.encode("\ud800").tolist(), 0x100, *n_e[1:]]) == "\ud800\ufffdé"
    assert tokenizer.decode([]) == ""


def test_id_of() -> None:
    tokenizer = ByteTokenizer(special=("<start>", "<end>"))
    assert [tokenizer.id_of(token) for token in ("<start>", "<end>", "\0", "a", "\x7f")] == [0, 1, 2, 99, 129]
    assert tokenizer.encode("a").tolist() == [tokenizer.id_of("a")]


def test_equality_config_and_repr() -> None:
    tokenizer = ByteTokenizer(special=["<s>"])
    assert tokenizer == ByteTokenizer(**json.loads(json.dumps(tokenizer.config()))) == ByteTokenizer(special=("<s>",))
    assert hash(tokenizer) == hash(ByteTokenizer(special=("<s>",)))
    assert tokenizer != ByteTokenizer()
    assert tokenizer != "<s>"
    assert repr(tokenizer) == "<ByteTokenizer of 257 ids: special=('<s>',)>"


def test_it_is_saved_with_a_model(tmp_path: Path, rng: np.random.Generator) -> None:
    tokenizer = ByteTokenizer(special=("<s>", "\ud800\udc00"))
    model = tinygrad_rnn.RNNCell(2, 2, rng=rng)
    tinygrad_rnn.save(tmp_path / "model", model, tokenizer=tokenizer)
    assert tinygrad_rnn.load(tmp_path / "model", classes=[ByteTokenizer]).tokenizer == tokenizer


@pytest.mark.messages
@pytest.mark.parametrize(
    ("special", "error", "message"),
    [
        ("<s>", TypeError, "special is the str '<s>'; write special=('<s>',)"),
        ([3], TypeError, "a special token is a int, where a str was expected"),
        ([""], ValueError, "a special token is ''; give it a text"),
        (["<s>", "<s>"], ValueError, "'<s>' occurs 2 times among the special tokens and ASCII characters"),
        (["a"], ValueError, "'a' occurs 2 times among the special tokens and ASCII characters"),
    ],
)
def test_bad_special_tokens(special: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(f"ByteTokenizer: {message}")):
        ByteTokenizer(special=special)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([0, 256], ValueError, "id 256 at position 1 is outside the vocabulary 0..255; decode with the tokenizer"),
        (np.array([0, -1]), ValueError, "id -1 at position 1 is outside"),
        ([0.0], TypeError, "ids are float64, where integers were expected"),
        (np.zeros((2, 3), int), ValueError, "ids is a ndarray of shape (2, 3), where (N,) was expected"),
        (b"ab", ValueError, "ids is a bytes of shape ()"),
    ],
)
def test_bad_ids(ids: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(f"ByteTokenizer.decode: {message}")):
        ByteTokenizer().decode(ids)


@pytest.mark.messages
def test_what_is_not_text() -> None:
    data: Any = b"ab"
    with pytest.raises(TypeError, match=r"ByteTokenizer\.encode: text is a bytes, where a str was expected"):
        ByteTokenizer().encode(data)
    for token in ("é", "ab", ""):
        with pytest.raises(ValueError, match=rf"id_of: {token!r} is neither one of special=\(\) nor one ASCII char"):
            ByteTokenizer().id_of(token)
