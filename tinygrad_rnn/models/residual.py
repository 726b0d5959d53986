"""Layers in a row, whose output is added to their input."""

from __future__ import annotations

from typing import Any

from ..core.one_hot import OneHotRows
from ..core.roles import Feedforward, Recurrent
from ..core.rows import Rows
from ..core.states import State
from .sequential import Sequential


class Residual(Sequential):
    r"""Layers in a row, whose output is added to their input.

    Forward and backward, with :math:`f` what a `Sequential` of the same layers computes:

    .. math::
        y = x + f(x), \qquad dx = dy + f'(x)^\top dy

    The gradient also bypasses the layers unchanged, so deep stacks can be trained. State, names of the children and
    `step` are as in `Sequential`.

    Args:
        layers: any number of `Feedforward` and `Recurrent` layers, with as many output features as input features.

    Raises:
        ValueError: there is no layer, one does not fit its neighbour, they take ids, or `out_size` is not `in_size`.
        TypeError: a child is neither `Feedforward` nor `Recurrent`; in `forward`, xs is one-hot rows.

    References:
        He, Zhang, Ren and Sun, *Deep Residual Learning for Image Recognition*, 2016. For stacked recurrent layers: Wu
        et al., *Google's Neural Machine Translation System*, 2016.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> deep = Sequential(Linear(3, 4, rng=rng), *(Residual(RNNCell(4, 4, rng=rng)) for _ in range(5)))
        >>> ys, state = deep(np.ones((7, 2, 3), np.float32))
        >>> ys.shape
        (7, 2, 4)
    """

    def __init__(self, *layers: Feedforward | Recurrent) -> None:
        super().__init__(*layers)
        if self.takes_ids:
            raise ValueError(
                f"Residual: layers.0, {layers[0]!r}, takes ids, to which no output can be added. Put it before Residual"
            )
        if None not in (self.in_size, self.out_size) and self.in_size != self.out_size:
            raise ValueError(
                f"Residual: {self.in_size} features go in at {layers[0]!r}, but {self.out_size} come out of "
                f"{layers[-1]!r}, so they cannot be added"
            )
        self.in_size = self.out_size = self.out_size or self.in_size

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        self._check_dense(xs)
        ys, state, cache = super().unroll_forward(xs, state, rows=rows, training=training)
        return xs + ys, state, cache

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dxs, dstate = super().unroll_backward(dys, dstate, cache)
        return dys + dxs, dstate

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        self._check_dense(x)
        y, state, cache = super().step_forward(x, state, training=training)
        return x + y, state, cache

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dx, dstate = super().step_backward(dy, dstate, cache)
        return dy + dx, dstate

    def _check_dense(self, x: Any) -> None:
        if isinstance(x, OneHotRows):
            raise TypeError(
                f"{self!r}: the input is {x!r}, which is never made dense, so no output can be added. Put an "
                "Embedding or a Linear before Residual"
            )
