"""Random masks, which layers draw during training.

Of the layer's stream only a key is drawn, at each call. The mask follows from the key by a counter-based generator, in
integers, so that every device and dtype gets the same mask.
"""

from __future__ import annotations

from ..core.arrays import Array, Generator
from ..kernels.backends import backend


def random_mask(rng: Generator, probability: float, shape: tuple[int, ...], like: Array, value: float = 1.0) -> Array:
    """`value` with `probability`, else 0, with the dtype and device of `like`."""
    key = rng.integers(0, 1 << 64, 2, "uint64")
    return backend(like).random_mask(key, probability, value, shape, like)


def dropout_mask(rng: Generator, rate: float, shape: tuple[int, ...], like: Array, training: bool) -> Array | None:
    """0 with probability `rate`, else 1 / (1 - rate), so that the mean is 1; None, without a draw, if nothing drops."""
    if not training or not rate:
        return None
    return random_mask(rng, 1 - rate, shape, like, 1 / (1 - rate))
