"""Real-time recurrent learning."""

from __future__ import annotations

from typing import Any

from ..core.arrays import select
from .forward_mode import ForwardMode
from .numbers import Numbers


class RTRL(ForwardMode):
    r"""Real-time recurrent learning: the exact gradient, without going back.

    It carries the whole influence :math:`P_t = ds_t / dw` of the parameters on the state:

    .. math::
        P_t = J_t P_{t-1} + \frac{\partial s_t}{\partial w}, \qquad J_t = \frac{\partial s_t}{\partial s_{t-1}}, \qquad
        \frac{dL_t}{dw} = \frac{\partial L_t}{\partial w} + \frac{\partial L_t}{\partial s_{t-1}} P_{t-1}

    The gradient of a batch is that of `BPTT`, and it also holds what earlier batches contribute, however long ago: for
    two batches, the second with the carry of the first, the two gradients add up to that of one long batch. So a batch
    may be as short as one step, with an update after each. (The influence was then computed with older parameters. With
    a small learning rate this hardly matters.)

    Both derivatives come from `step_backward`, with a gradient of 1 for one number of the state at a time. So this
    works for any `Cell`, also one of your own, and for any `Sequential` of cells and feed-forward layers. The states of
    several cells are taken as one, with the influence of each layer on all above it, so that a stack is exact, too. The
    layers after the last cell have no state, and get their exact gradient at once. `Dropout` before it draws a mask for
    each step.

    A step takes n backwards of one step for each row, and a product of n × n by n × P, where n is the number of values
    in the state of a row, and P the number of parameters up to the last cell. The memory is n P numbers a row. This is
    for small models.

    The carry is `(state, (influence,))`, the influence (B, n, P).

    Raises:
        TypeError: in a call, a layer up to the last cell is neither a `Cell` nor a `Feedforward`. `LockedDropout` and
            `DropConnect` draw one mask for all steps, which a step does not know.
        ValueError: in a call, the model has no state, or reads backward.

    References:
        Williams and Zipser, *A Learning Algorithm for Continually Running Fully Recurrent Neural Networks*, 1989.

    Example:
        >>> from tinygrad_rnn.through_time import RTRL
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), RNNCell(5, 4, rng=rng), Linear(4, 5, rng=rng))
        >>> ids, carry = rng.integers(0, 5, (10, 1)), None
        >>> for t in range(9):  # one step a batch
        ...     loss, ys, carry = RTRL()(model, SoftmaxCrossEntropy(), Batch(ids[t : t + 1], ids[t + 1 : t + 2]), carry)
        >>> state, (influence,) = carry
        >>> influence.shape  # 4 units; 5 x 4 + 4 x 4 + 4 parameters
        (1, 4, 40)
    """

    def first(self, numbers: Numbers, initial: Any) -> tuple[Any, ...]:
        return (initial,)

    def begin(self, memory: tuple[Any, ...], flags: Any, initial: Any) -> tuple[Any, ...]:
        return (select(~flags, memory[0], initial),)

    def credit(self, numbers: Numbers, memory: tuple[Any, ...], dbefore: Any) -> Any:
        return (dbefore[:, None] @ memory[0]).sum(axis=(0, 1))

    def advance(self, numbers: Numbers, memory: tuple[Any, ...], cache: Any) -> tuple[Any, ...]:
        jacobian, direct = numbers.derivatives(cache)
        return (jacobian @ memory[0] + direct,)
