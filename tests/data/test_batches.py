from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn.data.batches import length_batches, pad

LENGTHS = st.lists(st.integers(0, 9), max_size=20)


@given(lengths=LENGTHS, width=st.none() | st.integers(0, 3), fill=st.sampled_from([-1, 0, 7]))
def test_pad_keeps_every_sequence_and_fills_the_rest(lengths: list[int], width: int | None, fill: int) -> None:
    rng = np.random.default_rng(len(lengths))
    dtype, features = ("int16", ()) if width is None else ("float32", (width,))
    sequences = [rng.integers(0, 5, (length, *features)).astype(dtype) for length in lengths]
    array, padded_lengths = pad(sequences, fill=fill)
    assert padded_lengths.dtype == "int64"
    assert padded_lengths.tolist() == lengths
    if not sequences:
        assert array.shape == (0, 0)
        assert array.dtype == "int64"
        return
    assert array.dtype == dtype
    assert array.shape == (max(lengths), len(lengths), *features)
    for row, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
        np.testing.assert_array_equal(array[:length, row], sequence)
        assert (array[length:, row] == fill).all()


def test_pad_makes_a_new_array() -> None:
    sequence = np.arange(3)
    array, _ = pad([sequence])
    array[...] = 9
    assert sequence.tolist() == [0, 1, 2]


def test_pad_takes_any_float_to_fill() -> None:
    array, _ = pad([np.zeros(1, np.float32), np.zeros(2, np.float32)], fill=np.nan)
    assert np.isnan(array).tolist() == [[False, False], [True, False]]
    assert array.dtype == "float32"


@given(lengths=LENGTHS, batch=st.integers(1, 25), seed=st.none() | st.integers(0, 9))
def test_length_batches_are_a_partition_of_like_lengths(lengths: list[int], batch: int, seed: int | None) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    batches = length_batches(lengths, batch=batch, rng=rng)
    indices = [i for part in batches for i in part.tolist()]
    assert sorted(indices) == list(range(len(lengths)))
    assert all(part.dtype == "int64" for part in batches)
    sizes = sorted((len(part) for part in batches), reverse=True)
    assert all(size == batch for size in sizes[:-1])
    assert len(batches) == -(-len(lengths) // batch)
    # No two batches overlap in more than one length: less padding is not to be had with these sizes.
    spans = sorted((min(lengths[i] for i in part), max(lengths[i] for i in part)) for part in batches)
    assert all(high <= low for (_, high), (low, _) in pairwise(spans))
    if rng is None:
        assert indices == sorted(range(len(lengths)), key=lambda i: (lengths[i], i))


def test_rng_shuffles_the_batches_and_the_equal_ones() -> None:
    lengths = np.repeat(np.arange(10, dtype=np.uint8), 8)
    epochs = [length_batches(lengths, batch=4, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(epochs[0], epochs[1])  # reproducible
    assert [lengths[part[0]] for part in epochs[0]] != [lengths[part[0]] for part in epochs[2]]
    partners = [{frozenset(part.tolist()) for part in epoch} for epoch in epochs]
    assert partners[0] != partners[2]


@pytest.mark.messages
@pytest.mark.parametrize(
    ("sequences", "error", "message"),
    [
        ([[1, 2]], TypeError, "sequences[0] is a list, where a NumPy array was expected; give np.asarray of it"),
        (np.arange(3), TypeError, "sequences[0] is a int64, where a NumPy array was expected"),
        ([np.array(["a"])], TypeError, "sequences[0] is of dtype <U1, where integers or floating-point"),
        ([np.array(3)], ValueError, "sequences[0] has the shape (), where (T,) or (T, D) was expected"),
        ([np.zeros(1), np.zeros((1, 2, 3))], ValueError, "sequences[1] has the shape (1, 2, 3), where (T,) or"),
        (
            [np.zeros(1, "u1"), np.zeros(1, "u2")],
            TypeError,
            "sequences[1] is of dtype uint16, the first of uint8; convert one: .astype('uint8')",
        ),
        (
            [np.zeros((1, 2)), np.zeros((5, 2)), np.zeros((1, 3))],
            ValueError,
            "sequences[2] has the shape (1, 3), the first (1, 2); only the first axis may differ",
        ),
        ([np.zeros(2), np.zeros((2, 2))], ValueError, "sequences[1] has the shape (2, 2), the first (2,)"),
    ],
)
def test_bad_sequences(sequences: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(f"pad: {message}")):
        pad(sequences)


@pytest.mark.messages
@pytest.mark.parametrize("fill", [-1, 256, 0.5, float("nan"), float("inf")])
def test_a_fill_that_the_ids_cannot_hold(fill: float) -> None:
    message = f"pad: fill={fill} is not a number of the sequences' dtype uint8; convert them first: .astype('int64')"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pad([np.zeros(1, np.uint8)], fill=fill)


@pytest.mark.messages
def test_a_fill_that_is_no_number() -> None:
    for fill in (None, "a", True):
        wrong: Any = fill
        with pytest.raises(TypeError, match=f"pad: fill is {fill!r}, where a number was expected"):
            pad([], fill=wrong)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lengths": [[1]]}, ValueError, "lengths has the shape (1, 1), where (N,) was expected"),
        ({"lengths": [1.0]}, TypeError, "lengths are float64, where integers were expected; take len() of each"),
        ({"lengths": [3, -1]}, ValueError, "lengths[1] is -1, where at least 0 was expected"),
        ({"batch": 0}, ValueError, "batch must be at least 1, not 0"),
        ({"batch": 2.0}, TypeError, "batch must be an integer, not 2.0"),
        ({"rng": 3}, TypeError, "rng must be a numpy.random.Generator"),
    ],
)
def test_bad_lengths(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    default: dict[str, Any] = {"lengths": [1], "batch": 1}
    with pytest.raises(error, match=re.escape(f"length_batches: {message}")):
        length_batches(**default | arguments)
