from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import Linear, OneHotRows, RNNCell
from tinygrad_rnn.core.arrays import is_empty, no_gradient, select
from tinygrad_rnn.core.one_hot import as_rows
from tinygrad_rnn.kernels import backends
from tinygrad_rnn.testing import StrictDevice

ACTIVE = np.array([[True, True, False], [True, False, False]])


def pair(*shape: int, size: int = 5) -> tuple[OneHotRows, Any]:
    """Rows with ids that repeat, and the dense array that they stand for."""
    ids: Any = np.random.default_rng(0).integers(0, size, shape)
    return OneHotRows(ids, size), np.eye(size)[ids]


@pytest.mark.parametrize("index", [1, -1, (0, 2), slice(1, 3), (slice(None), 1), ACTIVE])
def test_rows_are_indexed_as_the_dense_array(index: Any) -> None:
    rows, dense = pair(2, 3)
    found = rows[index]
    assert found.shape == dense[index].shape
    np.testing.assert_array_equal(found @ np.eye(5), dense[index])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_with_rows_is_the_dense_product(dtype: str, rng: np.random.Generator) -> None:
    rows, dense = pair(2, 3)
    w = rng.standard_normal((5, 4)).astype(dtype)
    assert (rows @ w).dtype == dtype
    np.testing.assert_array_equal(rows @ w, dense.astype(dtype) @ w)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("count", "size"), [(40, 6), (400, 90)], ids=["small", "sorted"])
def test_a_transposed_product_sums_the_rows_of_each_id(
    count: int, size: int, dtype: str, rng: np.random.Generator
) -> None:
    ids: Any = rng.integers(0, size // 2, count) * 2  # unsorted, repeated; odd ids are absent
    ids[:2], ids[-1] = size - 1, 0  # but for the last, which is the first row's
    h = rng.standard_normal((count, 3)).astype(dtype)
    found = OneHotRows(ids, size).T @ h
    expected = np.zeros((size, 3))
    np.add.at(expected, ids, h)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 if dtype == "float32" else 1e-13)


def test_the_sum_of_no_rows_is_zeros() -> None:
    none: Any = np.zeros(0, np.int64)
    np.testing.assert_array_equal(OneHotRows(none, 4).T @ np.ones((0, 3)), np.zeros((4, 3)))
    assert (OneHotRows(none, 4) @ np.ones((4, 3))).shape == (0, 3)


def test_rows_take_any_integer_dtype() -> None:
    ids: Any = np.array([2, 0, 2], np.uint8)
    rows = OneHotRows(ids, 3)
    np.testing.assert_array_equal(rows @ np.eye(3), np.eye(3)[[2, 0, 2]])
    np.testing.assert_array_equal(rows.T @ np.ones((3, 1)), [[1], [0], [2]])


def test_rows_describe_the_array_that_they_stand_for() -> None:
    rows, dense = pair(2, 3)
    assert (rows.shape, rows.ndim, rows.device) == (dense.shape, dense.ndim, dense.device)
    assert rows.dtype == bool  # so that a product has the dtype of its other factor
    assert repr(rows) == "OneHotRows(shape=(2, 3, 5))"


WRONG_ROWS: list[tuple[Any, Any, str]] = [
    (np.array([0.9, 1.2]), 3, "OneHotRows: ids must be an integer array, not float64"),
    (np.array([True]), 3, "OneHotRows: ids must be an integer array, not bool"),
    ([0, 1], 3, "OneHotRows: ids must be an integer array, not a list"),
    (np.array([0]), 2.5, "OneHotRows: size must be an integer, not 2.5"),
]


@pytest.mark.messages
@pytest.mark.parametrize(("ids", "size", "message"), WRONG_ROWS)
def test_what_is_no_ids(ids: Any, size: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        OneHotRows(ids, size)


@pytest.mark.messages
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("ids", [np.array([1, -1]), np.array([1, 3], np.uint8), np.array([1, 2**64 - 1], np.uint64)])
def test_ids_outside_of_their_rows(ids: Any, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy would take -1 for the last. Past a row's end they may be anything."""
    if compiled:
        kernels = "tinygrad_rnn.kernels.compiled.backend"
        compiler = pytest.importorskip(kernels, reason="needs Numba", exc_type=ImportError)
        monkeypatch.setattr(backends, "_compiled", compiler.COMPILED)
    rng = np.random.default_rng(0)
    cell, linear = RNNCell(3, 4, rng=rng), Linear(3, 4, rng=rng)
    xs, x = OneHotRows(ids[:, None], 3), OneHotRows(ids, 3)
    calls: dict[str, Any] = {
        f"{cell!r}: id {ids[1]} at index (1, 0) is outside": lambda: cell(xs),
        f"{cell!r}: id {ids[1]} at index (1,) is outside": lambda: cell.step(x, None),
        f"{linear!r}: id {ids[1]} at index (1,) is outside": lambda: linear(x),
    }
    for message, call in calls.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            call()
    cell(xs, lengths=np.array([1]))


def test_an_array_times_rows_is_a_type_error() -> None:
    rows, _ = pair(3)
    array: Any = np.ones((2, 3))
    for factor in (rows, rows.T):
        with pytest.raises(TypeError, match="unsupported operand"):
            array @ factor


def test_as_rows_makes_a_matrix_of_any_leading_axes() -> None:
    x: Any = np.arange(24.0).reshape(2, 3, 4)
    assert as_rows(x).shape == (6, 4)
    assert np.shares_memory(as_rows(x), x)
    assert as_rows(x[0, 0]).shape == (1, 4)
    assert as_rows(x[:0]).shape == (0, 4)
    rows, dense = pair(2, 3)
    np.testing.assert_array_equal(as_rows(rows) @ np.eye(5), dense.reshape(6, 5))


def test_select_takes_masks_over_leading_axes() -> None:
    mask: Any = np.array([True, False])
    ones = np.ones((2, 3, 4), np.float32)
    found = select(mask, ones, np.full_like(ones, np.nan))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], ones[0])
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(select(mask, ones[:, 0, 0], 0), [1, 0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_gradient_is_read_only_zeros_in_the_memory_of_one_number(dtype: str) -> None:
    blank = no_gradient(np.ones((1000, 3), dtype))
    assert (blank.shape, blank.dtype, blank.strides) == ((1000, 3), dtype, (0, 0))
    assert not blank.any()
    assert not blank.flags.writeable


def test_integers_and_one_hot_rows_have_no_gradient() -> None:
    rows, _ = pair(2, 3)
    assert no_gradient(rows) is None
    assert no_gradient(rows.ids) is None
    assert no_gradient(ACTIVE) is None


def test_a_mask_is_empty_where_it_is_known_to_be() -> None:
    assert is_empty(ACTIVE & ~ACTIVE)
    assert is_empty(ACTIVE[:0])
    assert not is_empty(ACTIVE)
    assert not is_empty(StrictDevice().asarray(ACTIVE & ~ACTIVE))  # on a GPU, to look would be to wait
