"""Products with one-hot rows, compiled."""

import numpy as np

from ...arrays import Array, OneHotRows
from .compiler import Ids1, Ids2, In2, In3, Out2, Out4, compiled
from .primitives import row


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
