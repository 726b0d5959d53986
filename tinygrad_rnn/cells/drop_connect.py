"""Dropout of recurrent weights."""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any, NamedTuple

from ..core.arrays import Array, Generator
from ..core.checks import check_rate, check_rng
from ..core.parameter import Parameter
from ..core.roles import Recurrent
from ..core.rows import Rows
from ..core.states import State, StateSpec
from ..layers.masks import dropout_mask


class DropConnectCache(NamedTuple):
    """The cache of a step, or of a sequence."""

    mask: Array | None
    """The mask of `w_h`; None where nothing is dropped."""
    cell: Any
    """The cache of the wrapped cell."""


class DropConnect(Recurrent):
    r"""Dropout of the recurrent weights `w_h` of a cell during training, with one mask for a whole sequence.

    Weights are dropped, not units, so the state itself loses nothing.

    Forward and backward, with :math:`p` the rate; the wrapped cell, or its kernel if it has one, runs with
    :math:`\tilde{W}` in place of :math:`W_h`:

    .. math::
        m &= \begin{cases} 0 & \text{with probability } p \\ \frac{1}{1 - p} & \text{else} \end{cases} \\
        \tilde{W} &= m \odot W_h, \qquad dW_h \mathrel{+}= m \odot d\tilde{W}

    With `training=False`, or rate 0, the cell runs unchanged. Each call of `forward`, so each chunk of a long sequence,
    draws a new mask, and so does each `step_forward`. All rows share a mask.

    Args:
        cell: any `Recurrent` with a parameter `w_h`.
        rate: the probability that a weight is dropped, 0 to below 1.
        rng: the layer spawns its own stream from it.

    The parameters are those of the cell, `cell.w_h` and so on; the state is that of the cell. Only training advances
    the stream; the masks are the same on every device and in every dtype.

    Raises:
        TypeError: `cell` is not a `Recurrent` with a parameter `w_h`, `rate` is not a number, or `rng` not a generator.
        ValueError: `rate` is below 0, or 1 or more.

    References:
        Wan et al., *Regularization of Neural Networks using DropConnect*, 2013; Merity, Keskar and Socher,
        *Regularizing and Optimizing LSTM Language Models*, 2018 (the weight-dropped LSTM).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> cell = DropConnect(RNNCell(3, 4, rng=rng), 0.5, rng=rng)
        >>> ys, state, cache = cell.forward(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, cache.inner.mask.shape
        ((5, 2, 4), (4, 4))
    """

    def __init__(self, cell: Recurrent, rate: float, *, rng: Generator) -> None:
        if not isinstance(cell, Recurrent):
            raise TypeError(f"DropConnect: cell must be a Recurrent, not {cell!r}")
        if not isinstance(getattr(cell, "w_h", None), Parameter):
            raise TypeError(f"DropConnect: {cell!r} has no parameter w_h whose weights could be dropped")
        rate = check_rate("DropConnect", "rate", rate)
        check_rng("DropConnect", rng)
        self.cell: Any = cell
        self.rate = rate
        self.in_size, self.out_size = cell.in_size, cell.out_size
        self.takes_ids, self.causal = cell.takes_ids, cell.causal
        self.rng = rng.spawn(1)[0]

    @property
    def state_spec(self) -> StateSpec:
        spec: StateSpec = self.cell.state_spec
        return spec

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, DropConnectCache]:
        mask = self._draw(training)
        y, state, inner = self._masked(mask).step_forward(x, state, training=training)
        return y, state, DropConnectCache(mask, inner)

    def step_backward(self, dy: Any, dstate: State, cache: DropConnectCache) -> tuple[Any, State]:
        mask, inner = cache
        cell = self._masked(mask)
        dx, dstate = cell.step_backward(dy, dstate, inner)
        if mask is not None:
            self.cell.w_h.grad += mask * cell.w_h.grad
        return dx, dstate

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        mask = self._draw(training)
        ys, state, inner = self._masked(mask).unroll_forward(xs, state, rows=rows, training=training)
        return ys, state, DropConnectCache(mask, inner)

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        mask, inner = cache
        cell = self._masked(mask)
        dxs, dstate = cell.unroll_backward(dys, dstate, inner)
        if mask is not None:
            self.cell.w_h.grad += mask * cell.w_h.grad
        return dxs, dstate

    def _draw(self, training: bool) -> Array | None:
        w_h = self.cell.w_h.value
        return dropout_mask(self.rng, self.rate, w_h.shape, w_h, training, rows=False)

    def _masked(self, mask: Array | None) -> Any:
        """A copy of the cell with the mask applied to the current `w_h`; it shares all other parameters."""
        if mask is None:
            return self.cell
        cell = copy.copy(self.cell)
        cell.w_h = Parameter(mask * self.cell.w_h.value)
        for name, method in list(vars(cell).items()):  # a step that was replaced in the instance
            if isinstance(method, MethodType) and method.__self__ is self.cell:
                setattr(cell, name, MethodType(method.__func__, cell))
            elif name in ("step_forward", "step_backward"):
                raise TypeError(
                    f"{self!r}: {name} of its cell was replaced by a function, which would not see the masked weights. "
                    "Replace it by a method, types.MethodType(function, cell), or override it in a subclass"
                )
        return cell
