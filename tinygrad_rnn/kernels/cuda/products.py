"""Products by cuBLAS, of matrices whose rows may lie apart, and the layout of the gates.

CuPy's own `dot` takes 15 µs of the host, and copies a matrix whose rows lie apart; a call of cuBLAS itself takes 1 µs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import cupy
from cupy.cuda import cublas
from cupy.cuda.device import get_cublas_handle

from ...core.arrays import Array
from ...core.one_hot import OneHotRows

_GEMM = {"f": cublas.sgemm, "d": cublas.dgemm}
_NUMBERS = {(kind, n): real(n) for kind, real in (("f", ctypes.c_float), ("d", ctypes.c_double)) for n in (0, 1)}


def address_of(array: Any) -> int:
    """Of the first number of an array of CuPy."""
    return int(array.data.ptr)


class Matrix(NamedTuple):
    """Numbers as cuBLAS takes them: rows of equal distance, or the transpose of such a matrix."""

    memory: Array
    """The array given, or a copy."""
    transposed: int
    width: int
    """How many numbers apart the rows lie; of a transpose, the columns."""


def matrix(array: Array) -> Matrix:
    """Of rows (..., N), or of the transpose of a matrix."""
    strides, shape, size = array.strides, array.shape, array.itemsize
    (*_, down, right), (*_, M, N) = strides, shape
    if array.ndim == 2 and M == 1:  # the distance of its rows may be anything
        down = N * size
    evenly = all(strides[i] == strides[i + 1] * shape[i + 1] for i in range(array.ndim - 2))
    if right == size and down >= N * size and evenly:
        return Matrix(array, 0, down // size)
    if array.ndim == 2 and down == size and right >= M * size:
        return Matrix(array, 1, right // size)
    return Matrix(cupy.array(array, order="C"), 0, N)


def multiplier(w: Array, rows: int, *, width: int, width_out: int, add: bool = False) -> Callable[[int, int], None]:
    """`multiply(a, out)` of the addresses of matrices: sets `out` (rows, N) to `a @ w`, or adds it to `out`.

    `a` is (rows, K) and `w` (K, N), a matrix or a transpose. Rows of `a` lie `width` numbers apart, those of `out`
    `width_out`. What is a row here is a column to cuBLAS, and `a @ w` is w.T @ a.T to it.
    """
    (K, N), (w, transposed, width_w) = w.shape, matrix(w)
    gemm, handle, address = _GEMM[w.dtype.char], get_cublas_handle(), address_of(w)
    one, keep = (ctypes.addressof(_NUMBERS[w.dtype.char, n]) for n in (1, int(add)))

    def multiply(a: int, out: int, w: Array = w) -> None:  # w: so that a copy lives as long
        gemm(handle, transposed, 0, N, rows, K, one, address, width_w, a, width, keep, out, width_out)

    return multiply


def add_product(x: Array, d: Array, dw: Array) -> None:
    """As in `kernels.plain.products`, in one operation."""
    (K, N), M = dw.shape, d.size // max(d.shape[-1], 1)
    if not (M and K and N):
        return
    left, right, total = matrix(x), matrix(d), matrix(dw)
    assert total.memory is dw  # it is a part of the gradient
    assert not total.transposed
    gemm, handle, one = _GEMM[d.dtype.char], get_cublas_handle(), ctypes.addressof(_NUMBERS[d.dtype.char, 1])
    a, b, out = (address_of(part.memory) for part in (right, left, total))
    down, across = right.transposed, 1 - left.transposed
    gemm(handle, down, across, N, K, M, one, a, right.width, b, left.width, one, out, total.width)


def by_gate(w: Array, gates: int, sigmoids: int) -> Array:
    """As in `kernels.plain.products`, but a view, and not halved: the kernels halve what enters a sigmoid."""
    view: Array = w.reshape(-1, gates, w.shape[-1] // gates).swapaxes(0, 1)
    return view


def empty_gates(like: Array, T: int, gates: int, B: int, H: int) -> Array:
    """As in `kernels.plain.products`, but the gates lie beside the units, where one product sets them all."""
    array: Array = cupy.empty((T, B, gates, H), like.dtype).swapaxes(1, 2)
    return array


def projection(w: Array, b: Array | None, rows: int) -> Callable[[Array, Array], None]:
    """As in `kernels.plain.products`, for an `out` as `empty_gates` makes it."""
    G, D, H = w.shape
    flat = w.swapaxes(0, 1).reshape(D, G * H)
    bias = None if b is None else b.reshape(G * H)

    def project(xs: Array, out: Array) -> None:
        product, a = _flat(out), matrix(xs)
        if product.size:
            multiplier(flat, len(product), width=a.width, width_out=G * H)(address_of(a.memory), address_of(product))
            if bias is not None:
                product += bias

    return project


def look_up(xs: OneHotRows, tables: Array, out: Array) -> None:
    """As in `kernels.plain.products`, for an `out` as `empty_gates` makes it."""
    G, V, H = tables.shape
    tables.swapaxes(0, 1).reshape(V, G * H).take(xs.ids.reshape(-1), axis=0, out=_flat(out))


def _flat(out: Array) -> Array:
    """`out` (steps, G, B, H), of which the gates lie beside the units, as a matrix (steps * B, G * H): a view."""
    steps, G, B, H = out.shape
    flat: Array = out.swapaxes(1, 2).reshape(steps * B, G * H)
    assert not flat.size or address_of(flat) == address_of(out)
    return flat
