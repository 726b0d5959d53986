from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import OneHotRows
from tinygrad_rnn.kernels import products, threads
from tinygrad_rnn.kernels.plain import products as plain_products
from tinygrad_rnn.kernels.plain.products import multiplier, product
from tinygrad_rnn.kernels.products import (
    add_gradient,
    add_sum,
    back_over_rows,
    block_steps,
    blocks,
    input_gradient,
    input_side,
    no_input_gradient,
    over_rows,
)
from tinygrad_rnn.kernels.threads import divide
from tinygrad_rnn.testing import StrictDevice

SIZES = [
    (32, 256, 768),  # parts of 32 rows and 64 columns
    (64, 1536, 96),  # of 32 rows and 32 columns, three along K
    (75, 200, 600),  # of 25 rows and 60 columns
    (31, 211, 211),  # which no parts divide
    (97, 128, 256),  # more rows than a few
    (16, 8, 8),  # small itself
    (1, 1024, 1024),
    (0, 3, 4),
]


@pytest.fixture(params=[False, True], ids=["whole", "in parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether products are made in parts."""
    monkeypatch.setattr(plain_products, "_has_small_product", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rows", "K", "N"), SIZES)
def test_it_is_the_product(
    rows: int, K: int, N: int, transposed: bool, dtype: str, parts: bool, rng: np.random.Generator
) -> None:
    a = rng.standard_normal((rows, K + 5)).astype(dtype)[:, 5:]
    w = rng.standard_normal((N, K)).astype(dtype).T if transposed else rng.standard_normal((K, N)).astype(dtype)
    before = a.copy(), w.copy()
    multiply, expected = multiplier(w, rows), np.einsum("ik,kj->ij", a.astype(float), w.astype(float))
    for some in (a, a[:-1]):  # another number of rows is right too
        out = np.full((len(some), N), np.nan, dtype)
        multiply(some, out=out)
        np.testing.assert_allclose(out, expected[: len(some)], rtol=0, atol=4 * K * float(np.finfo(dtype).eps))
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(w, before[1])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("K", [256, 1024])
def test_a_stack_of_matrices(K: int, shared: bool, parts: bool, rng: np.random.Generator) -> None:
    """With one `a` for all of them, or with one each."""
    a, w = rng.standard_normal((64, K) if shared else (4, 64, K)), rng.standard_normal((4, K, 96))
    out = np.empty((4, 64, 96))
    multiplier(w, 64)(a, out=out)
    np.testing.assert_allclose(out, np.einsum("ik,gkj->gij" if shared else "gik,gkj->gij", a, w), rtol=0, atol=1e-11)


@pytest.mark.parametrize(("small", "rows", "copied"), [(True, 32, True), (False, 32, False), (True, 97, False)])
def test_parts_are_multiplied_where_that_is_faster(
    small: bool, rows: int, copied: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen by the copy that is then made of w."""
    monkeypatch.setattr(plain_products, "_has_small_product", lambda: small)
    w, a = rng.standard_normal((256, 768)), rng.standard_normal((rows, 256))
    multiply, before, out = multiplier(w, rows), a @ w, np.empty((rows, 768))
    w += 1
    multiply(a, out=out)
    np.testing.assert_allclose(out, before if copied else a @ w, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("steps", "rows", "K", "N"), [(8, 32, 128, 512), (3, 32, 128, 512), (5, 7, 48, 33), (9, 1, 3, 4), (0, 3, 16, 32)]
)
@pytest.mark.parametrize("gaps", [False, True])
def test_a_gradient_is_added(steps: int, rows: int, K: int, N: int, gaps: bool, rng: np.random.Generator) -> None:
    """Also from and to a part of a larger array."""
    xs, ds = rng.standard_normal((steps, rows, K)), rng.standard_normal((steps, rows, N + 32 * gaps))[..., :N]
    dw = rng.standard_normal((K, N + 5 * gaps))[:, :N]
    expected = dw + np.einsum("tbk,tbn->kn", xs, ds)
    add_gradient(dw, xs, ds)
    np.testing.assert_allclose(dw, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("size", [5, 100])
def test_a_gradient_of_one_hot_rows_is_added(size: int, rng: np.random.Generator) -> None:
    ids, ds, dw = rng.integers(0, size, (4, 30)), rng.standard_normal((4, 30, 6)), rng.standard_normal((size, 6))
    expected = dw + np.einsum("tbk,tbn->kn", np.eye(size)[ids], ds)
    add_gradient(dw, OneHotRows(ids, size), ds)
    np.testing.assert_allclose(dw, expected, rtol=0, atol=1e-11)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("few", [3, 4, 9])
def test_a_large_product_is_divided(few: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its columns where there are few rows, else by its rows."""
    monkeypatch.setattr(plain_products, "LARGE", 4 * 5)
    monkeypatch.setattr(plain_products, "FEW", few)
    seen: list[Any] = []
    monkeypatch.setattr(plain_products, "divide", lambda *given: seen.extend(divide(*given)))
    b = rng.standard_normal((5, 2))
    for rows, parts in ((3, 0), (4, 2), (9, 2), (0, 0)):  # 0: not even looked at
        a = rng.standard_normal((5, rows)).T
        seen.clear()
        np.testing.assert_allclose(product(a, b), np.einsum("ik,kj->ij", a, b), rtol=0, atol=1e-14)
        sizes = [part.shape for part in seen]
        assert sizes == ([(rows, 1)] * 2 if rows <= few else [(rows // 2, 2), (rows - rows // 2, 2)])[:parts]
    ids = np.array([2, 0, 2])
    np.testing.assert_array_equal(product(OneHotRows(ids, 5), b), b[ids])


def test_a_sum_is_added(rng: np.random.Generator) -> None:
    ds, db = rng.standard_normal((4, 3, 8)), rng.standard_normal(5)
    expected = db + ds[..., 2:7].sum(axis=(0, 1))
    add_sum(db, ds[..., 2:7])
    np.testing.assert_allclose(db, expected, rtol=0, atol=1e-14)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_count", 2)


@pytest.mark.usefixtures("two_threads")
def test_rows_are_divided_where_a_step_is_enough_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "WORTH", 9 * 25)
    w_h = np.zeros((5, 5))
    assert [len(over_rows(lambda rows: None, B, w_h)) for B in (17, 18, 1, 0)] == [1, 2, 1, 1]
    assert [len(over_rows(lambda rows: None, B, np.zeros((50, 50)))) for B in (15, 16)] == [1, 2]  # 8 rows each
    assert len(over_rows(lambda rows: None, 18, StrictDevice().asarray(w_h))) == 1


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("B", [1, 5])
def test_what_the_threads_add_is_added_up(B: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "WORTH", 1)
    monkeypatch.setattr(products, "FEWEST", 1)
    dh, dw, db = rng.standard_normal((B, 3)), rng.standard_normal((3, 2)), rng.standard_normal(3)
    expected = dw + dh.T @ dh[:, :2], db + dh.sum(axis=0)

    def work(rows: slice, dw: Any, db: Any) -> tuple[Any, Any]:
        dw += dh[rows].T @ dh[rows, :2]
        db += dh[rows].sum(axis=0)
        return 2 * dh[rows], 3 * dh[rows]

    double, triple = back_over_rows(work, B, np.zeros((1, 1)), (dw, db))
    np.testing.assert_array_equal(double, 2 * dh)
    np.testing.assert_array_equal(triple, 3 * dh)
    for found, sums in zip((dw, db), expected, strict=True):
        np.testing.assert_allclose(found, sums, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("T", "B"), [(64, 32), (1, 1), (7, 100), (9, 1000), (0, 3), (4, 0)])
def test_blocks_are_all_the_steps(T: int, B: int) -> None:
    steps = block_steps(T, B, 512, np.zeros(0))
    found = blocks(T, steps)
    assert [t for block in found for t in range(block.start, block.stop)] == list(range(T))
    assert all(block.stop - block.start == steps for block in found[:-1])
    assert steps * B <= max(products.ROWS, products.NUMBERS // 512, B)


@pytest.mark.parametrize(
    ("T", "B", "width", "rows"), [(64, 16, 512, 256), (64, 64, 512, 512), (128, 64, 2048, 512), (128, 64, 512, 1024)]
)
def test_long_sequences_have_longer_blocks(
    T: int, B: int, width: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An eighth of all, where that is more than 256 rows, but no more than a million numbers."""
    monkeypatch.setattr(products, "ROWS", 256)  # which the table of checks has changed
    monkeypatch.setattr(products, "NUMBERS", 1 << 20)
    assert block_steps(T, B, width, np.zeros(0)) * B == rows


@pytest.mark.parametrize("one_hot", [False, True])
def test_the_input_side_and_its_gradient(one_hot: bool, rng: np.random.Generator) -> None:
    """Block by block, the last of them shorter."""
    T, B, D, H = 7, 3, 4, 5
    w, b = rng.standard_normal((2, D, H)), rng.standard_normal((2, 1, H))
    ids = rng.integers(0, D, (T, B))
    dense = np.eye(D)[ids] if one_hot else rng.standard_normal((T, B, D))
    xs: Any = OneHotRows(ids, D) if one_hot else dense
    out, das = np.full((T, 2, B, H), np.nan), rng.standard_normal((T, B, 2 * H))
    project = input_side(xs, w, b)
    flat = w.swapaxes(0, 1).reshape(D, 2 * H)
    dxs = no_input_gradient(xs, das.dtype)
    project_back = input_gradient(dxs, flat)
    for block in blocks(T, 3):
        project(block, out[block])
        project_back(block, das[block])
    np.testing.assert_allclose(out, np.einsum("tbd,gdh->tgbh", dense, w) + b, rtol=0, atol=1e-13)
    if one_hot:
        assert dxs is None
    else:
        assert dxs is not None
        np.testing.assert_allclose(dxs, das @ flat.T, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("blas", "found", "small"),
    [
        ("scipy-openblas", ["X86_V3", "X86_V4"], True),
        ("openblas", ["SSE3", "AVX512F"], True),
        ("openblas", ["X86_V3"], False),
        ("mkl", ["X86_V4"], False),
    ],
)
def test_which_product_numpy_has(blas: str, found: list[str], small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"Build Dependencies": {"blas": {"name": blas}}, "SIMD Extensions": {"found": found}}
    monkeypatch.setattr(np, "show_config", lambda mode: config)
    monkeypatch.setattr(plain_products, "has_openblas", plain_products.has_openblas.__wrapped__)
    assert plain_products._has_small_product.__wrapped__() is small
    assert plain_products.has_openblas() is ("openblas" in blas)
