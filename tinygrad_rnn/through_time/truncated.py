"""True truncated back-propagation: each loss goes back a fixed number of steps, wherever a batch begins."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from ..core.arguments import check_size
from ..core.arrays import namespace
from ..core.roles import Loss
from ..core.states import State
from ..data.batch import Batch
from ..training.gradients import check_loss, counted_of
from .method import Method, check_carry, check_recurrent, rows_of_steps


class Pass(NamedTuple):
    """One way back: the losses of the steps `losses` to `end` go back to the step `begin`."""

    begin: int
    losses: int
    end: int


class TruncatedBPTT(Method):
    r"""Truncated back-propagation through time with two numbers: every k1 steps, back through k2 steps.

    After each k1 steps, their losses go back together, through the last k2 steps. So the last of the k1 losses goes
    back exactly k2 steps, including its own, and the first goes back k2 - k1 + 1 steps. With `k1 = 1`, *every* loss
    goes back exactly k2 steps:

    .. math::
        \sum_t \sum_{s = t - k_2 + 1}^{t} \frac{\partial L_t}{\partial h_s} \frac{\partial^+ h_s}{\partial w}

    where :math:`\partial^+` is the direct derivative, within one step. With `k1 = k2` it is the truncation by chunks of
    this length, whose first loss goes back only one step.

    A loss also goes back into the batches before: the carry holds the inputs of the last k2 steps and the state before
    them, and these steps run again, with the parameters as they are now. So batches usually have k1 steps, with an
    update after each. They may also be longer.

    For T steps this takes about T / k1 passes of k2 steps backward, and T + k2 steps forward. If k2 is at least T and
    there is no carry, it computes what `BPTT` computes, to the bit. Layers that draw one mask for a call, such as
    `LockedDropout`, draw one for each part that is run at once.

    Args:
        k1: the steps between two passes.
        k2: the steps of a pass.

    The carry is `(state, (before, xs, starts))`: the state after the batch, the state before the last k2 steps, and
    their inputs.

    Raises:
        TypeError: a number is not an integer; in a call, the model is not a `Recurrent`.
        ValueError: one is below 1, or k2 is below k1; in a call, the model reads backward.

    References:
        Williams and Peng, *An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network
        Trajectories*, 1990, who call it BPTT(h; h').

    Example:
        >>> from tinygrad_rnn.through_time import TruncatedBPTT
        >>> rng = np.random.default_rng(0)
        >>> model, method = RNNCell(3, 4, rng=rng), TruncatedBPTT(1, 5)
        >>> xs, targets = rng.standard_normal((2, 8, 1, 3)).astype("f4"), rng.integers(0, 4, (8, 1))
        >>> loss, ys, carry = method(model, SoftmaxCrossEntropy(), Batch(xs[0], targets))
        >>> loss, ys, carry = method(model, SoftmaxCrossEntropy(), Batch(xs[1], targets), carry)
        >>> carry[1][1].shape
        (5, 1, 3)
    """

    def __init__(self, k1: int, k2: int) -> None:
        self.k1 = check_size("TruncatedBPTT", "k1", k1)
        self.k2 = check_size("TruncatedBPTT", "k2", k2)
        if self.k2 < self.k1:
            raise ValueError(
                f"TruncatedBPTT: k2 must be at least k1, {k1}, not {k2}: the losses of k1 steps go back together"
            )

    def carry_of(self, state: State) -> Any:
        return state, None

    def add_gradients(
        self, model: Any, criterion: Loss, batch: Batch, carry: Any, dloss: float | None
    ) -> tuple[Any, Any, Any]:
        check_recurrent(self, model)
        state, memory = check_carry(self, carry, 2)
        before, past, past_starts = check_carry(self, memory, 3)
        again = 0 if past is None else len(past)
        whole = batch if past is None else _joined(past, past_starts, batch)
        state = state if past is None else before
        T = again + len(batch.xs)
        passes = self._passes(again, T)
        cuts = sorted({0, again, T, *(p.begin for p in passes), *(p.end for p in passes)})
        blocks = [slice(first, last) for first, last in pairwise(cuts)]
        if not len(batch.xs):
            blocks.append(slice(T, T))

        outputs: list[Any] = []
        caches: list[Any] = []
        states = [state]
        for block in blocks:
            ys, state, cache = model.forward(whole.xs[block], state, **rows_of_steps(whole, block))
            outputs += [ys] if block.start >= again else []
            states.append(state)
            caches.append(cache)
        ys = namespace(outputs[0]).concatenate(outputs)
        loss, loss_cache = criterion.forward(ys, batch.targets, **counted_of(model, batch))
        check_loss(repr(self), criterion, loss)
        dys = criterion.backward(loss_cache, dloss)

        for begin, losses, end in passes:
            dstate = None
            for block, cache in zip(blocks[::-1], caches[::-1], strict=True):
                if begin <= block.start and block.stop <= end:
                    own = dys[block.start - again : block.stop - again] if block.start >= losses else None
                    _, dstate = model.backward(own, dstate, cache)
        kept = T if batch.lengths is not None else max(T - self.k2, 0)  # past the end of a row there is nothing to keep
        starts = None if whole.starts is None else whole.starts[kept:]
        return loss, ys, (state, (states[cuts.index(kept)], whole.xs[kept:], starts))

    def _passes(self, again: int, T: int) -> list[Pass]:
        """The passes over steps 0 to T, of which the first `again` are of batches before.

        Those that reach the first step are one: their gradients add up on the way.
        """
        ends = [*range(again + self.k1, T, self.k1), T]
        together = [end for end in ends if end <= self.k2]
        passes = [Pass(0, again, together[-1])] if together else []
        for end in ends[len(together) :]:
            passes.append(Pass(end - self.k2, passes[-1].end if passes else again, end))
        return passes


def _joined(past: Any, past_starts: Any, batch: Batch) -> Batch:
    """A batch with the inputs `past` before it; what it says of the losses is left out."""
    xp, again = namespace(past), len(past)
    starts = None
    if past_starts is not None or batch.starts is not None:
        none = [xp.zeros(xs.shape[:2], bool) for xs in (past, batch.xs)]
        both = zip((past_starts, batch.starts), none, strict=True)
        starts = xp.concatenate([no if flags is None else flags for flags, no in both])
    lengths = None if batch.lengths is None else batch.lengths + again
    return Batch(xp.concatenate([past, batch.xs]), None, lengths, starts)
