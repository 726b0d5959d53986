"""Softmax and cross-entropy of rows of scores, forward and back.

Notation: N rows of V scores `ys`, and `ids` (N,), the target of each. `largest` (N,) is the largest score of a row, and
`total` (N,) the sum of exp(ys - largest), so that the probabilities are exp(ys - largest) / total. They are not kept,
which would take a third array (N, V) beside the scores and their gradients, but made again: with V = 10,000 the two
functions here take a quarter more time for that, and the compiled ones hardly any.

It goes through blocks of rows that a cache of the processor holds, and these are divided among the threads.
"""

from __future__ import annotations

from functools import partial

from ...core.arrays import Array, Integers, is_empty, namespace
from ..threads import divide_blocks


def forward(ys: Array, ids: Integers, smoothing: float) -> tuple[Array, Array, Array]:
    """The losses (N,), `largest` and `total`."""
    losses, largest, total = namespace(ys).empty((3, len(ys)), ys.dtype)
    divide_blocks(partial(_forward, ys, ids, smoothing, losses, largest, total), ys)
    return losses, largest, total


def _forward(
    ys: Array, ids: Integers, smoothing: float, losses: Array, largest: Array, total: Array, block: slice
) -> None:
    xp = namespace(ys)
    ys[block].max(axis=-1, out=largest[block])
    a = ys[block] - largest[block, None]
    chosen = a[xp.arange(len(a)), ids[block]]
    mean = a.mean(axis=-1) if smoothing else 0
    xp.exp(a, out=a).sum(axis=-1, out=total[block])
    losses[block] = xp.log(total[block]) - (1 - smoothing) * chosen - smoothing * mean


def backward(ys: Array, ids: Integers, smoothing: float, largest: Array, total: Array, dlosses: Array) -> Array:
    """The gradients by the scores (N, V), from those by the losses (N,); 0 where these are, whatever the scores."""
    dys: Array = namespace(ys).empty(ys.shape, ys.dtype)
    divide_blocks(partial(_backward, ys, ids, smoothing, largest, total, dlosses, dys), ys)
    return dys


def _backward(
    ys: Array, ids: Integers, smoothing: float, largest: Array, total: Array, dlosses: Array, dys: Array, block: slice
) -> None:
    xp, d, dloss = namespace(ys), dys[block], dlosses[block]
    xp.subtract(ys[block], largest[block, None], out=d)
    xp.exp(d, out=d)
    d *= (dloss / total[block])[:, None]
    if smoothing:
        d -= (smoothing / ys.shape[1] * dloss)[:, None]
    d[xp.arange(len(d)), ids[block]] -= (1 - smoothing) * dloss
    stopped = dloss == 0
    if not is_empty(stopped):  # to copy nothing takes a fifth of the time of this function
        xp.copyto(d, 0, where=stopped[:, None])  # or a NaN would pass
