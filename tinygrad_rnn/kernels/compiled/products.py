"""Products of a block of steps, compiled."""

from collections.abc import Callable

import numpy as np

from ...core.arrays import Array, Integers
from ...core.one_hot import OneHotRows, as_rows
from ..plain import products
from .door import Ids, In, Out, compiled, own_ids
from .packed import Packed, multiply, pack, room_for_product
from .primitives import row

WORTH_PACKING = 128
"""Rows in all, from which it pays to bring the weights into the order in which they are multiplied by."""
FILLED = 0.75
"""The least share of weights in their panels, of which zeros fill the last: with fewer columns, BLAS is faster."""
CHUNK = 48
"""Rows multiplied at once, whose sums stay in the cache until the bias is added: whole tiles, of 6 or 8."""


def projection(w: Array, b: Array | None, rows: int) -> Callable[[Array, Array], None]:
    """As in `kernels.plain.products`, which runs instead for few rows or columns, and where BLAS is not OpenBLAS.

    OpenBLAS brings its matrices into an order of its own at each call. In float32 with AVX-512, on an AMD Zen 4, it
    takes 39 % longer for 256 rows by (64, 512), and 10 % for 512 rows by (512, 2048); of the product back, 26 and 16 %.
    """
    if rows < WORTH_PACKING or not products.has_openblas():
        return products.projection(w, b, rows)
    packed = pack(w)
    if w.size < FILLED * packed.size:
        return products.projection(w, b, rows)
    sums, bias = room_for_product(packed, CHUNK), np.zeros((len(w), 1, w.shape[2]), w.dtype) if b is None else b
    return lambda xs, out: _project(out, as_rows(xs), packed, w.shape[2], bias, sums)


@compiled("N == S * B", "G >= 1", "C >= 1", "columns == H", "P == G * -(-H // W)")
def _project(
    out: Out[Array, "S G B H"],
    xs: In[Array, "N K"],
    w: Packed[Array, "P K W"],
    columns: int,
    bias: In[Array, "G 1 H"],
    sums: Out[Array, "C P*W"],
) -> None:
    (_, G, B, H), (chunk, width) = out.shape, sums.shape
    width //= G
    for first in range(0, len(xs), chunk):
        last = min(first + chunk, len(xs))
        multiply(xs[first:last], w, sums[: last - first])
        for n in range(first, last):
            t, b = divmod(n, B)
            for k in range(G):
                numbers, b_k = row(out, t, k, b), row(bias, k, 0)
                product = row(sums, n - first)[k * width : k * width + H]
                for j in range(H):
                    numbers[j] = product[j] + b_k[j]


def look_up(xs: OneHotRows, tables: Array, out: Array) -> None:
    """As in `kernels.plain.products`. Raises IndexError where an id is outside of the vocabulary."""
    _look_up(out, tables, own_ids(xs.ids), xs.size)


@compiled("V == size")
def _look_up(out: Out[Array, "S G B H"], tables: In[Array, "G V H"], ids: Ids[Integers, "S B", "V"], size: int) -> None:
    steps, G, B, H = out.shape
    for t in range(steps):
        for k in range(G):
            for b in range(B):
                numbers, table = row(out, t, k, b), row(tables, k, ids[t, b])
                for j in range(H):
                    numbers[j] = table[j]


def add_by_id(x: OneHotRows, d: Array, dw: Array) -> None:
    """As in `kernels.plain.products`. Raises IndexError where an id is outside of the vocabulary."""
    _add(dw, d, own_ids(x.ids), x.size)


@compiled("V == size")
def _add(dw: Out[Array, "V H"], d: In[Array, "N H"], ids: Ids[Integers, "N", "V"], size: int) -> None:
    for n in range(len(ids)):
        total, d_n = row(dw, ids[n]), row(d, n)
        for j in range(len(d_n)):
            total[j] += d_n[j]
