"""Dropout with one mask for all steps of a sequence."""

from __future__ import annotations

from typing import Any

from ..core.arrays import Array, Float, Generator
from ..core.checks import check_rate, check_rng
from ..core.roles import Recurrent
from ..core.rows import Rows
from ..core.states import State, StateSpec
from .masks import dropout_mask


class LockedDropout(Recurrent):
    r"""Dropout with one mask (B, D) for all steps of a sequence: a feature that is dropped is dropped at every step.

    A new mask at each step would add noise that a recurrent layer sums up. Because the mask belongs to a sequence, this
    is a `Recurrent`, with an empty state. Forward and backward, with :math:`p` the rate:

    .. math::
        m = \begin{cases} 0 & \text{with probability } p \\ \frac{1}{1 - p} & \text{else} \end{cases} \qquad
        y_t = m \odot x_t, \qquad dx_t = m \odot dy_t

    With `training=False`, or rate 0, ys is xs. Each call of `forward`, so each chunk of a long sequence, draws a new
    mask, and so does each `step_forward`.

    Args:
        rate: the probability that a feature of a row is dropped, 0 to below 1.
        rng: the layer spawns its own stream from it.

    State `()`. The cache is the mask, None where nothing is dropped. Only training advances the stream; the masks are
    the same on every device and in every dtype.

    Raises:
        ValueError: `rate` is below 0, or 1 or more.
        TypeError: `rate` is not a number, or `rng` is not a generator.

    References:
        Gal and Ghahramani, *A Theoretically Grounded Application of Dropout in Recurrent Neural Networks*, 2016;
        Merity, Keskar and Socher, *Regularizing and Optimizing LSTM Language Models*, 2018.

    Example:
        >>> dropout = LockedDropout(0.5, rng=np.random.default_rng(0))
        >>> ys, state, _ = dropout.forward(np.ones((3, 2, 4)))
        >>> bool((ys == ys[0]).all()), state
        (True, ())
    """

    def __init__(self, rate: float, *, rng: Generator) -> None:
        rate = check_rate("LockedDropout", "rate", rate)
        check_rng("LockedDropout", rng)
        self.rate = rate
        self.rng = rng.spawn(1)[0]

    @property
    def state_spec(self) -> StateSpec:
        return ()

    def step_forward(
        self, x: Float[Array, "*T B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "*T B D"], State, Float[Array, "B D"] | None]:
        mask = dropout_mask(self.rng, self.rate, x.shape[-2:], x, training)
        return x if mask is None else x * mask, (), mask

    def step_backward(
        self, dy: Float[Array, "*T B D"], dstate: State, cache: Float[Array, "B D"] | None
    ) -> tuple[Float[Array, "*T B D"], State]:
        mask = cache
        () = dstate
        return dy if mask is None else dy * mask, ()

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        """All steps at once, as one step with an added leading axis. All documents of a row share its mask."""
        return self.step_forward(xs, state, training=training)

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        """All steps at once."""
        return self.step_backward(dys, dstate, cache)
