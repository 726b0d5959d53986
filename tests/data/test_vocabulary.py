from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from tinygrad_rnn import ByteTokenizer, CharTokenizer, WordTokenizer


@pytest.mark.parametrize(
    "tokenizer",
    [ByteTokenizer(special=("<s>",)), CharTokenizer("\nabé"), WordTokenizer(["a", "b", "é", "\n"])],
    ids=repr,
)
def test_to_decode_takes_little_memory(tokenizer: Any) -> None:
    """Some bytes for each character; the list of its tokens would take 16 to 90."""
    text = "é\nb\na\n\n\n" * 50_000
    ids = tokenizer.encode(text)
    tracemalloc.start()
    found = tokenizer.decode(ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == text
    assert peak < 9e6 + 8 * len(ids)
