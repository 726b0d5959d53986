from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import SequenceBatches, windows

SIZES = st.integers(1, 5)


@given(length=st.integers(2, 20), steps=SIZES, horizon=SIZES, stride=SIZES, shifted=st.booleans())
def test_every_window_and_what_comes_after(length: int, steps: int, horizon: int, stride: int, shifted: bool) -> None:
    series = np.arange(2.0 * length).reshape(length, 2)
    if length < steps + horizon:
        with pytest.raises(ValueError, match=f"^windows: the longest series has {length} steps"):
            windows(series, steps=steps, horizon=horizon)
        return
    xs, targets = windows(series, steps=steps, horizon=horizon, stride=stride, shifted=shifted)
    starts = range(0, length - steps - horizon + 1, stride)
    assert len(xs) == len(targets) == len(starts)
    for start, window, target in zip(starts, xs, targets, strict=True):
        np.testing.assert_array_equal(window, series[start : start + steps])
        after = series[start + horizon : start + horizon + steps] if shifted else series[start + steps :][:horizon]
        np.testing.assert_array_equal(target, after if shifted else after.ravel())


def test_windows_are_views() -> None:
    series = np.zeros((50, 3), np.float32)
    for shifted in (True, False):
        xs, targets = windows(series, steps=20, horizon=4, shifted=shifted)
        assert np.shares_memory(xs, series)
        assert xs.dtype == targets.dtype == "float32"
        assert np.shares_memory(targets, series)
    listed, _ = windows([series, series[:3], series[:30]], steps=20, horizon=4)
    assert len(listed) == 27 + 7
    assert all(np.shares_memory(window, series) for window in listed)


def test_no_window_goes_from_one_series_to_the_next() -> None:
    parts = [np.arange(4.0)[:, None], np.zeros((1, 1)), np.arange(10, 13.0)[:, None]]
    xs, targets = windows(parts, steps=2)
    assert [x.ravel().tolist() for x in xs] == [[0, 1], [1, 2], [10, 11]]
    assert targets.tolist() == [[2], [3], [12]]
    _, shifted = windows(parts, steps=2, shifted=True)
    assert [t.ravel().tolist() for t in shifted] == [[1, 2], [2, 3], [11, 12]]


@pytest.mark.parametrize("shifted", [True, False])
def test_batches_take_them(shifted: bool) -> None:
    series = np.arange(30, dtype="float32").reshape(15, 2)
    for some in (series, [series, series]):
        source = SequenceBatches(*windows(some, steps=4, horizon=3, shifted=shifted), batch=4)
        batch = source.epoch(0)[0]
        assert batch.xs.shape == (4, 4, 2)
        assert batch.targets.shape == ((4, 4, 2) if shifted else (4, 6))


@pytest.mark.messages
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"series": np.zeros(9)}, ValueError, "series has the shape (9,), where (N, D) was expected; for one feature"),
        ({"series": [np.zeros((9, 1)), np.zeros((9, 2))]}, ValueError, "series[1] has 2 features of float64, but"),
        (
            {"series": [np.zeros((9, 1)), np.zeros((9, 1), "f4")]},
            ValueError,
            "series[1] has 1 features of float32, but",
        ),
        ({"series": np.zeros((9, 1), int)}, TypeError, "series is an array of int64, where a NumPy array (N, D) of"),
        ({"series": [[1.0]]}, TypeError, "series[0] is a list, where a NumPy array (N, D)"),
        (
            {"series": []},
            ValueError,
            "the longest series has 0 steps, too few for a window of steps=3 and a horizon of 1",
        ),
        ({"series": np.zeros((3, 1))}, ValueError, "the longest series has 3 steps, too few for a window of steps=3"),
        ({"steps": 0}, ValueError, "steps must be at least 1, not 0"),
        ({"horizon": 1.5}, TypeError, "horizon must be an integer, not 1.5"),
        ({"stride": -1}, ValueError, "stride must be at least 1, not -1"),
        ({"shifted": 1}, TypeError, "shifted must be True or False, not 1"),
    ],
)
def test_mistakes(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    default: dict[str, Any] = {"series": np.zeros((9, 1)), "steps": 3}
    with pytest.raises(error, match=f"^windows: {re.escape(message)}"):
        windows(**default | arguments)
