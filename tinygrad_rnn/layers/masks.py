"""Random masks, which layers draw during training.

The uniform numbers are drawn on the host and in float64, so that every device and dtype gets the same mask. On a GPU
this costs one transfer, of one byte per entry.
"""

from __future__ import annotations

from ..core.arrays import Array, Generator
from ..core.device import device_of


def random_mask(rng: Generator, probability: float, shape: tuple[int, ...], like: Array) -> Array:
    """1 with `probability`, else 0, with the dtype and device of `like`."""
    mask: Array = device_of(like).asarray(rng.random(shape) < probability).astype(like.dtype)
    return mask


def dropout_mask(rng: Generator, rate: float, shape: tuple[int, ...], like: Array, training: bool) -> Array | None:
    """0 with probability `rate`, else 1 / (1 - rate), so that the mean is 1; None, without a draw, if nothing drops."""
    if not training or not rate:
        return None
    return random_mask(rng, 1 - rate, shape, like) / (1 - rate)
