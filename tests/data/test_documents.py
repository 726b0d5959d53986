from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn.data.documents as module
from tinygrad_rnn.data.documents import split_documents
from tinygrad_rnn.data.streams import TokenStream


@given(ids=st.lists(st.integers(0, 3), max_size=30), token=st.integers(-1, 300), block=st.integers(1, 9))
def test_documents_are_a_partition_that_the_token_ends(ids: list[int], token: int, block: int) -> None:
    array = np.array(ids, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        documents = split_documents(array, token)
    assert [i for document in documents for i in document.tolist()] == ids
    assert all(token not in document[:-1].tolist() for document in documents)
    assert all(document[-1] == token for document in documents[:-1])
    assert all(len(document) for document in documents)
    assert all(np.shares_memory(document, array) for document in documents)


def test_a_stream_takes_them_and_learns_the_ends() -> None:
    documents = split_documents(np.array([1, 2, 0, 3, 0, 0]), 0)
    assert [document.tolist() for document in documents] == [[1, 2, 0], [3, 0], [0]]
    (chunk,) = TokenStream(documents, batch=1, steps=3)
    assert (chunk.xs[:, 0].tolist(), chunk.targets[:, 0].tolist()) == ([1, 2, 3], [2, 0, 0])
    assert chunk.starts[:, 0].tolist() == [True, False, True]


def test_a_memory_map_stays_on_disk(tmp_path: Path) -> None:
    ids = np.ones(10_000_000, np.uint8)
    ids[[3_000_000, 9_999_999]] = 0
    ids.tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", np.uint8, "r")
    tracemalloc.start()
    try:
        documents = split_documents(mapped, 0)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert [len(document) for document in documents] == [3_000_001, 6_999_999]
    assert all(np.shares_memory(document, mapped) for document in documents)


def test_many_documents_take_little_memory() -> None:
    """Views of all of them would take 130 bytes each; those that are asked for are as if they were a list."""
    ids = np.tile(np.array([1, 2, 3, 0], np.uint8), 250_000)
    tracemalloc.start()
    documents = split_documents(ids, 0)
    split = tracemalloc.get_traced_memory()[1]
    stream = TokenStream(documents, batch=10, steps=30)
    both = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert split < 30 * len(documents)
    assert both < 80 * len(documents)
    assert (len(documents), stream.transitions) == (250_000, 750_000)
    assert [document.tolist() for document in documents[-2:]] == [[1, 2, 3, 0]] * 2
    assert [len(documents[part]) for part in (slice(3), slice(5, 2), slice(-2, None), slice(0, 9, 4))] == [3, 0, 2, 3]
    assert documents[1:][:1][0].tolist() == [1, 2, 3, 0]
    assert documents[-1].tolist() == documents[249_999].tolist() == [1, 2, 3, 0]
    with pytest.raises(IndexError):
        documents[250_000]
    assert repr(documents) == "<250000 documents of 1000000 ids>"
    assert len(split_documents(ids[:0], 0)) == 0


def test_a_stream_of_them_is_that_of_a_list(rng: np.random.Generator) -> None:
    documents = split_documents(rng.integers(0, 4, 200), 0)
    for one, other in zip(
        TokenStream(documents, batch=3, steps=7), TokenStream(list(documents), batch=3, steps=7), strict=True
    ):
        for found, expected in zip(one[:2], other[:2], strict=True):
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(one.starts, other.starts)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("ids", "token", "error", "message"),
    [
        ([1, 2], 0, TypeError, "ids is a list, where an integer NumPy array (N,) was expected"),
        (np.zeros(3), 0, TypeError, "ids is an array of float64, where an integer NumPy array (N,) was expected"),
        (np.zeros((2, 3), int), 0, ValueError, "ids has the shape (2, 3), where (N,) was expected"),
        (np.arange(3), "a", TypeError, "token is 'a', where an int was expected; a tokenizer's id_of gives it"),
        (np.arange(3), True, TypeError, "token is True, where an int was expected"),
    ],
)
def test_bad_arguments(ids: Any, token: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(f"split_documents: {message}")):
        split_documents(ids, token)
