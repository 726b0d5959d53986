"""Products with one-hot rows, compiled."""

import numpy as np

from ...arrays import Array, OneHotRows
from .compiler import Ids1, Ids2, In2, In3, Out2, Out4, compiled
from .primitives import row


def look_up(xs: OneHotRows, tables: Array, out: Array) -> None:
    """As in `kernels.products`."""
    _look_up(out, tables, xs.ids.astype(np.int64, copy=False))


@compiled
def _look_up(out: Out4, tables: In3, ids: Ids2) -> None:
    (steps, G, B, H), V = out.shape, tables.shape[1]
    for t in range(steps):
        for k in range(G):
            for b in range(B):
                if not 0 <= ids[t, b] < V:  # they are the user's array, which another thread may change
                    raise IndexError("an id is outside of the vocabulary")
                numbers, table = row(out, t, k, b), row(tables, k, ids[t, b])
                for j in range(H):
                    numbers[j] = table[j]


def add_by_id(x: OneHotRows, d: Array, dw: Array) -> None:
    """As in `kernels.products`."""
    _add(dw, d, x.ids.astype(np.int64, copy=False))


@compiled
def _add(dw: Out2, d: In2, ids: Ids1) -> None:
    for n in range(len(ids)):
        if not 0 <= ids[n] < len(dw):  # they may have changed since the forward
            raise IndexError("an id is outside of the vocabulary")
        total, d_n = row(dw, ids[n]), row(d, n)
        for j in range(len(d_n)):
            total[j] += d_n[j]
