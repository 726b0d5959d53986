from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from side_by_side import ThreadCommunicator, side_by_side
from tinygrad_rnn.distributed.links import HostLink
from tinygrad_rnn.distributed.shards import bounds_of
from tinygrad_rnn.distributed.tree import TreeSum, sum_between


def by_definition(vectors: list[Any]) -> Any:
    while len(vectors) > 1:
        vectors = [first + second for first, second in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]


def numbers(count: int, size: int = 37) -> list[Any]:
    rng = np.random.default_rng(0)
    return [(rng.standard_normal(size) * 10.0 ** rng.integers(-6, 6, size)).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 4, 8, 32])
def test_a_sum_is_that_of_the_tree(count: int) -> None:
    vectors = numbers(count)
    tree = TreeSum(37, 3, vectors[0])
    for _ in range(2):  # the arrays are used again
        for vector in vectors:
            kept = vector.copy()
            tree.add(vector)
            np.testing.assert_array_equal(vector, kept)
        total = tree.take()
        np.testing.assert_array_equal(total[:37], by_definition(vectors))
        assert not total[37:].any()
        total[:] = np.nan
    in_a_row = np.sum(vectors, axis=0)
    assert count < 8 or (by_definition(vectors) != in_a_row).any()  # else this would prove nothing


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("length", [0, 1, 2, 37])
def test_between_processes_it_is_that_of_the_tree_too(size: int, length: int) -> None:
    vectors = numbers(8, length)

    def work(communicator: ThreadCommunicator) -> tuple[Any, int]:
        each = 8 // size
        mine = by_definition(vectors[communicator.rank * each :][:each]).copy()
        sum_between(mine, communicator.rank, size, HostLink(communicator))
        return mine, communicator.sent

    for found, sent in side_by_side(work, size):
        np.testing.assert_array_equal(found, by_definition(vectors))
        assert sent <= 2 * 4 * (length + size)


def test_bounds_are_those_of_all_workers_in_a_row() -> None:
    for total in range(20):
        whole = bounds_of(total, 8, 0, 1)
        assert (whole[0], whole[-1], len(whole)) == (0, total, 9)
        assert set(np.diff(whole)) <= {total // 8, total // 8 + 1}
        for size in (2, 4, 8):
            parts = [bounds_of(total, 8, rank, size) for rank in range(size)]
            assert [b for part in parts for b in part[:-1]] == list(whole[:-1])
            assert all(one[-1] == other[0] for one, other in pairwise(parts))
