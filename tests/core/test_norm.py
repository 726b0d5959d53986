"""The Euclidean norm, over the whole range of each dtype."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.core.norm import norm
from tinygrad_rnn.testing import StrictDevice

STRICT = StrictDevice()

SIZES = {
    "float32": [10.0**power for power in range(-44, 38)],
    "float64": [10.0**power for power in range(-322, 308, 5)],
}


def vectors(dtype: str) -> list[Any]:
    """Of each size; of two sizes, of which squares of the smaller vanish; and such as are not finite."""
    drawn = np.random.default_rng(0).standard_normal(50)
    found = [size * drawn for size in SIZES[dtype]]
    found += [np.array([3.0, 1e-23, size]) for size in (0, 1e-9, 1e-30, math.inf, -math.inf, math.nan)]
    found += [np.full(1000, 1e-23), np.zeros(3)]
    return [vector.astype(dtype) for vector in found]


@pytest.mark.parametrize("dtype", SIZES)
def test_it_is_right_for_numbers_of_any_size(dtype: str) -> None:
    eps = np.finfo(dtype).eps
    for vector in vectors(dtype):
        expected = math.hypot(*vector.tolist())
        found = norm(vector)
        assert found.dtype == dtype
        smallest = float(np.finfo(dtype).smallest_subnormal)
        assert float(found) == pytest.approx(expected, rel=8 * float(eps), abs=2 * smallest, nan_ok=True)


@pytest.mark.parametrize("dtype", SIZES)
def test_a_device_that_cannot_look_gives_the_same_bits(dtype: str) -> None:
    for vector in vectors(dtype):
        found = STRICT.to_host(norm(STRICT.asarray(vector)))
        np.testing.assert_array_equal(found, norm(vector))
