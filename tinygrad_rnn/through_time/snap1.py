"""Sparse influence: what a parameter reaches within one step."""

from __future__ import annotations

from typing import Any

from ..core.arrays import select
from .forward_mode import ForwardMode
from .numbers import Numbers


class SnAp1(ForwardMode):
    r"""The sparse approximation of RTRL by one step: it keeps the influence where a parameter reaches within one step.

    .. math::
        P_t = m \odot \left( J_t P_{t-1} + \frac{\partial s_t}{\partial w} \right), \qquad
        m_{ij} = 1 \text{ where } \frac{\partial s_i}{\partial w_j} \ne 0 \text{ at this or an earlier step, else } 0

    Each weight of a recurrent cell leads into one unit, so of the influence there remains that on this unit. What goes
    from unit to unit and comes back is dropped, and this is its bias. Where no unit influences another, it is exact:
    there it equals `RTRL`. In a stack, a weight of a lower cell reaches the cells above within the same step, and that
    influence is kept.

    It is written here to be compared: because all comes from `step_backward`, it takes the time and memory of `RTRL`. A
    program for one kind of cell would need no more memory than the parameters.

    The carry is `(state, (influence, mask))`, both (B, n, P), the mask of bools. What a model may consist of, and the
    errors, are as in `RTRL`.

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

    def first(self, numbers: Numbers, initial: Any) -> tuple[Any, ...]:
        return initial, initial != 0

    def begin(self, memory: tuple[Any, ...], flags: Any, initial: Any) -> tuple[Any, ...]:
        influence, mask = memory
        return select(~flags, influence, initial), select(~flags, mask, initial != 0)

    def credit(self, memory: tuple[Any, ...], dbefore: Any) -> Any:
        return (dbefore[:, None] @ memory[0]).sum(axis=(0, 1))

    def advance(self, numbers: Numbers, memory: tuple[Any, ...], cache: Any) -> tuple[Any, ...]:
        influence, mask = memory
        jacobian, direct = numbers.derivatives(cache)
        mask = mask | (direct != 0)
        return select(mask, jacobian @ influence + direct, 0), mask
