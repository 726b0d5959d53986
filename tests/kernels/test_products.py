from __future__ import annotations

import numpy as np
import pytest

from tinygrad_rnn.kernels import products
from tinygrad_rnn.kernels.products import multiplied, multiplier

SIZES = [
    (32, 256, 768),  # blocks of 32 rows and 64 columns
    (64, 1536, 512),  # of 16 columns
    (100, 200, 600),  # of 25 rows and 60 columns
    (31, 211, 211),  # which no block divides
    (16, 8, 8),  # small itself
    (1, 1024, 1024),
    (0, 3, 4),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize(("rows", "K", "N"), SIZES)
def test_it_is_the_product(
    rows: int, K: int, N: int, small: bool, dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_has_small_product", lambda: small)
    monkeypatch.setattr(products, "one_thread", lambda: True)
    a, w = rng.standard_normal((rows, K + 5)).astype(dtype)[:, 5:], rng.standard_normal((N, K)).astype(dtype).T
    before = a.copy(), w.copy()
    out = np.full((rows, N), np.nan, dtype)
    multiplier(w, rows)(a, out=out)
    expected = np.einsum("ik,kj->ij", a.astype(float), w.astype(float))
    np.testing.assert_allclose(out, expected, rtol=0, atol=4 * K * float(np.finfo(dtype).eps))
    np.testing.assert_array_equal(multiplied(a, w), out)
    assert multiplied(a, w).dtype == dtype
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(w, before[1])


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_a_stack_of_matrices(
    small: bool, shared: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one `a` for all of them, or with one each."""
    monkeypatch.setattr(products, "_has_small_product", lambda: small)
    monkeypatch.setattr(products, "one_thread", lambda: True)
    a, w = rng.standard_normal((64, 256) if shared else (4, 64, 256)), rng.standard_normal((4, 256, 96))
    out = np.empty((4, 64, 96))
    multiplier(w, 64)(a, out=out)
    np.testing.assert_allclose(out, np.einsum("ik,gkj->gij" if shared else "gik,gkj->gij", a, w), rtol=0, atol=1e-11)


@pytest.mark.parametrize(("small", "one", "copied"), [(True, True, True), (False, True, False), (True, False, False)])
def test_blocks_are_multiplied_where_that_is_faster(
    small: bool, one: bool, copied: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen by the copy that is then made of w."""
    monkeypatch.setattr(products, "_has_small_product", lambda: small)
    monkeypatch.setattr(products, "one_thread", lambda: one)
    w, a = rng.standard_normal((256, 768)), rng.standard_normal((32, 256))
    multiply, before, out = multiplier(w, 32), a @ w, np.empty((32, 768))
    w += 1
    multiply(a, out=out)
    np.testing.assert_allclose(out, before if copied else a @ w, rtol=0, atol=1e-10)


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
    assert products._has_small_product.__wrapped__() is small
