"""A mean of the steps of each row whose weights are learnt."""

from __future__ import annotations

from typing import NamedTuple

from ...core import initializers
from ...core.arrays import Array, Float, Generator, Integer, Integers
from ...core.checks import check_rng, check_size
from ...core.one_hot import as_rows
from ...core.parameter import Parameter
from ...core.rows import Rows
from ..attention.base import masked_softmax
from .base import Pool


class AttentionPoolCache(NamedTuple):
    """What the backward needs."""

    xs: Float[Array, "T B D"]
    weights: Float[Array, "B T"]


class AttentionPool(Pool):
    r"""The mean of the steps of each row, weighted by how well each step fits a learnt vector.

    Forward, for the steps :math:`x_t` of a row:

    .. math::
        e_t = x_t v^\top, \qquad \alpha_t = \frac{e^{e_t}}{\sum_u e^{e_u}}, \qquad y = \sum_t \alpha_t x_t

    Backward, where the sum for v also runs over the rows of the batch:

    .. math::
        da_t &= dy\, x_t^\top, \qquad de_t = \alpha_t \Bigl(da_t - \sum_u \alpha_u\, da_u\Bigr) \\
        dx_t &= \alpha_t\, dy + de_t\, v, \qquad dv \mathrel{+}= \sum_t de_t\, x_t

    Steps past a row's end have weight 0; a row without steps gives 0.

    Args:
        size: D, features of xs and of y.
        rng: draws v.

    Parameter `v` (D,), uniform in :math:`\pm 1/\sqrt D`. `forward` takes (T, B, D) and gives (B, D).

    Raises:
        ValueError: `size` is below 1; in `forward`, a shape or a length does not fit.
        TypeError: `size` is not an integer, or `rng` is not a generator; in `forward`, the dtype or device of xs
            differs from the parameters'.

    References:
        Yang et al., *Hierarchical Attention Networks for Document Classification*, 2016, who have a hidden layer before
        the learnt vector.

    Example:
        >>> pool = AttentionPool(2, rng=np.random.default_rng(0))
        >>> xs = np.array([[[1, 0]], [[0, 1]], [[9, 9]]], np.float32)
        >>> pool.v.value = np.array([0, 1], np.float32)  # so that the second step fits best
        >>> pool(xs, lengths=np.array([2])).round(2), pool.weights(xs, lengths=np.array([2])).round(2).T
        (array([[0.27, 0.73]], dtype=float32), array([[0.27, 0.73, 0.  ]], dtype=float32))
    """

    in_size: int

    def __init__(self, size: int, *, rng: Generator) -> None:
        size = check_size("AttentionPool", "size", size)
        check_rng("AttentionPool", rng)
        self.size = self.in_size = self.out_size = size
        self.v = Parameter(initializers.uniform((size,), rng=rng))

    def pool_forward(
        self, xs: Float[Array, "T B D"], *, rows: Rows, training: bool
    ) -> tuple[Float[Array, "B D"], AttentionPoolCache]:
        scores = (as_rows(xs) @ self.v.value).reshape(xs.shape[:2]).T
        weights = masked_softmax(scores[None], rows.active)[0]
        y = (weights[:, None] @ xs.swapaxes(0, 1))[:, 0]
        return y, AttentionPoolCache(xs, weights)

    def pool_backward(self, dy: Float[Array, "B D"], cache: AttentionPoolCache) -> Float[Array, "T B D"]:
        xs, weights = cache
        da = (xs.swapaxes(0, 1) @ dy[..., None])[..., 0]
        de = weights * (da - (weights * da).sum(axis=1, keepdims=True))
        self.v.grad += de.T.reshape(-1) @ as_rows(xs)
        dxs: Array = weights.T[..., None] * dy + de.T[..., None] * self.v.value
        return dxs

    def weights(
        self, xs: Float[Array, "T B D"], *, lengths: Integer[Integers, " B"] | None = None
    ) -> Float[Array, "T B"]:
        """The weight of each step, 0 past a row's end. Arguments and errors are those of a call."""
        weights: Array = self.forward(xs, lengths=lengths, training=False)[1].inner.weights
        return weights.T
