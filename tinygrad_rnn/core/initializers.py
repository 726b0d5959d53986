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
from typing import Any

import numpy as np

from .arguments import check_number, check_rng, check_size
from .arrays import Array, Generator
from .blas import with_one_blas_thread
from .filling import stand_in

__all__ = ["blocks", "glorot", "he", "identity", "normal", "orthogonal", "ring", "uniform", "zeros"]


def uniform(shape: tuple[int, ...], *, rng: Generator, limit: float | None = None) -> Array:
    """Uniform between -`limit` and `limit`; the default, 1/√H with H the size of the last axis, is usual for cells."""
    _check("uniform", shape, rng)
    bound = 1 / math.sqrt(max(shape[-1], 1)) if limit is None else check_number("uniform", "limit", limit, least=0)
    if bound == math.inf:
        raise ValueError(f"uniform: limit must be finite, not {limit}")
    return _uniform(shape, rng, bound)


def glorot(shape: tuple[int, int], *, rng: Generator) -> Array:
    """Uniform in ±√(6 / (in + out)): keeps the variance of signals and gradients (Glorot and Bengio, 2010)."""
    _check("glorot", shape, rng, axes=2)
    return _uniform(shape, rng, math.sqrt(6 / max(sum(shape), 1)))


def he(shape: tuple[int, int], *, rng: Generator) -> Array:
    """Normal with standard deviation √(2 / in), for layers before a ReLU (He et al., 2015)."""
    _check("he", shape, rng, axes=2)
    return _normal(shape, rng, math.sqrt(2 / max(shape[0], 1)))


def normal(shape: tuple[int, ...], *, rng: Generator, std: float = 0.01) -> Array:
    """Normal with standard deviation `std`; the default is that of the classic character RNN."""
    _check("normal", shape, rng)
    return _normal(shape, rng, check_number("normal", "std", std))


@with_one_blas_thread  # so that a seed gives the same bits, whatever the number of cores
def orthogonal(shape: tuple[int, int], *, rng: Generator, gain: float = 1.0) -> Array:
    """Orthonormal rows or columns, whichever are fewer, times `gain`; drawn uniformly (Saxe et al., 2014).

    The powers of such a square matrix neither grow nor vanish, so it suits `w_h`.
    """
    _check("orthogonal", shape, rng, axes=2)
    gain = check_number("orthogonal", "gain", gain)
    if (undrawn := stand_in(shape)) is not None:
        return undrawn
    rows, columns = shape
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q *= np.sign(np.diagonal(r))  # makes the decomposition unique, and so the draw uniform
    return np.ascontiguousarray(gain * (q if rows >= columns else q.T), dtype=np.float32)


def identity(shape: tuple[int, int], *, scale: float = 1.0) -> Array:
    """`scale` on the diagonal: with ReLU, a recurrence that remembers by default (Le, Jaitly and Hinton, 2015)."""
    _check_shape("identity", shape, axes=2)
    scale = check_number("identity", "scale", scale)
    if (outline := stand_in(shape, drawn=False)) is not None:
        return outline
    return (scale * np.eye(*shape)).astype(np.float32)


def ring(
    units: int, *, rng: Generator, r_min: float = 0.9, r_max: float = 0.999, max_phase: float = 2 * math.pi
) -> tuple[Array, Array, Array]:
    """`nu`, `theta` and `gamma` (N,) of an `LRUCell`, whose factors exp(-e^nu + i e^theta) are uniform in a ring.

    It has the radii `r_min` and `r_max`, from 0 to below 1; the angles are uniform up to `max_phase`, above 0 and at
    most 2π. For a factor of size r, e^gamma is √(1 - r²), which gives a unit the size of its inputs (Orvieto et
    al., 2023).
    """
    units = check_size("ring", "units", units)
    check_rng("ring", rng)
    least, most, phase = check_ring("ring", r_min, r_max, max_phase)
    if (undrawn := stand_in((units,))) is not None:
        return undrawn, undrawn.copy(), undrawn.copy()
    squares, turns = rng.uniform(least**2, most**2, units), 1 - rng.random(units)
    squares = np.clip(squares, np.finfo(np.float32).tiny, None)  # of a radius of 0, nu would be infinite
    nu, theta, gamma = np.log(-0.5 * np.log(squares)), np.log(phase * turns), 0.5 * np.log1p(-squares)
    return nu.astype(np.float32), theta.astype(np.float32), gamma.astype(np.float32)


def check_ring(owner: str, r_min: Any, r_max: Any, max_phase: Any) -> tuple[float, float, float]:
    """The radii and the largest angle of a `ring`, as floats.

    Raises:
        TypeError: one is no number.
        ValueError: one is outside its range.
    """
    numbers = {"r_min": r_min, "r_max": r_max, "max_phase": max_phase}
    least, most, phase = (check_number(owner, name, number) for name, number in numbers.items())
    if not 0 <= least < most < 1:
        raise ValueError(f"{owner}: r_min and r_max must be 0 <= r_min < r_max < 1, not {r_min} and {r_max}")
    if not 0 < phase <= 2 * math.pi:
        raise ValueError(f"{owner}: max_phase must be above 0 and at most 2 pi, not {max_phase}")
    return least, most, phase


def zeros(shape: tuple[int, ...]) -> Array:
    """All 0, for biases."""
    _check_shape("zeros", shape)
    outline = stand_in(shape, drawn=False)
    return np.zeros(shape, np.float32) if outline is None else outline


def blocks(draw: Callable[..., Array], shape: tuple[int, int], count: int, *, rng: Generator) -> Array:
    """`count` draws of `shape` side by side, such as one for each gate of a cell: (in, count * out)."""
    if (undrawn := stand_in((shape[0], count * shape[1]))) is not None:
        return undrawn
    return np.concatenate([draw(shape, rng=rng) for _ in range(count)], axis=1)


def _uniform(shape: tuple[int, ...], rng: Generator, limit: float) -> Array:
    if (undrawn := stand_in(shape)) is not None:
        return undrawn
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def _normal(shape: tuple[int, ...], rng: Generator, std: float) -> Array:
    if (undrawn := stand_in(shape)) is not None:
        return undrawn
    return (std * rng.standard_normal(shape)).astype(np.float32)


def _check(owner: str, shape: Any, rng: Any, axes: int | None = None) -> None:
    """What is drawn from `rng` must have a shape of at least one axis, and of so many, where it is said."""
    check_rng(owner, rng)
    _check_shape(owner, shape, axes)
    if not len(shape):
        raise ValueError(f"{owner}: shape is (), expected at least one axis")


def _check_shape(owner: str, shape: Any, axes: int | None = None) -> None:
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"{owner}: shape must be a tuple of sizes, not {shape!r}")
    if axes is not None and len(shape) != axes:
        raise ValueError(f"{owner}: shape is {shape!r}, expected {axes} axes, (in, out)")
    for size in shape:
        check_size(owner, "a size of shape", size, least=0)
