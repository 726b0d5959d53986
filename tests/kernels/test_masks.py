"""Masks against Philox written out in the integers of Python."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from philox import fractions
from tinygrad_rnn.kernels.plain.masks import random_mask
from tinygrad_rnn.testing import StrictDevice

LIKE: Any = np.zeros((), np.float32)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 0), (2, 3, 5), (64,)])
@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 1.0])
def test_they_are_those_of_the_paper(shape: tuple[int, ...], probability: float) -> None:
    keys = np.array([[0, 0], [1, 2**64 - 1], [0x0123456789ABCDEF, 0xFEDCBA9876543210]], np.uint64)
    for key in keys:
        expected = 2.5 * (fractions((int(key[0]), int(key[1])), shape) < probability)
        for dtype in ("float32", "float64"):
            mask = random_mask(key, probability, 2.5, shape, LIKE.astype(dtype))
            assert (mask.dtype, mask.shape) == (np.dtype(dtype), shape)
            np.testing.assert_array_equal(mask, expected)
        strict: Any = StrictDevice()
        there = random_mask(key, probability, 2.5, shape, strict.asarray(LIKE))
        np.testing.assert_array_equal(strict.to_host(there), expected)


@pytest.mark.parametrize("shape", [(3, 7, 5), (7, 5), (2, 2, 7, 8), (0, 7, 5), (3, 7, 0)])
def test_rows_are_those_of_the_whole(shape: tuple[int, ...]) -> None:
    key = np.array([5, 6], np.uint64)
    whole = random_mask(key, 0.4, 2.0, shape, LIKE)
    for first, stop in ((0, 7), (0, 3), (1, 2), (3, 7), (4, 4), (7, 7)):
        part = (*shape[:-2], stop - first, shape[-1])
        found = random_mask(key, 0.4, 2.0, part, LIKE, (first, 7))
        np.testing.assert_array_equal(found, whole[..., first:stop, :])


def test_threads_do_not_disturb_each_other() -> None:
    keys = np.arange(400, dtype=np.uint64).reshape(200, 2)

    def work(key: Any) -> Any:
        return random_mask(key, 0.5, 1.0, (33,), LIKE)

    alone = [work(key) for key in keys]
    with ThreadPoolExecutor(8) as pool:
        np.testing.assert_array_equal(list(pool.map(work, keys)), alone)
    assert len({mask.tobytes() for mask in alone}) == 200
