"""Shards: the runs of rows that a batch is cut into, each of which is computed alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..core.arrays import namespace
from ..data.batch import Batch


class Shards(NamedTuple):
    """The shards of one batch that one worker computes."""

    batch: Batch
    """The whole batch, or all rows of these shards."""
    bounds: tuple[int, ...]
    """The first row of each shard, and the end of the last one, counted in the whole batch."""
    total: int
    """The rows of the whole batch."""
    offset: int = 0
    """The first row of `batch`, counted in the whole batch."""

    def rows(self) -> Iterator[tuple[int, int]]:
        """The first row and the end of each shard, counted in the whole batch."""
        return zip(self.bounds[:-1], self.bounds[1:], strict=True)

    def cut(self, first: int, stop: int, each_step: bool) -> Batch:
        """The batch of some rows. With `each_step`, targets and weights have an axis of steps before that of the rows.

        The arrays are copies without gaps: how an array lies in memory can change the last bit of a product.
        """
        rows = slice(first - self.offset, stop - self.offset)
        axes = Batch(xs=1, targets=int(each_step), lengths=0, starts=1, weights=int(each_step))
        return Batch(*(_take(array, rows, axis) for array, axis in zip(self.batch, axes, strict=True)))


def _take(array: Any, rows: slice, axis: int) -> Any:
    return None if array is None else namespace(array).ascontiguousarray(array[(slice(None),) * axis + (rows,)])


def bounds_of(total: int, shards: int, rank: int, size: int) -> tuple[int, ...]:
    """Where the shards of worker `rank` begin, and the last one ends: `total` rows in runs that differ by one at most.

    Example:
        >>> bounds_of(6, 4, 0, 2), bounds_of(6, 4, 1, 2)
        ((0, 1, 3), (3, 4, 6))
    """
    each = shards // size
    return tuple(total * shard // shards for shard in range(rank * each, (rank + 1) * each + 1))


def divided(source: Any, shards: int, rank: int, size: int) -> Any:
    """`source`, with the shards of worker `rank` in the place of each batch. What it can do, that can do too."""
    if isinstance(source, (DividedBatches, DividedList, DividedEpochs)):
        return source
    if hasattr(source, "epoch"):
        return DividedEpochs(source, shards, rank, size)
    is_list = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    return (DividedList if is_list else DividedBatches)(source, shards, rank, size)


class DividedBatches:
    """Batches that can only be gone through."""

    def __init__(self, source: Any, *division: int) -> None:
        self.source, self.seed, self._division = source, getattr(source, "seed", None), division

    def __iter__(self) -> Iterator[Shards]:
        batches: Iterable[Any] = self.source
        return map(self._divide, batches)

    def _divide(self, batch: Any) -> Shards:
        if not isinstance(batch, Batch):
            raise TypeError(f"Workers.batches: each must be a Batch(xs, targets, ...), not a {type(batch).__name__}")
        total = batch.xs.shape[1]
        return Shards(batch, bounds_of(total, *self._division), total)


class DividedList(DividedBatches):
    """Batches with `len` and `[k]`. A source with `rows`, as `TokenStream`, need not read those of other workers."""

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Shards]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, k: int) -> Shards:
        if not hasattr(self.source, "rows"):
            return self._divide(self.source[k])
        bounds = bounds_of(self.source.batch, *self._division)
        return Shards(self.source.rows(k, bounds[0], bounds[-1]), bounds, self.source.batch, bounds[0])


class DividedEpochs:
    """Batches that are others in each epoch."""

    def __init__(self, source: Any, *division: int) -> None:
        self.source, self.seed, self._division = source, getattr(source, "seed", None), division

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Shards]:
        return iter(self.epoch(0))

    def epoch(self, number: int) -> Any:
        """The shards of the epoch of this number."""
        return divided(self.source.epoch(number), *self._division)
