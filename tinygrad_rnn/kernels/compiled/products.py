"""The products of a block of steps, compiled."""

from collections.abc import Callable

import numpy as np

from ...arrays import Array, OneHotRows, as_rows
from .. import products
from .compiler import Ids1, Ids2, In2, In3, Out2, Out4, compiled
from .primitives import multiply, pack, room_for_product, row

FEWEST = 128
"""Rows in all, from which it pays to pack the weights."""
ROWS = 48
"""Rows whose products are made at once, and lie in the cache until they are added to: whole tiles, of 6 or 8."""


def projection(w: Array, b: Array, rows: int) -> Callable[[Array, Array], None]:
    """As in `kernels.products`, which runs instead for few rows, and where the matrix product is not OpenBLAS's.

    That packs its matrices anew at each call, and is slower: in float32, on an AMD Zen 4 with AVX-512, where its rate
    is 100 GFLOP/s at best, 256 rows by (64, 512) take it 39 % more time, 512 rows by (512, 2048) 10 %.
    """
    if rows < FEWEST or not products.has_openblas():
        return products.projection(w, b, rows)
    packed = pack(w)

    def project(xs: Array, out: Array) -> None:
        xs = as_rows(xs).astype(out.dtype, copy=False)
        _project(out, xs, packed, b, room_for_product(packed, ROWS))

    return project


@compiled
def _project(out: Out4, xs: In2, w: In3, bias: In3, sums: Out2) -> None:
    (_, G, B, H), width = out.shape, sums.shape[1] // len(bias)
    for first in range(0, len(xs), ROWS):
        last = min(first + ROWS, len(xs))
        multiply(xs[first:last], w, sums[: last - first])
        for n in range(first, last):
            t, b = divmod(n, B)
            for k in range(G):
                numbers, b_k = row(out, t, k, b), row(bias, k, 0)
                product = row(sums, n - first)[k * width : k * width + H]
                for j in range(H):
                    numbers[j] = product[j] + b_k[j]


def look_up(xs: OneHotRows, tables: Array, out: Array) -> None:
    """As in `kernels.products`. Raises IndexError where an id is outside of the vocabulary."""
    _look_up(out, tables, xs.ids.astype(np.int64, copy=False))


@compiled
def _look_up(out: Out4, tables: In3, ids: Ids2) -> None:
    (steps, G, B, H), V = out.shape, tables.shape[1]
    for t in range(steps):
        for k in range(G):
            for b in range(B):
                v = ids[t, b]
                if not 0 <= v < V:  # they are the user's array, and may have changed since they were checked
                    raise IndexError("an id is outside of the vocabulary")
                numbers, table = row(out, t, k, b), row(tables, k, v)
                for j in range(H):
                    numbers[j] = table[j]


def add_by_id(x: OneHotRows, d: Array, dw: Array) -> None:
    """As in `kernels.products`. Raises IndexError where an id is outside of the vocabulary."""
    _add(dw, d, x.ids.astype(np.int64, copy=False))


@compiled
def _add(dw: Out2, d: In2, ids: Ids1) -> None:
    for n in range(len(ids)):
        v = ids[n]
        if not 0 <= v < len(dw):
            raise IndexError("an id is outside of the vocabulary")
        total, d_n = row(dw, v), row(d, n)
        for j in range(len(d_n)):
            total[j] += d_n[j]
