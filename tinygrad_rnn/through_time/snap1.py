"""Sparse influence: what a parameter reaches within one step."""

from __future__ import annotations

from typing import Any

from ..core.arrays import select
from ..core.roles import Recurrent
from .numbers import Numbers
from .rtrl import RTRL


class SnAp1(RTRL):
    r"""The sparse approximation of RTRL by one step: it keeps the influence where a parameter reaches within one step.

    .. math::
        P_t = m \odot \left( J_t P_{t-1} + \frac{\partial s_t}{\partial w} \right), \qquad
        m_{ij} = 1 \text{ where } \frac{\partial s_i}{\partial w_j} \ne 0 \text{ at this or an earlier step, else } 0

    Each weight of a recurrent cell leads into one unit, and its influence on this unit is kept. Influence that goes
    from unit to unit and comes back is dropped; this makes the gradient biased. If no unit influences another, it is
    exact and equals `RTRL`. In a stack, a weight of a lower cell reaches the cells above within the same step, and that
    influence is kept.

    This version is for comparison: all derivatives come from `step_backward`, so it takes the time and memory of
    `RTRL`. A program for one kind of cell would need no more memory than the parameters.

    The carry is `(state, (influence, mask))`, both (B, n, P), the mask of bools. What a model may consist of is as in
    `RTRL`, but the last layer with a state must be a cell whose output is an array of its state, which is every cell of
    this package but `LRUCell` and `SRUCell`: the gradient of a loss goes through the influence on it,
    :math:`\frac{\partial L_t}{\partial s_t} P_t`.

    Raises:
        TypeError: in a call, the output is not an array of the state; and as `RTRL` does.
        ValueError: as `RTRL` does.

    References:
        Menick et al., *Practical Real Time Recurrent Learning with a Sparse Approximation*, 2021.

    Example:
        >>> from tinygrad_rnn.through_time import SnAp1
        >>> model = RNNCell(3, 4, rng=np.random.default_rng(0))
        >>> batch = Batch(np.ones((7, 2, 3), np.float32), np.zeros((7, 2), int))
        >>> loss, ys, (state, (influence, mask)) = SnAp1()(model, SoftmaxCrossEntropy(), batch)
        >>> influence.shape, int(mask[0].sum())  # each of 32 parameters reaches one unit
        ((2, 4, 32), 32)
    """

    memories = 2

    def check_core(self, core: Recurrent, output: int | None) -> None:
        if output is None:
            raise TypeError(
                f"{self!r}: the output of {core!r} is no array of its state, so the influence on it is not known: let "
                "the layers with a state end in a cell, or use RTRL()"
            )

    def first(self, numbers: Numbers, initial: Any) -> tuple[Any, ...]:
        return initial, initial != 0

    def begin(self, memory: tuple[Any, ...], flags: Any, initial: Any) -> tuple[Any, ...]:
        influence, mask = memory
        return select(~flags, influence, initial), select(~flags, mask, initial != 0)

    def gradient(self, numbers: Numbers, memory: Any, after: Any, dy: Any, cache: Any) -> Any:
        """Of the output, an array of the state after the step, through the influence on it."""
        first = numbers.output
        return self.credit(numbers, (after[0][:, first : first + dy.shape[1]],), dy)

    def advance(self, numbers: Numbers, memory: tuple[Any, ...], cache: Any) -> tuple[Any, ...]:
        influence, mask = memory
        jacobian, direct = numbers.derivatives(cache)
        mask = mask | (direct != 0)
        return select(mask, jacobian @ influence + direct, 0), mask
