"""The last step of each row, the mean of its steps, or their maximum."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ...core.arrays import Array, Float, namespace, select
from ...core.rows import Rows
from .base import Pool


class PickedSteps(NamedTuple):
    """Which steps y was taken from."""

    shape: tuple[int, int, int]
    """Of xs."""
    index: Any
    """The index of y in xs; None where there are no steps."""


class LastPool(Pool):
    r"""The last step of each row.

    Forward and backward, with :math:`n` the length of a row:

    .. math::
        y = x_n, \qquad dx_n = dy

    Args:
        backward_from: the first of the features that were computed by reading backward, so that they hold the whole row
            at its first step, :math:`y = [x_n, x_1]`; None where all features are read forward.
    """

    def __init__(self, backward_from: int | None = None) -> None:
        self.backward_from = backward_from

    def pool_forward(
        self, xs: Float[Array, "T B D"], *, rows: Rows, training: bool
    ) -> tuple[Float[Array, "B D"], PickedSteps]:
        steps, batch, _ = xs.shape
        last: Any = steps - 1
        if rows.lengths is not None:  # at least 1 before 1 is taken off, for they may be unsigned
            last = namespace(xs).maximum(rows.lengths, 1) - 1
        index = (last, namespace(xs).arange(batch)) if steps else None
        y = _picked(xs, index)
        if self.backward_from is not None and steps:
            y[:, self.backward_from :] = xs[0, :, self.backward_from :]
        return y, PickedSteps(xs.shape, index)

    def pool_backward(self, dy: Float[Array, "B D"], cache: PickedSteps) -> Float[Array, "T B D"]:
        dxs = _put_back(dy, cache)
        if self.backward_from is not None and cache.index is not None:
            dxs[..., self.backward_from :] = 0
            dxs[0, :, self.backward_from :] = dy[:, self.backward_from :]
        return dxs


class MaxPool(Pool):
    r"""The maximum over the steps of each row, each feature by itself.

    Forward and backward, with :math:`\tau` the step of the maximum, the first one if there are several:

    .. math::
        y_i = x_{\tau i}, \qquad \tau = \arg\max_t x_{ti}, \qquad dx_{\tau i} = dy_i
    """

    def pool_forward(
        self, xs: Float[Array, "T B D"], *, rows: Rows, training: bool
    ) -> tuple[Float[Array, "B D"], PickedSteps]:
        (steps, batch, size), xp = xs.shape, namespace(xs)
        index = None
        if steps:
            among = xs if rows.active is None else select(rows.active, xs, -math.inf)
            index = among.argmax(axis=0), xp.arange(batch)[:, None], xp.arange(size)
        return _picked(xs, index), PickedSteps(xs.shape, index)

    def pool_backward(self, dy: Float[Array, "B D"], cache: PickedSteps) -> Float[Array, "T B D"]:
        return _put_back(dy, cache)


class MeanPoolCache(NamedTuple):
    """Of how many steps y is the mean."""

    shape: tuple[int, int, int]
    """Of xs."""
    count: Any
    """The steps of each row, at least 1: (B, 1), or one number for all rows."""


class MeanPool(Pool):
    r"""The mean of the steps of each row.

    Forward and backward, with :math:`n` the length of a row:

    .. math::
        y = \frac{1}{n} \sum_{t=1}^{n} x_t, \qquad dx_t = \frac{1}{n} dy
    """

    def pool_forward(
        self, xs: Float[Array, "T B D"], *, rows: Rows, training: bool
    ) -> tuple[Float[Array, "B D"], MeanPoolCache]:
        count: Any = max(xs.shape[0], 1)
        if rows.lengths is not None:
            count = namespace(xs).maximum(rows.lengths, 1).astype(xs.dtype)[:, None]
        return xs.sum(axis=0) / count, MeanPoolCache(xs.shape, count)

    def pool_backward(self, dy: Float[Array, "B D"], cache: MeanPoolCache) -> Float[Array, "T B D"]:
        dxs: Array = namespace(dy).broadcast_to(dy / cache.count, cache.shape)
        return dxs


def _picked(xs: Array, index: Any) -> Array:
    """A new array of what lies there in `xs`; zeros where there are no steps."""
    y: Array = namespace(xs).zeros(xs.shape[1:], xs.dtype) if index is None else xs[index]
    return y


def _put_back(dy: Array, cache: PickedSteps) -> Array:
    """The gradient w.r.t. xs: `dy` where y was taken from, 0 elsewhere."""
    dxs: Array = namespace(dy).zeros(cache.shape, dy.dtype)
    if cache.index is not None:
        dxs[cache.index] = dy
    return dxs
