"""Checkpointing: few states are stored, and blocks of steps run again on the way back."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from ..core.arguments import check_bool, check_size
from ..core.arrays import namespace
from ..core.roles import Loss
from ..data.batch import Batch
from ..training.gradients import check_loss, counted_of
from .method import Method, check_recurrent, rows_of_steps
from .schedule import first_stop


class Stored(NamedTuple):
    """All that a block needs to run again to the same bits."""

    state: Any
    random: list[Any]
    """Where the random streams of the model stood."""


class Checkpointed(Method):
    r"""Back-propagation through all steps in little memory: it stores some states, and computes the rest again.

    The steps are cut into blocks. On the way forward, only some states between blocks are stored, not the caches. On
    the way back, each block runs forward once more, from the nearest stored state before it. The places of the stored
    states follow the schedule that runs the fewest blocks:

    .. math::
        C(t, m) = \min_y \; y + C(t - y, m - 1) + C(y, m)

    for t blocks and m states. Up to m + 1 blocks it is 2 t - 1: one more forward. So with 45 states and blocks of 22
    steps, 1,000 steps take one more forward; 20,000 take two more, in the same memory.

    The gradients are equal to the bit to those of the blocks one after the other, each with the gradient that the next
    one sends back. They are equal to rounding to those of one forward over all steps. The masks of layers such as
    `Dropout` are the same when a block runs again. `LockedDropout` draws one for each block.

    The loss is computed block by block, too, so the outputs are never in memory at once. The carry is the state.

    Args:
        states: how many states may be in memory, including the one before the first step.
        block: the steps of a block.
        outputs: whether a call returns the outputs of all steps; else it returns None in their place.

    Raises:
        TypeError: an argument is of another type; in a call, the model is not a `Recurrent`, or the criterion has no
            `reduction`.
        ValueError: a number is below 1; in a call, the model reads backward, or the targets are one a row.

    References:
        Griewank and Walther, *Algorithm 799: Revolve*, 2000; Gruslys et al., *Memory-Efficient Backpropagation Through
        Time*, 2016.

    Example:
        >>> from tinygrad_rnn.through_time import Checkpointed
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=np.random.default_rng(0)))
        >>> ids = np.arange(1001)[:, None] % 5
        >>> loss, ys, state = Checkpointed()(model, SoftmaxCrossEntropy(), Batch(ids[:-1], ids[1:]))
        >>> ys is None, state[1][0].shape
        (True, (1, 8))
    """

    def __init__(self, states: int = 45, *, block: int = 22, outputs: bool = False) -> None:
        self.states = check_size("Checkpointed", "states", states)
        self.block = check_size("Checkpointed", "block", block)
        self.outputs = check_bool("Checkpointed", "outputs", outputs)

    def add_gradients(
        self, model: Any, criterion: Loss, batch: Batch, carry: Any, dloss: float | None
    ) -> tuple[Any, Any, Any]:
        check_recurrent(self, model)
        run = Run(self, model, _summed(self, criterion), batch, self.block, dloss)
        run.back(0, run.count, Stored(carry, run.random()), self.states, None)
        run.rewind(run.last_random)
        ys = namespace(run.outputs[0]).concatenate(run.outputs) if self.outputs else None
        return run.loss * run.scale(), ys, run.last_state


class Run:
    """One call: the blocks of a batch, and what is known of them so far."""

    def __init__(self, method: Any, model: Any, criterion: Any, batch: Batch, block: int, dloss: float | None) -> None:
        self.method, self.model, self.batch, self.block, self.dloss = method, model, batch, block, dloss
        self.criterion, self.is_mean = criterion
        self.count = -(-len(batch.xs) // block)
        self.streams = model.generators().values()
        self.seen = 0  # blocks whose loss is known: they are first run in their order
        self.loss: Any = 0
        self.counted: Any = 0
        self.outputs: list[Any] = []

    def back(self, first: int, last: int, stored: Stored, room: int, dstate: Any) -> Any:
        """Go back through blocks `first` to `last`, from the state stored before the first; gives `dstate` there."""
        while last - first > 1:
            stop = first + first_stop(last - first, room)
            dstate = self.back(stop, last, self.advanced(first, stop, stored), room - 1, dstate)
            last = stop
        return self.back_through(first, stored, dstate)

    def advanced(self, first: int, stop: int, stored: Stored) -> Stored:
        """What is stored before block `stop`: the blocks from `first` on run forward, and are forgotten."""
        self.rewind(stored.random)
        state = stored.state
        for i in range(first, stop):
            ys, state = self.forward(i, state)[:2]  # no name for the cache, which would live on in the next round
            if i == self.seen:
                self.take_loss(i, ys)
        return Stored(state, self.random())

    def back_through(self, i: int, stored: Stored, dstate: Any) -> Any:
        """Run block i forward and backward."""
        self.rewind(stored.random)
        ys, state, cache = self.forward(i, stored.state)
        if i == self.seen:  # the last of all
            loss_cache = self.take_loss(i, ys)
            self.last_state, self.last_random = state, self.random()
        else:
            _, loss_cache = self.loss_of(i, ys)
        dys = self.criterion.backward(loss_cache, self.factor())
        _, dstate = self.model.backward(dys, dstate, cache)
        return dstate

    def forward(self, i: int, state: Any) -> Any:
        block = self.steps(i)
        return self.model.forward(self.batch.xs[block], state, **rows_of_steps(self.batch, block))

    def take_loss(self, i: int, ys: Any) -> Any:
        """Add the loss of block i, which is run for the first time."""
        loss, cache = self.loss_of(i, ys)
        check_loss(repr(self.method), self.criterion, loss)
        self.loss = self.loss + loss
        if self.is_mean:
            self.counted = self.counted + self.criterion.count(cache)
        if self.method.outputs:
            self.outputs.append(ys)
        self.seen += 1
        return cache

    def loss_of(self, i: int, ys: Any) -> Any:
        block, (_, targets, _, _, weights) = self.steps(i), self.batch
        rows = {name: value for name, value in rows_of_steps(self.batch, block).items() if name == "lengths"}
        part = Batch(None, targets[block], weights=None if weights is None else weights[block], **rows)
        return self.criterion.forward(ys, part.targets, **counted_of(self.model, part))

    def scale(self) -> Any:
        """By what a mean multiplies, 1 / the number that counts, as the losses compute it; for a sum 1."""
        return 1 / (self.counted + (self.counted == 0))

    def factor(self) -> Any:
        """The upstream gradient of the sum of the losses."""
        scale = self.scale()
        return scale if self.dloss is None else scale * self.dloss

    def steps(self, i: int) -> slice:
        return slice(i * self.block, (i + 1) * self.block)

    def random(self) -> list[Any]:
        return [stream.bit_generator.state for stream in self.streams]

    def rewind(self, random: list[Any]) -> None:
        for stream, state in zip(self.streams, random, strict=True):
            stream.bit_generator.state = state


def _summed(method: Method, criterion: Any) -> tuple[Any, bool]:
    """A criterion that gives the sum over its targets, and whether that must be divided by their number."""
    reduction = getattr(criterion, "reduction", None)
    if reduction is None:
        raise TypeError(
            f"{method!r}: {criterion!r} has no `reduction`, so the losses of blocks cannot be joined: give it the "
            'attribute, "mean" or "sum", which its forward obeys; or use BPTT()'
        )
    if reduction != "mean":
        return criterion, False
    summed = copy.copy(criterion)
    summed.reduction = "sum"
    return summed, True
