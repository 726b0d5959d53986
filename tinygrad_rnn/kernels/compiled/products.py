"""A product with one-hot rows, compiled."""

import numpy as np

from ...arrays import Array, OneHotRows
from .compiler import Ids, In2, Out2, compiled
from .primitives import row


def add_by_id(x: OneHotRows, d: Array, dw: Array) -> None:
    """As in `kernels.products`."""
    _add(dw, d, x.ids.astype(np.int64, copy=False))


@compiled
def _add(dw: Out2, d: In2, ids: Ids) -> None:
    for n in range(len(ids)):
        if not 0 <= ids[n] < len(dw):  # they are the user's array, and may have changed since the forward
            raise IndexError("an id is outside of the vocabulary")
        total, d_n = row(dw[ids[n]]), row(d[n])
        for j in range(len(d_n)):
            total[j] += d_n[j]
