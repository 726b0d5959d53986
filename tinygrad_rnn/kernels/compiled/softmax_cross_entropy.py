"""Softmax and cross-entropy, compiled. Notation and shapes are those of `kernels.plain.softmax_cross_entropy`.

Each thread is given the whole arrays and takes some of the rows, so that the shapes that are compared are the whole.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.arrays import Array, Integers
from ..threads import divide
from .door import Ids, In, Out, compiled, own_ids
from .parts_of_numba import njit
from .primitives import clear, exp, row

WORTH = 1 << 15
"""Scores that are worth a thread: some 30 µs."""


def forward(ys: Array, ids: Integers, smoothing: float) -> tuple[Array, Array, Array]:
    """As in `kernels.plain.softmax_cross_entropy`. Raises IndexError where an id is outside of the vocabulary."""
    losses, largest, total = np.empty((3, len(ys)), ys.dtype)
    targets = own_ids(ids)

    def run(rows: slice) -> None:
        ys[rows].max(axis=-1, out=largest[rows])
        _forward(ys, targets, smoothing, losses, largest, total, rows.start, rows.stop)

    _divide(run, ys)
    return losses, largest, total


def backward(ys: Array, ids: Integers, smoothing: float, largest: Array, total: Array, dlosses: Array) -> Array:
    """As in `kernels.plain.softmax_cross_entropy`. Raises IndexError where an id is outside of the vocabulary."""
    dys = np.empty(ys.shape, ys.dtype)
    targets = own_ids(ids)

    def run(rows: slice) -> None:
        _backward(ys, targets, smoothing, largest, total, dlosses, dys, rows.start, rows.stop)

    _divide(run, ys)
    return dys


def _divide(run: Callable[[slice], None], ys: Array) -> None:
    divide(run, len(ys), WORTH // max(ys.shape[1], 1))


@compiled("0 <= first", "last <= N")
def _forward(
    ys: In[Array, "N V"],
    ids: Ids[Integers, "N", "V"],
    smoothing: float,
    losses: Out[Array, "N"],
    largest: In[Array, "N"],
    total: Out[Array, "N"],
    first: int,
    last: int,
) -> None:
    for n in range(first, last):
        y = row(ys, n)
        total[n] = _sum_of_exp(y, largest[n])
        losses[n] = math.log(total[n]) - (1 - smoothing) * (y[ids[n]] - largest[n])
        if smoothing:
            losses[n] -= smoothing * _mean(y, largest[n])


@njit(fastmath={"reassoc", "contract"})  # in any order, as vectors do
def _sum_of_exp(y: Any, largest: Any) -> Any:
    total = exp(y[0] - largest)
    for j in range(1, len(y)):
        total += exp(y[j] - largest)
    return total


@njit(fastmath={"reassoc", "contract"})
def _mean(y: Any, largest: Any) -> Any:
    """The mean of the scores, each less the largest."""
    total = y[0] - largest
    for j in range(1, len(y)):
        total += y[j] - largest
    return total / len(y)


@compiled("0 <= first", "last <= N")
def _backward(
    ys: In[Array, "N V"],
    ids: Ids[Integers, "N", "V"],
    smoothing: float,
    largests: In[Array, "N"],
    totals: In[Array, "N"],
    dlosses: In[Array, "N"],
    dys: Out[Array, "N V"],
    first: int,
    last: int,
) -> None:
    for n in range(first, last):
        y, d, largest, dloss = row(ys, n), row(dys, n), row(largests)[n], row(dlosses)[n]
        if dloss == 0:  # whatever the scores are
            clear(d)
            continue
        factor, everywhere = dloss / row(totals)[n], d.dtype.type(smoothing / len(y)) * dloss
        for j in range(len(y)):
            d[j] = exp(y[j] - largest) * factor - everywhere
        d[ids[n]] -= (1 - smoothing) * dloss
