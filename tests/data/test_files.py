from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import ByteTokenizer, CharTokenizer, TokenStream, WordTokenizer, datasets
from tinygrad_rnn.data import files
from tinygrad_rnn.data.files import encode_file

TEXT = "".join(f"line {i}: Zoë saw 😀, and\n   it was {i * i} — no more.\n" for i in range(200))


@pytest.mark.parametrize(
    "tokenizer",
    [CharTokenizer.from_text(TEXT), ByteTokenizer(special=("<s>",)), WordTokenizer.from_text(TEXT)],
    ids=["characters", "bytes", "words"],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_the_ids_are_those_of_the_whole_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: Any, newline: str, block: int
) -> None:
    monkeypatch.setattr(files, "_BLOCK", block)
    path, out = tmp_path / "text", tmp_path / "ids.npy"
    path.write_bytes(TEXT.replace("\n", newline).encode())
    ids = encode_file(path, tokenizer, out)
    expected = tokenizer.encode(datasets.read_text(path))
    assert isinstance(ids, np.memmap)
    assert ids.dtype == expected.dtype
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(np.load(out), expected)
    assert len(TokenStream(ids, batch=2, steps=8)) > 0
    assert {entry.name for entry in tmp_path.iterdir()} == {"text", "ids.npy"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"encode_file: '.*text', somewhere after line 0: it is empty; give a file that holds text"),
        (b"ab\nab\xff\n", r"encode_file: '.*text', somewhere after line 0: 'utf-8' codec can't decode byte 0xff"),
        (b"ab\nabc\n", r"encode_file: '.*text', somewhere after line 1: .*'c' \(U\+0063\) at position 2 is not one of"),
    ],
    ids=["empty", "no UTF-8", "unknown character"],
)
def test_a_text_that_cannot_be_encoded_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str
) -> None:
    monkeypatch.setattr(files, "_BLOCK", 1)
    path, out = tmp_path / "text", tmp_path / "ids.npy"
    path.write_bytes(data)
    out.write_text("old")
    with pytest.raises(ValueError, match=message):
        encode_file(path, CharTokenizer("ab\n"), out)
    assert out.read_text() == "old"
    assert {entry.name for entry in tmp_path.iterdir()} == {"text", "ids.npy"}


def test_a_missing_text_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        encode_file(tmp_path / "none", CharTokenizer("ab"), tmp_path / "ids.npy")
    assert not list(tmp_path.iterdir())
