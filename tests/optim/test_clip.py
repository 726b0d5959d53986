from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import ClipNorm, ClipValue

DTYPES = ["float32", "float64"]


def clip(clipper: Any, *entries: float, dtype: str = "float64") -> tuple[Any, Any]:
    """The norm from before, and the gradient after."""
    grad: Any = np.array(entries, dtype)
    before = clipper(grad)
    assert before.dtype == grad.dtype == dtype
    assert np.shape(before) == ()
    return before, grad


def test_a_longer_gradient_is_shortened_to_the_norm() -> None:
    norm, grad = clip(ClipNorm(1.0), 3, 0, -4)
    assert norm == pytest.approx(5, rel=1e-15)
    np.testing.assert_allclose(grad, [0.6, 0, -0.8], rtol=1e-15)


def test_a_shorter_gradient_stays_as_it_is() -> None:
    for limit in (5.0, 6.0, math.inf):
        norm, grad = clip(ClipNorm(limit), 3, 0, -4)
        assert norm == pytest.approx(5, rel=1e-15)
        np.testing.assert_array_equal(grad, [3, 0, -4])


def test_entries_are_cut_to_the_limit() -> None:
    norm, grad = clip(ClipValue(2.0), 3, 0.5, -4, 2)
    assert norm == pytest.approx(math.sqrt(29.25), rel=1e-15)
    np.testing.assert_array_equal(grad, [2, 0.5, -2, 2])
    np.testing.assert_array_equal(clip(ClipValue(math.inf), 3, -4)[1], [3, -4])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("limit", [0.0, 1.0, math.inf])
def test_a_gradient_of_norm_zero_stays_zero(limit: float, dtype: str) -> None:
    for clipper in (ClipNorm(limit), ClipValue(limit)):
        norm, grad = clip(clipper, 0, 0, dtype=dtype)
        assert norm == 0
        np.testing.assert_array_equal(grad, [0, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_bound_of_zero_clears_the_gradient(dtype: str) -> None:
    for clipper in (ClipNorm(0.0), ClipValue(0.0)):
        for entries in ((3, 4), (0.03, 0.04)):
            norm, grad = clip(clipper, *entries, dtype=dtype)
            assert norm == pytest.approx(math.hypot(*entries), rel=1e-6)
            np.testing.assert_array_equal(grad, [0, 0])


@pytest.mark.parametrize(
    ("size", "dtype"), [(1e30, "float32"), (1e-30, "float32"), (1e200, "float64"), (1e-200, "float64")]
)
def test_the_norm_neither_overflows_nor_vanishes(size: float, dtype: str) -> None:
    close = 1e-6 if dtype == "float32" else 1e-14
    norm, grad = clip(ClipNorm(size), 3 * size, -4 * size, dtype=dtype)
    assert float(norm) == pytest.approx(5 * size, rel=close, abs=0)
    np.testing.assert_allclose(grad, [0.6 * size, -0.8 * size], rtol=close)
    assert float(clip(ClipValue(1.0), -3 * size, 4 * size, dtype=dtype)[0]) == pytest.approx(5 * size, rel=close, abs=0)


def test_huge_entries_do_not_hide_small_ones() -> None:
    norm, grad = clip(ClipNorm(1.0), 1e30, 1e10, dtype="float32")
    assert float(norm) == pytest.approx(1e30, rel=1e-6)
    np.testing.assert_allclose(grad, [1, 1e-20], rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_propagates(dtype: str) -> None:
    norm, grad = clip(ClipNorm(1.0), 3, math.nan, dtype=dtype)
    assert math.isnan(norm)
    assert np.isnan(grad).all()
    norm, grad = clip(ClipValue(1.0), 3, math.nan, dtype=dtype)
    assert math.isnan(norm)
    np.testing.assert_array_equal(grad, [1, math.nan])


@pytest.mark.parametrize("infinite", [math.inf, -math.inf])
def test_infinity_shows_in_the_norm(infinite: float) -> None:
    with np.errstate(invalid="ignore"):
        norm, grad = clip(ClipNorm(1.0), 3, infinite)
    assert norm == math.inf
    assert math.isnan(grad[1])  # inf / inf: the step that follows shows it
    norm, grad = clip(ClipValue(1.0), 3, infinite)
    assert norm == math.inf
    np.testing.assert_array_equal(grad, [1, math.copysign(1, infinite)])
    np.testing.assert_array_equal(clip(ClipNorm(math.inf), 3, infinite)[1], [3, infinite])


def test_a_bound_beyond_float32_never_clips() -> None:
    with np.errstate(all="ignore"):
        norm, grad = clip(ClipNorm(1e50), 3, 4, dtype="float32")
    assert norm == 5
    np.testing.assert_array_equal(grad, [3, 4])


def test_clippers_write_in_place() -> None:
    whole: Any = np.ones(6)
    ClipValue(0.5)(whole[:3])
    ClipNorm(0.0)(whole[3:])
    np.testing.assert_array_equal(whole, [0.5, 0.5, 0.5, 0, 0, 0])


@pytest.mark.messages
@pytest.mark.parametrize(("clipper", "name"), [(ClipNorm, "max_norm"), (ClipValue, "limit")])
@pytest.mark.parametrize("limit", [-1.0, math.nan, -math.inf])
def test_bounds_are_at_least_zero(clipper: Any, name: str, limit: float) -> None:
    with pytest.raises(ValueError, match=f"^{clipper.__name__}: {name} must be at least 0, not {limit}$"):
        clipper(limit)
