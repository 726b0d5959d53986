"""The gradients of a batch from those of its shards: each computed alone, summed in the tree, exchanged once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..core.arrays import Array, namespace
from ..core.device import on_host
from ..core.layer import Layer
from ..core.roles import Loss, Recurrent
from ..layers.masks import part_of_batch
from ..training.gradients import check_batch, check_loss, counted_of, rows_of
from ..training.measuring import on_device
from .links import link_for
from .shards import Shards
from .states import ShardStates
from .tree import Link, TreeSum, sum_between

NOTES = 4
"""Numbers of a shard in the message, behind the gradients: its loss, what counts, whether it is finite, a wish."""


class ShardSums:
    """What of `Workers` computes.

    The message is one vector: the gradients, then `NOTES` numbers for each shard of the batch, in columns. A shard's
    numbers are 0 in all workers but one, so that the sum of the messages has them as they were.

    Args:
        shards: of a batch.
        rank, size: of this worker, and how many there are.
        communicator: of mpi4py; None where there is one worker.
    """

    def __init__(self, shards: int, rank: int, size: int, communicator: Any) -> None:
        self._shards, self._rank, self._size, self._communicator = shards, rank, size, communicator
        self._tree: TreeSum | None = None
        self._link: Link | None = None
        self._wish = self._agreed = 0.0
        self.nonfinite: list[int] = []
        """The shards whose loss or gradient was not finite in the last batch."""

    def agree(self, wish: float) -> float:
        """The largest wish at the last exchange; `wish` is for the next one."""
        self._wish = wish
        return wish if self._size == 1 else self._agreed

    def add_gradients(
        self, owner: str, model: Any, criterion: Loss, shards: Shards, states: ShardStates, dloss: float | None
    ) -> tuple[float, ShardStates]:
        """As in `Workers.gradients`."""
        grad = model.flat_grad
        tree = self._tree_for(grad)
        before, streams = grad.copy(), _Streams(model)
        after, notes = ShardStates(), []
        criterion, is_mean = _of_sum(criterion)
        try:
            for k, (first, stop) in enumerate(shards.rows()):
                batch = on_device(model, criterion, shards.cut(first, stop, isinstance(model, Recurrent)))
                grad.fill(0)
                with streams.of_shard(k), part_of_batch(first, shards.total):
                    loss, count, state = _add_sum(owner, model, criterion, batch, states[k])
                after.append(state)
                notes.append((loss, count, ~namespace(grad).isfinite(grad).all() | ~namespace(grad).isfinite(loss)))
                tree.add(grad)
        except BaseException:
            tree.clear()
            grad[...] = before
            raise
        message = tree.take()
        losses, counts, flags, wishes = self._exchange(message, len(grad), notes)
        self.nonfinite, self._agreed = [k for k, flag in enumerate(flags) if flag], max(wishes)
        count = (sum(counts) or 1.0) if is_mean else 1.0
        message[: len(grad)] *= (1.0 if dloss is None else dloss) / count
        namespace(grad).add(before, message[: len(grad)], out=grad)
        return sum(losses) / count, after

    def _exchange(self, message: Array, size: int, notes: list[tuple[Any, ...]]) -> list[list[float]]:
        """Sum the message over the workers; gives the notes of all shards."""
        columns, each = message[size:].reshape(NOTES, self._shards), len(notes)
        for k, (loss, count, flag) in enumerate(notes, self._rank * each):
            columns[0, k], columns[1, k], columns[2, k] = loss, count, flag
        columns[3, self._rank * each] = self._wish
        if self._size > 1:
            self._link = self._link or link_for(message, self._communicator)
            sum_between(message, self._rank, self._size, self._link)
        read: list[list[float]] = on_host(columns).tolist()
        return read

    def _tree_for(self, grad: Array) -> TreeSum:
        if self._tree is None or not self._tree.fits(len(grad), grad):
            self._tree, self._link = TreeSum(len(grad), NOTES * self._shards, grad), None
        return self._tree


def _of_sum(criterion: Any) -> tuple[Any, bool]:
    """The loss whose gradient is that of the sum, and whether the mean is wanted."""
    if getattr(criterion, "reduction", None) != "mean":
        return criterion, not hasattr(criterion, "reduction")
    criterion = copy.copy(criterion)
    criterion.reduction = "sum"
    return criterion, True


def _add_sum(owner: str, model: Any, criterion: Any, batch: Any, state: Any) -> tuple[Any, Any, Any]:
    """Forward, loss and backward of a shard; gives the sum of its losses, what counts, and the state after it."""
    check_batch(owner, model, batch)
    ys, state, cache = model.forward(batch.xs, state, **rows_of(batch))
    loss, loss_cache = criterion.forward(ys, batch.targets, **counted_of(model, batch))
    check_loss(owner, criterion, loss)
    count, factor = criterion.count(loss_cache), None
    if not hasattr(criterion, "reduction"):  # a mean
        loss, factor = loss * count, count
    model.backward(criterion.backward(loss_cache, factor), None, cache)
    return loss, count, state


class _Streams:
    """The random streams of a model: each shard begins with them as they were before the batch.

    So a mask follows from the same key in all shards, and the streams are the same afterwards in all workers.
    """

    def __init__(self, model: Layer) -> None:
        self._streams = model.generators()
        self._before = self._states()
        self._after: dict[str, Any] | None = None

    @contextmanager
    def of_shard(self, k: int) -> Iterator[None]:
        """A `with` block in which shard `k` of this worker is computed.

        Raises:
            RuntimeError: it has drawn more numbers than another.
        """
        for name, stream in self._streams.items():
            stream.bit_generator.state = self._before[name]
        yield
        after = self._states()
        first = self._after = after if self._after is None else self._after
        other = [name for name, state in after.items() if repr(state) != repr(first[name])]
        if other:
            raise RuntimeError(
                f"Workers: {', '.join(other)} drew more numbers for one shard than for another, so the next batch "
                "would depend on the number of workers. A layer must draw as many whatever rows it is given"
            )

    def _states(self) -> dict[str, Any]:
        return {name: stream.bit_generator.state for name, stream in self._streams.items()}
