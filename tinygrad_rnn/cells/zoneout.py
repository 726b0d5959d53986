"""Zoneout: units that keep their state for a step."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..core.arrays import Array, Float, Generator, Shaped, no_gradient
from ..core.checks import check_rate, check_rng
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import State, StateSpec, leaves, tree_map
from ..layers.masks import random_mask
from .base import Cell


class ZoneoutCache(NamedTuple):
    """The cache of a step."""

    keep: tuple[Any, ...]
    """For each array of the state: the mask, or the rate where no mask was drawn."""
    cell: Any
    """The cache of the wrapped cell."""


class Zoneout(Cell):
    r"""A cell whose units skip steps at random: at each step, a unit keeps its previous value with some probability.

    Forward, for each array :math:`s` of the state, with :math:`s'` the new value from the wrapped cell and :math:`p`
    the rate:

    .. math::
        k &= \begin{cases} 1 & \text{with probability } p \\ 0 & \text{else} \end{cases} \\
        s_t &= k \odot s_{t-1} + (1 - k) \odot s'_t, \qquad y_t = \text{the first array of } s_t

    During training, a mask is drawn for each row, unit and step. At inference, k is p, so a unit takes its expected
    value.

    Backward, where :math:`ds_t` is the gradient from step :math:`t + 1`, to which :math:`dy_t` is added for the first
    array only. The backward of the wrapped cell takes :math:`ds'_t`, and returns :math:`dx_t` and :math:`ds'_{t-1}`:

    .. math::
        \bar{ds}_t &= ds_t + dy_t \\
        ds'_t &= (1 - k) \odot \bar{ds}_t \\
        ds_{t-1} &= k \odot \bar{ds}_t + ds'_{t-1}

    Args:
        cell: any `Cell` whose output is the first array of its state, h: not an `LRUCell` or `SRUCell`, nor an
            `SLSTMCell`, whose m begins at minus infinity. It runs step by step, even if it has a kernel.
        rates: the probability that a unit keeps its value, 0 to below 1: one number, or a tuple with one for each
            array of the state, such as `(0.1, 0.5)` for `(h, c)`.
        rng: the layer spawns its own stream from it.

    The parameters are those of the cell, `cell.w_x` and so on; the state is that of the cell. Only training advances
    the stream; the masks are the same on every device and in every dtype.

    Raises:
        TypeError: `cell` is not a `Cell`, a rate is not a number, or `rng` is not a generator.
        ValueError: the output of the cell is not the first array of its state, an array begins at infinity, a rate is
            below 0, or 1 or more, or there is not one rate for each array.

    References:
        Krueger et al., *Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations*, 2017.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> cell = Zoneout(LayerNormLSTMCell(3, 4, rng=rng), (0.1, 0.5), rng=rng)
        >>> ys, (h, c) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, h.shape, c.shape
        ((5, 2, 4), (2, 4), (2, 4))
    """

    def __init__(self, cell: Cell, rates: float | tuple[float, ...], *, rng: Generator) -> None:
        if not isinstance(cell, Cell):
            raise TypeError(f"Zoneout: cell must be a Cell, not {cell!r}")
        arrays = leaves(cell.state_spec)
        sizes = tuple(array.shape[0] for array in arrays)
        for array in arrays:
            if not isinstance(array.initial, Parameter) and math.isinf(array.initial):
                raise ValueError(
                    f"Zoneout: {array.name}, in the state of {cell!r}, begins at {array.initial}, and no mean of that "
                    "and a number can be taken"
                )
        if cell.out_size != sizes[0]:
            raise ValueError(
                f"Zoneout: the output of {cell!r} has size {cell.out_size}, but the first array of its state "
                f"{sizes[0]}: the output must be that array"
            )
        rates = rates if isinstance(rates, tuple) else (rates,) * len(sizes)
        if len(rates) != len(sizes):
            raise ValueError(f"Zoneout: there are {len(rates)} rates, but {len(sizes)} arrays in the state of {cell!r}")
        rates = tuple(check_rate("Zoneout", f"rates[{i}]", rate) for i, rate in enumerate(rates))
        check_rng("Zoneout", rng)
        self.in_size, self.out_size, self.state_sizes = cell.in_size, cell.out_size, sizes
        self.cell, self.rates = cell, rates
        self.rng = rng.spawn(1)[0]

    @property
    def state_spec(self) -> StateSpec:
        return self.cell.state_spec

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, ZoneoutCache]:
        _, after, inner = self._step(x, state, training)
        keep = self.rates
        if training:
            keep = tree_map(lambda p, new: random_mask(self.rng, p, new.shape, new) if p else p, self.rates, after)
        zoned: State = tree_map(lambda k, old, new: k * old + (1 - k) * new, keep, state, after)
        return zoned[0], zoned, ZoneoutCache(keep, inner)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: ZoneoutCache
    ) -> tuple[Float[Array, "B D"] | None, State]:
        keep, inner = cache
        dzoned = (dy + dstate[0], *dstate[1:])
        dafter = tree_map(lambda k, d: (1 - k) * d, keep, dzoned)
        dx, dbefore = self.cell.step_backward(no_gradient(dy), dafter, inner)  # dafter includes dy
        return dx, tree_map(lambda k, d, before: k * d + before, keep, dzoned, dbefore)

    def _step(self, x: Any, state: State, training: bool) -> tuple[Any, State, Any]:
        """That of the cell within, whose output must be the first array of the state, or equal to it."""
        y, after, cache = self.cell.step_forward(x, state, training=training)
        if y is not after[0] and not bool((y == after[0]).all()):
            raise ValueError(
                f"Zoneout: the output of {self.cell!r} is not the first array of its state, which a unit could keep"
            )
        return y, after, cache
