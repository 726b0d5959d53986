from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import SequenceBatches

RNG = np.random.default_rng


def series(lengths: list[int], size: int = 2) -> list[Any]:
    """The first number of each step says which sequence and which step it is."""
    return [100 * i + np.arange(n * size, dtype="float32").reshape(n, size) for i, n in enumerate(lengths)]


LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=12)


@given(lengths=LENGTHS, batch=st.integers(1, 14), seed=st.none() | st.integers(0, 9), by_length=st.booleans())
def test_every_sequence_is_in_one_batch_with_its_target(
    lengths: list[int], batch: int, seed: int | None, by_length: bool
) -> None:
    sequences, rng = series(lengths), None if seed is None else RNG(seed)
    source = SequenceBatches(sequences, np.arange(len(lengths)), batch=batch, rng=rng, by_length=by_length)
    for number in (0, 3):
        found, epoch = [], source.epoch(number)
        assert len(epoch) == len(source) == -(-len(lengths) // batch)
        for indices, (xs, targets, own, starts, weights) in zip(epoch.indices, epoch, strict=True):
            assert starts is weights is None
            assert xs.shape == (max(own), len(targets), 2)
            assert xs.dtype == "float32"
            for row, i in enumerate(targets.tolist()):
                assert own[row] == lengths[i]
                np.testing.assert_array_equal(xs[: own[row], row], sequences[i])
                assert not xs[own[row] :, row].any()
            np.testing.assert_array_equal(indices, targets)
            found += targets.tolist()
        assert sorted(found) == list(range(len(lengths)))
        if seed is None:
            assert found == sorted(found)


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    lengths = [3, 1, 4, 1, 5, 2, 6, 5, 3, 5]
    for by_length in (True, False):
        one, other, third = (
            SequenceBatches(series(lengths), np.arange(10), batch=3, rng=RNG(s), by_length=by_length) for s in (0, 0, 1)
        )
        order = {n: [b.targets.tolist() for b in one.epoch(n)] for n in (5, 0, 1)}
        assert order == {n: [b.targets.tolist() for b in other.epoch(n)] for n in (5, 0, 1)}
        assert order[0] != order[1] != order[5]
        assert order[0] != [b.targets.tolist() for b in third.epoch(0)]
        assert order[0] == [b.targets.tolist() for b in one]
        assert [one.epoch(5)[k].targets.tolist() for k in (2, 0)] == [order[5][2], order[5][0]]
    rng = RNG(0)
    seeds = {SequenceBatches(series(lengths), None, batch=3, rng=rng).seed for _ in range(4)}
    assert len(seeds) == 4  # drawn anew


def test_a_batch_has_similar_lengths_unless_that_is_not_wanted() -> None:
    lengths = [1, 9] * 8
    for by_length in (True, False):
        source = SequenceBatches(series(lengths), None, batch=4, rng=RNG(0), by_length=by_length)
        assert all(len(set(batch.lengths.tolist())) == 1 for batch in source) == by_length


def test_making_a_source_reads_and_copies_nothing() -> None:
    sequences = series([3, 2])
    source = SequenceBatches(sequences, np.zeros(2, np.int64), batch=2)
    sequences[0][...] = 7
    assert (source.epoch(0)[0].xs[:, 0] == 7).all()
    source.epoch(0)[0].xs[...] = 1
    assert (sequences[0] == 7).all()


@pytest.mark.parametrize("kind", ["uint8", "int32"])
def test_classes_are_as_given(kind: str) -> None:
    batch = SequenceBatches(series([1, 2]), np.array([4, 0], kind), batch=2).epoch(0)[0]
    assert (batch.targets.dtype, batch.targets.tolist()) == (kind, [4, 0])


def test_numbers_are_vectors() -> None:
    targets = np.array([1.5, 2.5], "float32")
    for numbers, expected in ((targets, [[1.5], [2.5]]), (np.stack([targets] * 2, axis=1), [[1.5, 1.5], [2.5, 2.5]])):
        batch = SequenceBatches(series([1, 2]), numbers, batch=2).epoch(0)[0]
        assert (batch.targets.dtype, batch.targets.tolist()) == ("float32", expected)


def test_targets_of_each_step() -> None:
    classes = [np.array([1, 2]), np.array([3])]
    batch = SequenceBatches(series([2, 1]), classes, batch=2).epoch(0)[0]
    assert batch.targets.tolist() == [[1, 3], [2, -1]]
    numbers = [np.array([1.0, 2.0], "float32"), np.array([3.0], "float32")]
    for some in (numbers, [n[:, None] for n in numbers]):
        batch = SequenceBatches(series([2, 1]), some, batch=2).epoch(0)[0]
        assert batch.targets.tolist() == [[[1.0], [3.0]], [[2.0], [0.0]]]


def test_one_array_of_sequences_of_one_length() -> None:
    xs = np.arange(12, dtype="float32").reshape(3, 2, 2)
    for sequences, targets in ((xs, xs + 1), (xs[..., 0].astype(int), xs[..., 1].astype(int))):
        batches = list(SequenceBatches(sequences, targets, batch=2))
        np.testing.assert_array_equal(np.concatenate([b.xs for b in batches], axis=1), sequences.swapaxes(0, 1))
        np.testing.assert_array_equal(np.concatenate([b.targets for b in batches], axis=1), targets.swapaxes(0, 1))
        assert batches[0].lengths.tolist() == [2, 2]


def test_ids() -> None:
    batch = SequenceBatches([np.array([3, 1]), np.array([2])], np.array([0.5, 1.0]), batch=2).epoch(0)[0]
    assert batch.xs.tolist() == [[3, 2], [1, 0]]
    assert batch.targets.tolist() == [[0.5], [1.0]]


def test_weights() -> None:
    sequences, weights = series([2, 1]), np.array([0.5, 2.0], "float32")
    batch = SequenceBatches(sequences, np.array([0, 1]), batch=2, weights=weights).epoch(0)[0]
    assert batch.weights.tolist() == [0.5, 2.0]
    steps = [np.array([1, 2]), np.array([3])]
    batch = SequenceBatches(sequences, steps, batch=2, weights=weights).epoch(0)[0]
    assert (batch.weights.dtype, batch.weights.tolist()) == ("float32", [[0.5, 2.0], [0.5, 0.0]])
    listed = [np.array([1.0, 0.0], "float32"), np.array([3.0], "float32")]
    batch = SequenceBatches(sequences, steps, batch=2, weights=listed).epoch(0)[0]
    assert batch.weights.tolist() == [[1.0, 3.0], [0.0, 0.0]]
    of_one_length = SequenceBatches(
        np.ones((2, 3, 1)), np.ones((2, 3), int), batch=2, weights=np.arange(6.0).reshape(2, 3)
    )
    assert of_one_length.epoch(0)[0].weights.T.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sequences": []}, ValueError, "there are no sequences"),
        ({"sequences": 3}, TypeError, "sequences must be a list of arrays, not a int"),
        ({"sequences": [[1.0]]}, TypeError, "sequences[0] is a list, where a NumPy array was expected"),
        (
            {"sequences": [np.zeros(2)] * 2},
            ValueError,
            "sequences[0] has the shape (2,), where numbers must be (T, D); if each has one feature, give "
            "[sequence[:, None] for sequence in sequences]",
        ),
        ({"batch": 0}, ValueError, "batch must be at least 1, not 0"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator"),
        ({"by_length": 1}, TypeError, "by_length must be True or False, not 1"),
        ({"targets": [1, 2]}, TypeError, "targets[0] is a int, where a NumPy array was expected; give np.asarray"),
        ({"targets": "ab"}, TypeError, "targets is a str, where a NumPy array of integers or floating-point"),
        ({"targets": np.array([True, False])}, TypeError, "targets is an array of bool, where"),
        ({"targets": np.ma.masked_array([1, 2])}, TypeError, "targets is an array of int64, where a NumPy array"),
        ({"targets": np.arange(3)}, ValueError, "targets has 3 entries, but there are 2 sequences; give one for each"),
        (
            {"targets": np.zeros(2)},
            TypeError,
            "targets is of dtype float64, the sequences of float32; convert: .astype('float32')",
        ),
        ({"targets": np.zeros((2, 1, 1, 1), "f4")}, ValueError, "targets has the shape (2, 1, 1, 1), where (N,)"),
        ({"targets": [np.arange(2), np.arange(2)]}, ValueError, "targets[1] has 2 steps, but sequences[1] has 1"),
        ({"targets": [np.zeros((2, 1), int)] * 2}, ValueError, "targets[1] has 2 steps, but sequences[1] has 1"),
        ({"targets": [np.ones((2, 1), int), np.ones((1, 1), int)]}, ValueError, "targets[0] has the shape (2, 1), wh"),
        (
            {"targets": [np.zeros(2, "u1"), np.zeros(1, "u1")]},
            TypeError,
            "targets is of dtype uint8, which cannot hold",
        ),
        ({"weights": 2.0}, TypeError, "weights is a float, where a NumPy array (N,) or a list of arrays was expected"),
        ({"weights": np.array([1, 2])}, TypeError, "weights is of dtype int64, where floating-point numbers were"),
        ({"weights": np.ones(3, "f4")}, ValueError, "weights has 3 entries, but there are 2 sequences"),
        ({"weights": np.ones((2, 1), "f4")}, ValueError, "weights has the shape (2, 1), where one axis was expected"),
        (
            {"weights": [np.ones(2, "f4"), np.ones(1, "f4")]},
            TypeError,
            "weights is a list, one array for each sequence,",
        ),
        ({"weights": np.array([1, -1], "f4")}, ValueError, "weights holds -1.0, where finite numbers of at least 0"),
        ({"weights": np.array([1, np.nan], "f4")}, ValueError, "weights holds nan, where finite numbers of at least"),
    ],
)
def test_mistakes(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    default: dict[str, Any] = {"sequences": series([2, 1]), "targets": np.arange(2), "batch": 1}
    with pytest.raises(error, match=f"^SequenceBatches: {re.escape(message)}"):
        SequenceBatches(**default | arguments)


@pytest.mark.messages
def test_no_such_epoch_or_batch() -> None:
    source = SequenceBatches(series([2, 1]), None, batch=1)
    with pytest.raises(ValueError, match=r"^SequenceBatches.epoch: number must be at least 0, not -1"):
        source.epoch(-1)
    for k in (-1, 2):
        with pytest.raises(IndexError, match=f"^SequenceBatches: batch {k} of an epoch of 2"):
            source.epoch(0)[k]
