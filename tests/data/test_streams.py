from __future__ import annotations

import re
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tinygrad_rnn.data.batch import Batch
from tinygrad_rnn.data.streams import TokenStream

LENGTHS = st.lists(st.sampled_from([0, 0, 1, 1, 2]) | st.integers(0, 20), min_size=1, max_size=12)


def documents_of(lengths: list[int]) -> list[Any]:
    """Documents in which every token is unique and none is 0, each going on where the one before it ended.

    So a transition from one document to the next would look like one inside, were its absence not asserted.
    """
    return np.split(np.arange(1, sum(lengths) + 1), np.cumsum(lengths)[:-1])


def transitions_of(documents: list[Any]) -> list[tuple[int, int, bool]]:
    """Each token, the one after it in its document, and whether it is the first of the document."""
    return [
        (token, target, index == 0)
        for document in documents
        for index, (token, target) in enumerate(pairwise(document.tolist()))
    ]


def naive(documents: list[Any], batch: int, steps: int) -> list[tuple[Any, Any, Any]]:
    """The chunks of an epoch, packed with lists and loops."""
    transitions = transitions_of(documents)
    rows, begin = [], 0
    for row in range(batch):
        end = len(transitions) * (row + 1) // batch
        run = transitions[begin:end]
        rows.append([(token, target, first or index == 0) for index, (token, target, first) in enumerate(run)])
        begin = end
    longest = max(map(len, rows))
    filled = [row + [(0, -1, False)] * (longest - len(row)) for row in rows]
    chunks = []
    for first in range(0, longest, steps):
        xs, targets, starts = ([[part[i] for part in row[first : first + steps]] for row in filled] for i in range(3))
        chunks.append((np.array(xs).T, np.array(targets).T, np.array(starts).T))
    return chunks


def assert_same(batch: Batch, expected: Any) -> None:
    for one, other in zip(batch, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one, other, strict=True)


@given(lengths=LENGTHS, batch=st.integers(1, 6), steps=st.integers(1, 9))
@example(lengths=[0, 1, 0, 3, 1, 0, 2, 0, 1], batch=2, steps=2)  # documents without a transition at every place
@example(lengths=[9], batch=1, steps=4)  # a multiple of the steps
@example(lengths=[3, 3], batch=4, steps=9)  # one transition a row
def test_an_epoch_is_that_of_a_naive_implementation(lengths: list[int], batch: int, steps: int) -> None:
    documents = documents_of(lengths)
    assume(len(transitions_of(documents)) >= batch)
    stream = TokenStream(documents, batch=batch, steps=steps)
    expected = naive(documents, batch, steps)
    assert len(stream) == len(expected)
    for k, (chunk, (xs, targets, starts)) in enumerate(zip(stream, expected, strict=True)):
        assert_same(chunk, Batch(xs, targets, starts=starts))
        assert_same(stream[k], chunk)


@given(lengths=LENGTHS, batch=st.integers(1, 6), steps=st.integers(1, 9))
@example(lengths=[0, 1, 0, 3, 1, 0, 2, 0, 1], batch=2, steps=2)
def test_every_transition_is_trained_exactly_once(lengths: list[int], batch: int, steps: int) -> None:
    documents = documents_of(lengths)
    transitions = transitions_of(documents)
    assume(len(transitions) >= batch)
    stream = TokenStream(documents, batch=batch, steps=steps)
    chunks = list(stream)
    assert len(chunks) == len(stream)
    for chunk in chunks:
        assert chunk.xs.shape == chunk.targets.shape == chunk.starts.shape
        assert [chunk.xs.dtype, chunk.targets.dtype, chunk.starts.dtype] == ["int64", "int64", "bool"]
        assert chunk.lengths is chunk.weights is None
    # Only the last chunk may be shorter.
    assert [chunk.xs.shape for chunk in chunks[:-1]] == [(steps, batch)] * (len(chunks) - 1)
    assert 1 <= chunks[-1].xs.shape[0] <= steps
    assert chunks[-1].xs.shape[1] == batch

    # Read row after row, the transitions are those of the documents in order: none is lost, repeated or moved.
    xs, targets, starts = (np.concatenate([chunk[i] for chunk in chunks]).T for i in (0, 1, 3))
    counted = targets != -1
    found = zip(xs[counted].tolist(), targets[counted].tolist(), strict=True)
    assert list(found) == [(token, target) for token, target, _ in transitions]
    assert stream.transitions == len(transitions)
    assert stream.tokens == sum(lengths)

    # Runs differ by at most one step; that step, the row's last one of all, is token 0, target -1 and no start.
    sizes = counted.sum(axis=1)
    assert sizes.max() - sizes.min() <= 1
    assert sizes.max() == xs.shape[1]
    assert not xs[~counted].any()
    assert not starts[~counted].any()
    np.testing.assert_array_equal(counted, np.arange(xs.shape[1]) < sizes[:, None])

    # The state begins anew exactly at a document's first token and at the first step of a run.
    begins = {token for token, _, first in transitions if first}
    expected = np.isin(xs, list(begins))
    expected[:, 0] = True
    np.testing.assert_array_equal(starts, expected)


def test_a_length_that_is_a_multiple_of_the_steps_loses_nothing() -> None:
    one, other = TokenStream(np.arange(9), batch=1, steps=4)
    assert (one.xs[:, 0].tolist(), one.targets[:, 0].tolist()) == ([0, 1, 2, 3], [1, 2, 3, 4])
    assert (other.xs[:, 0].tolist(), other.targets[:, 0].tolist()) == ([4, 5, 6, 7], [5, 6, 7, 8])
    assert one.starts[:, 0].tolist() == [True, False, False, False]
    assert not other.starts.any()


def test_the_stream_keeps_no_place() -> None:
    stream = TokenStream([np.arange(7), np.arange(5)], batch=2, steps=2)
    whole = list(stream)
    next(iter(stream))
    for first, second in zip(stream, whole, strict=True):
        assert_same(first, second)
        for i in (0, 1, 3):
            one, other = first[i], second[i]
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
        assert_same(one, other)


class Watched(np.ndarray[Any, Any]):
    """Ids, consecutive integers, that note which of them are read."""

    read: ClassVar[set[int]] = set()

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        for piece in args[0]:
            Watched.read |= set(np.asarray(piece).tolist())
        return super().__array_function__(function, types, args, kwargs)


@given(lengths=LENGTHS, batch=st.integers(1, 4), steps=st.integers(1, 6), data=st.data())
def test_a_chunk_reads_its_own_ids_alone(lengths: list[int], batch: int, steps: int, data: Any) -> None:
    documents = documents_of(lengths)
    assume(len(transitions_of(documents)) >= batch)
    stream = TokenStream([document.view(Watched) for document in documents], batch=batch, steps=steps)
    Watched.read.clear()
    chunk = stream[data.draw(st.integers(0, len(stream) - 1))]
    counted = chunk.targets != -1
    own = {*chunk.xs[counted].tolist(), *chunk.targets[counted].tolist()}
    between = {int(document[0]) for document in documents if len(document) == 1}  # skipped, but it may lie in a run
    assert own <= Watched.read <= own | between


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


def test_thousands_of_short_documents() -> None:
    lengths = np.random.default_rng(0).integers(0, 4, 20_000).tolist()
    documents = documents_of(lengths)
    stream = TokenStream(documents, batch=32, steps=64)
    for chunk, (xs, targets, starts) in zip(stream, naive(documents, 32, 64), strict=True):
        assert_same(chunk, Batch(xs, targets, starts=starts))


def test_a_chunk_costs_as_little_among_many_documents() -> None:
    stream = TokenStream([np.arange(3)] * 50_000, batch=4, steps=10)
    tracemalloc.start()
    try:
        chunk = stream[len(stream) // 2]
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
    assert (chunk.starts == (chunk.xs == 0)).all()


@pytest.mark.messages
@given(lengths=st.lists(st.integers(0, 9), max_size=4), batch=st.integers(1, 40), steps=st.integers(1, 12))
def test_too_short_a_text_is_told_what_fits(lengths: list[int], batch: int, steps: int) -> None:
    documents = [np.zeros(length, int) for length in lengths]
    assume(len(transitions_of(documents)) < batch)
    with pytest.raises(ValueError, match="TokenStream: ") as raised:
        TokenStream(documents, batch=batch, steps=steps)
    message = str(raised.value)
    assert f"{sum(lengths)} tokens (documents: {len(lengths)}) are too short for {batch=}: " in message
    found = re.search(r"The largest batch is (\d+)$", message)
    if found is None:
        assert message.endswith("Give a document of 2 tokens")
        assert all(length < 2 for length in lengths)
        return
    best = int(found[1])
    assert len(naive(documents, best, steps)) == len(TokenStream(documents, batch=best, steps=steps))
    with pytest.raises(ValueError, match="too short"):
        TokenStream(documents, batch=best + 1, steps=steps)


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
        with pytest.raises(TypeError, match=f"TokenStream: {name} must be an integer, not {value}"):
            TokenStream(np.arange(9), **sizes | {name: value})
    with pytest.raises(ValueError, match=f"TokenStream: {name} must be at least 1, not 0"):
        TokenStream(np.arange(9), **sizes | {name: 0})


def test_a_chunk_is_found_by_its_number() -> None:
    stream = TokenStream([np.arange(40), np.arange(50, 77)], batch=3, steps=4)
    for k, chunk in enumerate(stream):
        assert_same(stream[k], chunk)


@pytest.mark.messages
@pytest.mark.parametrize("k", [-1, 3])
def test_a_chunk_that_is_not_there_is_refused(k: int) -> None:
    stream = TokenStream(np.arange(13), batch=2, steps=2)
    with pytest.raises(IndexError, match=f"TokenStream: batch {k} of an epoch of 3"):
        stream[k]


def test_rows_are_those_of_the_batch() -> None:
    stream = TokenStream([np.arange(50), np.arange(100, 117)], batch=5, steps=4)
    for k, whole in enumerate(stream):
        for first, stop in ((0, 5), (1, 3), (4, 5), (2, 2)):
            part = stream.rows(k, first, stop)
            for array, expected in zip(part, whole, strict=True):
                assert expected is None if array is None else np.array_equal(array, expected[:, first:stop])
    for wrong in ((0, 1, 6), (0, 3, 2), (0, -1, 2), (len(stream), 0, 1)):
        with pytest.raises(IndexError, match=r"^TokenStream: "):
            stream.rows(*wrong)
