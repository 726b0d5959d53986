"""The schedule of checkpointing against its definition, by a table of all minima."""

from __future__ import annotations

from functools import cache

import pytest

from tinygrad_rnn.through_time.schedule import first_stop, forward_blocks


@cache
def least(t: int, m: int) -> int:
    """C(t, m), as it is defined."""
    if t == 1 or m == 1:
        return t * (t + 1) // 2
    return min(y + least(t - y, m - 1) + least(y, m) for y in range(1, t))


def run(t: int, m: int) -> int:
    """How many blocks run forward by the schedule."""
    assert m >= 1
    if t == 1:
        return 1
    y = first_stop(t, m)
    assert 1 <= y < t
    if m == 1:
        assert y == t - 1  # there is no room to store a state on the way
        return y + 1 + run(y, m)
    return y + run(t - y, m - 1) + run(y, m)


def test_it_runs_the_fewest_blocks() -> None:
    for t in range(1, 60):
        for m in range(1, 13):
            assert forward_blocks(t, m) == least(t, m) == run(t, m)


@pytest.mark.long
def test_it_runs_the_fewest_of_many_blocks() -> None:
    for t in range(1, 150):
        for m in (1, 2, 3, 5, 8, 20, 45):
            assert forward_blocks(t, m) == least(t, m) == run(t, m)


def test_one_forward_more_for_one_block_more_than_states() -> None:
    for m in (1, 2, 8, 45):
        assert forward_blocks(m + 1, m) == 2 * (m + 1) - 1
        assert forward_blocks(m, m) == 2 * m - 1
        assert forward_blocks(m + 2, m) > 2 * (m + 2) - 1
