"""Initializers of parameters: functions `(shape, *, rng) -> host array`, float32.

The numbers are drawn on the host, in float64, and then rounded, so a model starts from the same bits on every device.
`shape` is `(in, out)` for weights. `zeros` and `identity` draw nothing and take no rng.

Example:
    >>> from tinygrad_rnn import initializers
    >>> w_h = initializers.orthogonal((64, 64), rng=np.random.default_rng(0))
    >>> bool(abs(w_h.T @ w_h - initializers.identity((64, 64))).max() < 1e-6)
    True
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .arrays import Array, Generator
from .checks import check_rng

__all__ = ["blocks", "glorot", "he", "identity", "normal", "orthogonal", "uniform", "zeros"]


def uniform(shape: tuple[int, ...], *, rng: Generator, limit: float | None = None) -> Array:
    """Uniform between -`limit` and `limit`; the default, 1/√H with H the size of the last axis, is usual for cells."""
    check_rng("uniform", rng)
    bound = 1 / math.sqrt(shape[-1]) if limit is None else limit
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def glorot(shape: tuple[int, int], *, rng: Generator) -> Array:
    """Uniform in ±√(6 / (in + out)): keeps the variance of signals and gradients (Glorot and Bengio, 2010)."""
    return uniform(shape, rng=rng, limit=math.sqrt(6 / sum(shape)))


def he(shape: tuple[int, int], *, rng: Generator) -> Array:
    """Normal with standard deviation √(2 / in), for layers before a ReLU (He et al., 2015)."""
    return normal(shape, rng=rng, std=math.sqrt(2 / shape[0]))


def normal(shape: tuple[int, ...], *, rng: Generator, std: float = 0.01) -> Array:
    """Normal with standard deviation `std`; the default is that of the classic character RNN."""
    check_rng("normal", rng)
    return (std * rng.standard_normal(shape)).astype(np.float32)


def orthogonal(shape: tuple[int, int], *, rng: Generator, gain: float = 1.0) -> Array:
    """Orthonormal rows or columns, whichever are fewer, times `gain`; drawn uniformly (Saxe et al., 2014).

    The powers of such a square matrix neither grow nor vanish, so it suits `w_h`.
    """
    check_rng("orthogonal", rng)
    rows, columns = shape
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q *= np.sign(np.diagonal(r))  # makes the decomposition unique, and so the draw uniform
    return np.ascontiguousarray(gain * (q if rows >= columns else q.T), dtype=np.float32)


def identity(shape: tuple[int, int], *, scale: float = 1.0) -> Array:
    """`scale` on the diagonal: with ReLU, a recurrence that remembers by default (Le, Jaitly and Hinton, 2015)."""
    return (scale * np.eye(*shape)).astype(np.float32)


def zeros(shape: tuple[int, ...]) -> Array:
    """All 0, for biases."""
    return np.zeros(shape, np.float32)


def blocks(draw: Callable[..., Array], shape: tuple[int, int], count: int, *, rng: Generator) -> Array:
    """`count` draws of `shape` side by side, such as one for each gate of a cell: (in, count * out)."""
    return np.concatenate([draw(shape, rng=rng) for _ in range(count)], axis=1)
