"""Attention whose scores are dot products."""

from __future__ import annotations

from typing import NamedTuple

from ...core.arrays import Array, Float
from .base import Attention, product


class DotAttentionCache(NamedTuple):
    """The arguments of `scores`."""

    queries: Float[Array, "T B D"]
    keys: Float[Array, "S B D"]


class DotAttention(Attention):
    r"""Attention whose score is the dot product of query and memory, which have equally many features. No parameters.

    Forward and backward:

    .. math::
        e_{ts} = q_t\, m_s^\top, \qquad
        dq_t = \sum_s de_{ts}\, m_s, \qquad dm_s \mathrel{+}= \sum_t de_{ts}\, q_t

    Raises:
        ValueError: in `forward`, queries and memory differ in their features, or other sizes do not fit.
        TypeError: in `forward`, they are not floating-point numbers, or differ in dtype or device.

    References:
        Luong, Pham and Manning, *Effective Approaches to Attention-based Neural Machine Translation*, 2015.

    Example:
        >>> memory = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
        >>> context, weights = DotAttention()(np.array([[[0.0, 2.0]]]), memory)
        >>> weights.round(3), context.round(3)
        (array([[[0.119, 0.881]]]), array([[[0.119, 0.881]]]))
    """

    def scores(
        self, queries: Float[Array, "T B D"], keys: Float[Array, "S B D"]
    ) -> tuple[Float[Array, "T B S"], DotAttentionCache]:
        if queries.shape[-1] != keys.shape[-1]:
            raise ValueError(
                f"{self!r}: queries have {queries.shape[-1]} features, but the memory {keys.shape[-1]}; a dot "
                "product needs equal numbers. GeneralAttention and AdditiveAttention take unequal ones"
            )
        return product(queries, keys.swapaxes(0, 2)), DotAttentionCache(queries, keys)

    def scores_backward(
        self, dscores: Float[Array, "T B S"], cache: DotAttentionCache
    ) -> tuple[Float[Array, "T B D"], Float[Array, "S B D"]]:
        queries, keys = cache
        return product(dscores, keys), product(dscores.swapaxes(0, 2), queries)
