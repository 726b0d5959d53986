"""Softmax and cross-entropy, compiled. Notation and shapes are those of `kernels.plain.softmax_cross_entropy`."""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from ...core.arrays import Array, Integers
from ..threads import divide
from .compiler import Ids1, In1, In2, Out1, Out2, compiled
from .primitives import exp, row

WORTH = 1 << 15
"""Scores that are worth a thread: some 30 µs."""


def forward(ys: Array, ids: Integers, smoothing: float) -> tuple[Array, Array, Array]:
    """As in `kernels.plain.softmax_cross_entropy`."""
    losses, largest, total = np.empty((3, len(ys)), ys.dtype)

    def run(rows: slice) -> None:
        ys[rows].max(axis=-1, out=largest[rows])
        _forward(ys[rows], ids[rows], smoothing, losses[rows], largest[rows], total[rows])

    _divide(run, ys)
    return losses, largest, total


def backward(ys: Array, ids: Integers, smoothing: float, largest: Array, total: Array, dlosses: Array) -> Array:
    """As in `kernels.plain.softmax_cross_entropy`."""
    dys = np.empty(ys.shape, ys.dtype)

    def run(rows: slice) -> None:
        _backward(ys[rows], ids[rows], smoothing, largest[rows], total[rows], dlosses[rows], dys[rows])

    _divide(run, ys)
    return dys


def _divide(run: Callable[[slice], None], ys: Array) -> None:
    divide(run, len(ys), WORTH // max(ys.shape[1], 1))


@compiled
def _forward(ys: In2, ids: Ids1, smoothing: float, losses: Out1, largest: In1, total: Out1) -> None:
    for n in range(len(ys)):
        y = row(ys, n)
        total[n] = _sum_of_exp(y, largest[n])
        losses[n] = math.log(total[n]) - (1 - smoothing) * (y[ids[n]] - largest[n])
        if smoothing:
            losses[n] -= smoothing * _mean(y, largest[n])


@numba.njit(fastmath={"reassoc", "contract"})  # in any order, as vectors do
def _sum_of_exp(y: Any, largest: Any) -> Any:
    total = exp(y[0] - largest)
    for j in range(1, len(y)):
        total += exp(y[j] - largest)
    return total


@numba.njit(fastmath={"reassoc", "contract"})
def _mean(y: Any, largest: Any) -> Any:
    """The mean of the scores, each less the largest."""
    total = y[0] - largest
    for j in range(1, len(y)):
        total += y[j] - largest
    return total / len(y)


@compiled
def _backward(ys: In2, ids: Ids1, smoothing: float, largests: In1, totals: In1, dlosses: In1, dys: Out2) -> None:
    for n in range(len(ys)):
        y, d, largest, dloss = row(ys, n), row(dys, n), row(largests)[n], row(dlosses)[n]
        if dloss == 0:  # whatever the scores are
            d[:] = 0
            continue
        factor, everywhere = dloss / row(totals)[n], d.dtype.type(smoothing / len(y)) * dloss
        for j in range(len(y)):
            d[j] = exp(y[j] - largest) * factor - everywhere
        d[ids[n]] -= (1 - smoothing) * dloss
