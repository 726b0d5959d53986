"""Softmax and cross-entropy with a distribution as target, forward and back; NumPy or CuPy, never compiled.

Notation: `ys` (..., V), and `qs` (..., V), how much each class is wanted. A row of it sums to 1, or to another number
where classes have weights; a row of zeros gives neither loss nor gradient. `largest` and `total` are as in
`kernels.plain.softmax_cross_entropy`, but with the leading axes of `ys`.
"""

from __future__ import annotations

from ..core.arrays import Array, Integers, namespace


def forward(ys: Array, qs: Array) -> tuple[Array, Array, Array]:
    """The losses (...), `largest` and `total`."""
    xp = namespace(ys)
    largest = ys.max(axis=-1)
    a = ys - largest[..., None]
    total = xp.exp(a).sum(axis=-1)
    log_p = xp.where(qs == 0, 0, a - xp.log(total)[..., None])  # a class that is ruled out, by -inf, may be unwanted
    return -(qs * log_p).sum(axis=-1), largest, total


def backward(ys: Array, qs: Array, largest: Array, total: Array, dlosses: Array) -> Array:
    """The gradients by `ys`, from those by the losses (...); 0 where these are, whatever `ys` holds."""
    xp, dlosses = namespace(ys), dlosses[..., None]
    p = xp.exp(ys - largest[..., None]) / total[..., None]
    dys: Array = xp.where(dlosses == 0, 0, (qs.sum(axis=-1, keepdims=True) * p - qs) * dlosses)
    return dys


def smoothed(qs: Array, smoothing: float) -> Array:
    """`qs` mixed with the same for each class."""
    return (1 - smoothing) * qs + smoothing / max(qs.shape[-1], 1) if smoothing else qs


def one_hot(ids: Integers, ys: Array) -> Array:
    """Distributions of the shape and dtype of `ys` that are 1 at the ids (...)."""
    qs: Array = (ids[..., None] == namespace(ys).arange(ys.shape[-1])).astype(ys.dtype)
    return qs
