from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tinygrad_rnn.data.streams import TokenStream


def fits(lengths: list[int], batch: int, steps: int) -> bool:
    return sum(len(range(0, length - 1, steps)) for length in lengths) >= batch


@given(lengths=st.lists(st.integers(0, 20), min_size=1, max_size=6), batch=st.integers(1, 5), steps=st.integers(1, 7))
def test_an_epoch(lengths: list[int], batch: int, steps: int) -> None:
    assume(fits(lengths, batch, steps))
    # Every token is unique and none is 0; documents follow on each other, so a transition between two would pass
    # for one inside, were its absence not asserted.
    documents = np.split(np.arange(1, sum(lengths) + 1), np.cumsum(lengths)[:-1])
    stream = TokenStream(documents, batch=batch, steps=steps)
    chunks = list(stream)
    assert len(chunks) == len(stream)
    for xs, targets, fresh in chunks:
        assert xs.shape == targets.shape == (steps, batch)
        assert fresh.shape == (batch,)
        assert [xs.dtype, targets.dtype, fresh.dtype] == ["int64", "int64", "bool"]

    # Read row after row, the transitions are those of the documents in order: none is lost, twice or moved.
    rows = np.concatenate([xs for xs, _, _ in chunks]).T
    row_targets = np.concatenate([targets for _, targets, _ in chunks]).T
    counted = row_targets >= 0
    firsts = np.concatenate([document[:-1] for document in documents])
    np.testing.assert_array_equal(rows[counted], firsts)
    np.testing.assert_array_equal(row_targets[counted], firsts + 1)
    assert (rows[~counted] == 0).all()
    assert (row_targets[~counted] == -1).all()
    assert stream.transitions == len(firsts)
    assert stream.tokens == sum(lengths)

    # A row goes on exactly where it is not fresh. Padding comes only behind tokens.
    for k, (xs, targets, fresh) in enumerate(chunks):
        before = chunks[k - 1][1][-1] if k else np.full(batch, -1)
        np.testing.assert_array_equal(fresh, (before != xs[0]) | (targets[0] == -1))
        assert (np.diff((targets >= 0).astype(int), axis=0) <= 0).all()

    pieces = [sum(targets[0, row] >= 0 for _, targets, _ in chunks) for row in range(batch)]
    assert max(pieces) - min(pieces) <= 1
    assert max(pieces) == len(chunks)


def test_a_length_that_is_a_multiple_of_the_steps_loses_nothing() -> None:
    ((xs, targets, fresh), (more_xs, more_targets, more_fresh)) = TokenStream(np.arange(9), batch=1, steps=4)
    assert (xs[:, 0].tolist(), targets[:, 0].tolist(), fresh.tolist()) == ([0, 1, 2, 3], [1, 2, 3, 4], [True])
    assert (more_xs[:, 0].tolist(), more_targets[:, 0].tolist()) == ([4, 5, 6, 7], [5, 6, 7, 8])
    assert not more_fresh[0]


def test_the_stream_keeps_no_place() -> None:
    stream = TokenStream([np.arange(7), np.arange(5)], batch=2, steps=2)
    whole = list(stream)
    next(iter(stream))
    for first, second in zip(stream, whole, strict=True):
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)
            assert not np.shares_memory(one, other)
            one[...] = 1  # callers own what they get


def test_a_memory_map_is_read_where_it_lies(tmp_path: Path) -> None:
    ids = np.arange(100, dtype=np.uint16)
    ids.tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", np.uint16, "r")
    stream = TokenStream(mapped, batch=3, steps=5)
    assert np.shares_memory(stream.documents[0], mapped)
    assert stream.documents[0] is mapped
    for one, other in zip(stream, TokenStream(ids, batch=3, steps=5), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_a_billion_tokens_cost_nothing_up_front() -> None:
    ids = np.broadcast_to(np.uint8(7), 10**9)
    tracemalloc.start()
    try:
        stream = TokenStream(ids, batch=4, steps=10)
        next(iter(stream))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert (stream.tokens, stream.transitions, len(stream)) == (10**9, 10**9 - 1, 25_000_000)


@pytest.mark.messages
@given(lengths=st.lists(st.integers(0, 9), max_size=4), batch=st.integers(1, 40), steps=st.integers(1, 12))
def test_too_short_a_text_is_told_what_fits(lengths: list[int], batch: int, steps: int) -> None:
    assume(not fits(lengths, batch, steps))
    with pytest.raises(ValueError, match="TokenStream: ") as raised:
        TokenStream([np.zeros(length, int) for length in lengths], batch=batch, steps=steps)
    message = str(raised.value)
    assert f"{sum(lengths)} tokens (documents: {len(lengths)}) are too short for {batch=}, {steps=}: " in message
    if not fits(lengths, 1, 1):
        assert "no token has a next one in its document; give a document of at least 2 tokens" in message
        return
    found = re.search(
        r"largest batch with these steps is (\d+)(?:, the largest steps with this batch ([1-9]\d*))?$", message
    )
    assert found is not None
    best_batch, best_steps = int(found[1]), int(found[2] or 0)
    assert fits(lengths, best_batch, steps)
    assert not fits(lengths, best_batch + 1, steps)
    assert best_steps == 0 or fits(lengths, batch, best_steps)
    assert not fits(lengths, batch, best_steps + 1)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([1, 2, 3], TypeError, "ids is a list of ints, where an array was expected; give np.asarray(ids)"),
        ("abc", TypeError, "ids is a str, where an integer NumPy array (N,) was expected"),
        ([np.arange(3), [1, 2]], TypeError, "ids[1] is a list, where an integer NumPy array (N,) was expected"),
        ([np.arange(3), np.zeros(3)], TypeError, "ids[1] is of dtype float64, where integers were expected"),
        (np.zeros(3, bool), TypeError, "ids is of dtype bool"),
        (np.zeros((3, 2), int), ValueError, "ids has the shape (3, 2), where (N,) was expected"),
    ],
)
def test_bad_ids(ids: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(f"TokenStream: {message}")):
        TokenStream(ids, batch=1, steps=1)


@pytest.mark.messages
@pytest.mark.parametrize("name", ["batch", "steps"])
def test_bad_sizes(name: str) -> None:
    sizes: dict[str, Any] = {"batch": 1, "steps": 1}
    for value in (1.0, True, None):
        with pytest.raises(TypeError, match=f"{name} is {value}, where an int of at least 1 was expected"):
            TokenStream(np.arange(9), **sizes | {name: value})
    with pytest.raises(ValueError, match=f"{name} is 0, where at least 1 was expected"):
        TokenStream(np.arange(9), **sizes | {name: 0})


def test_a_chunk_is_found_by_its_number() -> None:
    stream = TokenStream([np.arange(40), np.arange(50, 77)], batch=3, steps=4)
    for k, chunk in enumerate(stream):
        for found, expected in zip(stream[k], chunk, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.messages
@pytest.mark.parametrize("k", [-1, 3])
def test_a_chunk_that_is_not_there_is_refused(k: int) -> None:
    stream = TokenStream(np.arange(13), batch=2, steps=2)
    with pytest.raises(IndexError, match=f"TokenStream: chunk {k} of an epoch of 3"):
        stream[k]
