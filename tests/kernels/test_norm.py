from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.kernels.norm import BLOCK, norm
from tinygrad_rnn.testing import StrictDevice

DTYPES = [("float32", 2e-7), ("float64", 4e-16)]


@pytest.mark.parametrize(("dtype", "close"), DTYPES)
@pytest.mark.parametrize("size", [1, 7, BLOCK, 5 * BLOCK + 3])
def test_it_is_the_root_of_the_sum_of_squares(size: int, dtype: str, close: float, rng: np.random.Generator) -> None:
    vector = (0.5 + rng.random(size)).astype(dtype)
    found = norm(vector)
    assert found.dtype == dtype
    assert np.shape(found) == ()
    assert float(found) == pytest.approx(math.sqrt(math.fsum(vector.astype(float) ** 2)), rel=close)


@pytest.mark.parametrize("entry", [0.1, 0.7, 1.3])
def test_rounding_does_not_add_up_where_entries_are_equal(entry: float) -> None:
    vector = np.full(5 * BLOCK, entry, np.float32)
    assert float(norm(vector)) == pytest.approx(math.sqrt(len(vector)) * float(vector[0]), rel=5e-6)


@pytest.mark.parametrize(("dtype", "close"), DTYPES)
def test_it_has_all_digits_whatever_the_size_of_entries(dtype: str, close: float) -> None:
    limits = np.finfo(dtype)
    lowest, highest = (round(math.log10(limit)) for limit in (limits.tiny, limits.max))
    with np.errstate(over="raise"):
        for exponent in range(lowest + 2, highest - 2):
            vector: Any = np.array([3, 0, -4] * 64, dtype) * np.dtype(dtype).type(10.0**exponent)
            assert float(norm(vector)) == pytest.approx(40 * 10.0**exponent, rel=4 * close, abs=0)
            assert float(norm(vector)) == pytest.approx(on_another_device(vector), rel=4 * close, abs=0)


def on_another_device(vector: Any) -> float:
    device = StrictDevice()
    return float(device.to_host(norm(device.asarray(vector))))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((0.0, -0.0), 0.0),
        ((3.0, math.nan), math.nan),
        ((3.0, math.inf), math.inf),
        ((3.0, -math.inf), math.inf),
    ],
)
def test_what_has_no_norm_of_its_own(entries: tuple[float, ...], expected: float) -> None:
    np.testing.assert_equal(float(norm(np.array(entries, np.float32))), expected)
