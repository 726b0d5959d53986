"""Random masks, which layers draw during training.

Of the layer's stream only a key is drawn, at each call. The mask follows from the key by a counter-based generator, in
integers, so that every device and dtype gets the same mask, and every part of a batch that of its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..core.arguments import check_size
from ..core.arrays import Array, Generator
from ..kernels.backends import backend

_part: ContextVar[tuple[int, int] | None] = ContextVar("part of a batch", default=None)


@contextmanager
def part_of_batch(first: int, total: int) -> Iterator[None]:
    """A `with` block in which a batch is a part of a larger batch of `total` rows, beginning at row `first`.

    Layers that draw masks give each row the mask that it has in the larger batch. So a batch may be divided in any way,
    among calls or machines, whose layers have the same random streams: all parts together give what the whole batch
    gives. Each part computes only the masks of its own rows.

    Args:
        first: 0 to `total`.
        total: at least 0.

    Raises:
        TypeError: one of them is not an integer.
        ValueError: one of them is out of range; in a `forward`, the part does not end within the larger batch.

    Example:
        >>> layer = Dropout(0.5, rng=np.random.default_rng(0))
        >>> xs = np.ones((4, 3), np.float32)
        >>> whole, _ = layer.forward(xs)
        >>> layer = Dropout(0.5, rng=np.random.default_rng(0))
        >>> with part_of_batch(2, 4):
        ...     ys, _ = layer.forward(xs[2:])
        >>> bool((ys == whole[2:]).all())
        True
    """
    total = check_size("part_of_batch", "total", total, least=0)
    first = check_size("part_of_batch", "first", first, least=0)
    if first > total:
        raise ValueError(f"part_of_batch: first must be at most total, {total}, not {first}")
    token = _part.set((first, total))
    try:
        yield
    finally:
        _part.reset(token)


def random_mask(
    rng: Generator, probability: float, shape: tuple[int, ...], like: Array, value: float = 1.0, *, rows: bool = True
) -> Array:
    """`value` with `probability`, else 0, with the dtype and device of `like`.

    With `rows`, `shape` is (..., B, D), and `part_of_batch` says which rows these are.
    """
    key = rng.integers(0, 1 << 64, 2, "uint64")
    draw, part = backend(like).random_mask, _part.get()
    if part is None or not rows or len(shape) < 2:
        return draw(key, probability, value, shape, like)
    batch, (first, total) = shape[-2], part
    if first + batch > total:
        raise ValueError(f"part_of_batch: rows {first} to {first + batch - 1} were given, but total is {total}")
    return draw(key, probability, value, shape, like, part)


def dropout_mask(
    rng: Generator, rate: float, shape: tuple[int, ...], like: Array, training: bool, *, rows: bool = True
) -> Array | None:
    """0 with probability `rate`, else 1 / (1 - rate), so that the mean is 1; None, without a draw, if nothing drops."""
    if not training or not rate:
        return None
    return random_mask(rng, 1 - rate, shape, like, 1 / (1 - rate), rows=rows)
