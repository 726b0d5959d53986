"""Random masks, which layers draw while they train.

The uniforms are drawn on the host and in float64, so that every device and dtype gets the same mask. That costs a GPU
one transfer, of one byte an entry.
"""

from __future__ import annotations

from ..core.arrays import Array, Generator
from ..core.device import device_of


def random_mask(rng: Generator, probability: float, shape: tuple[int, ...], like: Array) -> Array:
    """1 with `probability`, else 0, in the dtype of `like` and where it lies."""
    mask: Array = device_of(like).asarray(rng.random(shape) < probability).astype(like.dtype)
    return mask


def dropout_mask(rng: Generator, rate: float, shape: tuple[int, ...], like: Array, training: bool) -> Array | None:
    """0 with probability `rate`, else 1 / (1 - rate), so that the mean is 1. None, and no draw, where nothing drops."""
    if not training or not rate:
        return None
    return random_mask(rng, 1 - rate, shape, like) / (1 - rate)
