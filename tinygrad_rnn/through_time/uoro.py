"""Unbiased online recurrent optimization."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arguments import check_rng
from ..core.arrays import Generator, namespace, select
from ..core.roles import Recurrent
from ..core.states import learns
from .forward_mode import ForwardMode
from .numbers import Numbers


class UORO(ForwardMode):
    r"""Unbiased online recurrent optimization: the influence as a product of two vectors, right on average.

    In place of :math:`P_t`, which has n × P numbers, it carries two random vectors whose product is :math:`P_t` on
    average: the tangent :math:`\tilde{s}` (n) and the trace :math:`\tilde{w}` (P). With a new random sign for each
    number of the state, :math:`\nu \in \{-1, 1\}^n`:

    .. math::
        \tilde{s}_t &= \rho_0 J_t \tilde{s}_{t-1} + \rho_1 \nu, \qquad
        \tilde{w}_t = \frac{\tilde{w}_{t-1}}{\rho_0} + \frac{1}{\rho_1} \nu^\top \frac{\partial s_t}{\partial w} \\
        \frac{dL_t}{dw} &\approx \frac{\partial L_t}{\partial w} +
        \left( \frac{\partial L_t}{\partial s_{t-1}} \tilde{s}_{t-1} \right) \tilde{w}_{t-1}

    The factors :math:`\rho_0 = \sqrt{|\tilde{w}| / |J \tilde{s}|}` and
    :math:`\rho_1 = \sqrt{|\nu^\top \partial s / \partial w| / |\nu|}` keep the noise small. The mean over the signs is
    the exact gradient, that of `RTRL`. A single gradient is wrong by several times its norm, so the learning rate must
    be small enough that many are averaged.

    The memory is n + P numbers a row. A step takes one backward of one step for each row, and n of all rows, for
    :math:`J \tilde{s}` to the last digit.

    Args:
        rng: draws the key of the signs where no carry is given.

    The carry is `(state, (tangent, trace, key))`, (B, n), (B, P) and (B, 2). The signs follow from the key of a row and
    the number of its step, which are both in the carry, so a resumed training has the same signs. What a model may
    consist of is as in `RTRL`.

    Raises:
        TypeError: `rng` is not a generator; and as `RTRL` does.
        ValueError: in a call, an initial state is a `Parameter`, whose influence is no such product; or as `RTRL`
            says.

    References:
        Tallec and Ollivier, *Unbiased Online Recurrent Optimization*, 2018.

    Example:
        >>> from tinygrad_rnn.through_time import UORO
        >>> rng = np.random.default_rng(0)
        >>> model, method = RNNCell(3, 4, rng=rng), UORO(rng=rng)
        >>> batch = Batch(np.ones((7, 2, 3), np.float32), np.zeros((7, 2), int))
        >>> loss, ys, (state, (tangent, trace, key)) = method(model, SoftmaxCrossEntropy(), batch)
        >>> tangent.shape, trace.shape
        ((2, 4), (2, 32))
    """

    memories = 3

    def __init__(self, rng: Generator) -> None:
        check_rng("UORO", rng)
        self.rng = rng

    def check_core(self, core: Recurrent, output: int | None) -> None:
        if learns(core.state_spec):
            raise ValueError(
                f"{self!r}: an initial state of {core!r} is a Parameter, and its influence on the state is no product "
                "of two vectors: use RTRL() or BPTT()"
            )

    def first(self, numbers: Numbers, initial: Any) -> tuple[Any, ...]:
        key = self.rng.integers(1 << 62, size=(numbers.batch, 2))
        key[:, 1] = 0
        return numbers.zeros(*initial.shape[:2]), numbers.zeros(*initial.shape[::2]), numbers.device.asarray(key)

    def begin(self, memory: tuple[Any, ...], flags: Any, initial: Any) -> tuple[Any, ...]:
        tangent, trace, key = memory
        return select(~flags, tangent, 0), select(~flags, trace, 0), key

    def credit(self, numbers: Numbers, memory: tuple[Any, ...], dbefore: Any) -> Any:
        tangent, trace, _ = memory
        return ((dbefore * tangent).sum(axis=1, keepdims=True) * trace).sum(axis=0)

    def advance(self, numbers: Numbers, memory: tuple[Any, ...], cache: Any) -> tuple[Any, ...]:
        tangent, trace, key = memory
        signs = numbers.device.asarray(self.signs(numbers.device.to_host(key), numbers.n), numbers.dtype)
        moved = (numbers.jacobian(cache) @ tangent[..., None])[..., 0]
        direct, one = numbers.zeros(*trace.shape), numbers.zeros(*tangent.shape)
        for b in range(numbers.batch):
            one[b] = signs[b]
            numbers.step_back(numbers.no_dy, one, cache)
            direct[b] = numbers.take()
            one[b] = 0
        p, q = _balance(trace, moved), _balance(direct, signs)
        key = key + numbers.device.asarray([0, 1])
        return p * moved + q * signs, trace / p + direct / q, key

    def signs(self, key: Any, n: int) -> Any:
        """The signs (B, n) of a step, -1 or 1; `key` (B, 2) is on the host."""
        return np.stack([2 * np.random.default_rng(row).integers(2, size=n) - 1 for row in key])


def _balance(one: Any, other: Any) -> Any:
    """(B, 1), the root of the ratio of two norms, so that the norms of both are the same after; 1 if one is 0."""
    xp = namespace(one)
    a, b = (xp.sqrt((array * array).sum(axis=1, keepdims=True)) for array in (one, other))
    is_nothing = (a == 0) | (b == 0)
    return xp.where(is_nothing, 1, xp.sqrt(a / xp.where(is_nothing, 1, b)))
