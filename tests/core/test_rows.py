"""Where rows end and where documents begin in them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from table import LENGTHS, STARTS
from tinygrad_rnn import Embedding, OneHotRows, RNNCell
from tinygrad_rnn.core.one_hot import TableGradient, TableRows
from tinygrad_rnn.core.rows import WHOLE, Rows, make_rows
from tinygrad_rnn.testing import StrictDevice

ACTIVE = np.array([[True, True, False], [True, False, False]])
OWNER = RNNCell(3, 4, rng=np.random.default_rng(0))
IDS: Any = np.random.default_rng(0).integers(0, 9, (5, 4))
PAST = np.arange(5)[:, None] >= LENGTHS


def rows_of(lengths: Any = None, starts: Any = None, like: Any = IDS) -> Rows:
    steps, batch = IDS.shape
    return make_rows(OWNER, lengths, starts, steps, batch, like)


def by_hand(array: Any, lengths: Any = LENGTHS) -> Any:
    """Reversed row by row, number by number."""
    turned = array.copy()
    for row, n in enumerate(lengths):
        for t in range(n):
            turned[t, row] = array[n - 1 - t, row]
    return turned


def test_what_is_past_a_rows_end_is_cleared_nan_and_ids_too() -> None:
    rows, values = Rows(active=ACTIVE), np.full((2, 3, 4), np.nan)
    values[ACTIVE] = 2
    np.testing.assert_array_equal(rows.clear(values), 2 * ACTIVE[:, :, None] * np.ones(4))
    ids: Any = np.where(ACTIVE, 3, 10**6)
    np.testing.assert_array_equal(rows.clear(ids), 3 * ACTIVE)
    one_hot = rows.clear(OneHotRows(ids, 4))
    np.testing.assert_array_equal(one_hot.ids, 3 * ACTIVE)
    assert (type(one_hot), one_hot.size) == (OneHotRows, 4)
    table = Embedding(4, 2, rng=np.random.default_rng(0)).w
    of_table = rows.clear(TableRows(ids, table))
    np.testing.assert_array_equal(of_table.ids, 3 * ACTIVE)
    np.testing.assert_array_equal(of_table.dense(), table.value[3 * ACTIVE])


def test_without_padding_the_same_comes_back() -> None:
    values: Any = np.ones((2, 3))
    assert WHOLE.clear(values) is values
    assert Rows(active=ACTIVE).clear(None) is None
    of_the_table = TableGradient(values)  # which has no steps
    assert Rows(active=ACTIVE).clear(of_the_table) is of_the_table


def test_rows_that_say_nothing_are_none() -> None:
    assert rows_of() is WHOLE == Rows(None, None, None)
    assert rows_of(starts=STARTS & ~STARTS) == WHOLE
    rows = rows_of(LENGTHS, STARTS & ~STARTS)
    assert rows.starts is None
    assert rows.lengths is LENGTHS
    device = StrictDevice()  # where it cannot be known without a wait
    assert rows_of(starts=device.asarray(STARTS & ~STARTS), like=device.asarray(IDS)).starts is not None


def test_starts_past_a_rows_end_are_dropped() -> None:
    rows = rows_of(LENGTHS, STARTS)
    np.testing.assert_array_equal(rows.active, ~PAST)
    np.testing.assert_array_equal(rows.starts, STARTS & ~PAST)
    assert (STARTS & PAST).any()
    assert rows_of(starts=STARTS).starts is STARTS


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "uint64"])
def test_each_row_is_reversed_within_its_length(dtype: str) -> None:
    reversal = rows_of(LENGTHS.astype(dtype)).reversal()
    vectors = np.random.default_rng(2).standard_normal((5, 4, 3))
    for array in (vectors, IDS):
        np.testing.assert_array_equal(array[reversal], by_hand(array))
        np.testing.assert_array_equal(array[reversal][reversal], array)
    np.testing.assert_array_equal(OneHotRows(IDS, 9)[reversal].ids, by_hand(IDS))
    np.testing.assert_array_equal(IDS[WHOLE.reversal()], by_hand(IDS, [5] * 4))


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_read_backward_a_document_begins_at_its_last_step(lengths: Any) -> None:
    """But not that of the row: what lies behind it, the given state tells."""
    ends = np.zeros_like(STARTS)
    for row, end in enumerate([5] * 4 if lengths is None else lengths.tolist()):
        for t in range(1, end):
            if STARTS[t, row]:
                ends[end - 1 - (t - 1), row] = True  # step t - 1 is the last of its document
    turned = rows_of(lengths, STARTS).reversed()
    np.testing.assert_array_equal(turned.starts, ends)
    assert turned.lengths is lengths
    assert ends.any()


def test_reversed_twice_all_but_the_first_step_is_as_it_was() -> None:
    rows = rows_of(LENGTHS, STARTS)
    twice: Any = rows.reversed().reversed().starts
    np.testing.assert_array_equal(twice[1:], (STARTS & ~PAST)[1:])
    assert not twice[0].any()
    assert rows_of(LENGTHS).reversed().starts is None
    assert WHOLE.reversed() is WHOLE


def test_parts_of_rows_and_of_steps() -> None:
    rows, part = rows_of(LENGTHS, STARTS), slice(1, 3)
    lengths, active, starts = rows.of_rows(part)
    np.testing.assert_array_equal(lengths, LENGTHS[part])
    np.testing.assert_array_equal(active, ~PAST[:, part])
    np.testing.assert_array_equal(starts, (STARTS & ~PAST)[:, part])
    lengths, active, starts = rows.of_steps(part)
    assert lengths is None
    np.testing.assert_array_equal(active, ~PAST[part])
    np.testing.assert_array_equal(starts, (STARTS & ~PAST)[part])
    assert WHOLE.of_rows(part) == WHOLE.of_steps(part) == WHOLE


def test_no_steps_and_no_rows_are_legal() -> None:
    for steps, batch in ((0, 4), (5, 0), (0, 0)):
        lengths: Any = np.zeros(batch, int)
        starts: Any = np.zeros((steps, batch), bool)
        rows = make_rows(OWNER, lengths, starts, steps, batch, IDS)
        assert rows.active is not None
        assert (rows.active.shape, rows.starts) == ((steps, batch), None)
        turned = Rows(lengths, rows.active, starts).reversed().starts
        assert turned is not None
        assert turned.shape == (steps, batch)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("lengths", "starts", "error", "message"),
    [
        ([1] * 4, None, TypeError, "lengths must be an integer array, not a list"),
        (LENGTHS + 1, STARTS, ValueError, "lengths[2] is 6, but with 5 steps it must be 0 to 5"),
        (
            None,
            STARTS.astype(int),
            TypeError,
            "starts must be an array of bools, True where a document begins, not int",
        ),
        (LENGTHS, True, TypeError, "starts must be an array of bools, True where a document begins, not a bool"),
        (LENGTHS, STARTS[:, :3], ValueError, "starts has shape (5, 3), expected (5, 4)"),
        (None, STARTS[..., None], ValueError, "starts has shape (5, 4, 1), expected (5, 4)"),
        (None, StrictDevice().asarray(STARTS), TypeError, "starts is on strict, but the parameters are on cpu"),
    ],
)
def test_what_does_not_fit_is_told_why(lengths: Any, starts: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(f"RNNCell(3, 4): {message}")):
        rows_of(lengths, starts)
