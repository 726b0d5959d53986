"""Attention whose scores are a bilinear form."""

from __future__ import annotations

from typing import NamedTuple

from ...core import initializers
from ...core.arrays import Array, Float, Generator
from ...core.checks import check_rng, check_size
from ...core.one_hot import as_rows
from ...core.parameter import Parameter
from .base import Attention, product, rows_product


class GeneralAttentionCache(NamedTuple):
    """What the backward needs."""

    queries: Float[Array, "T B Q"]
    keys: Float[Array, "S B M"]
    p: Float[Array, "T B M"]
    """The transformed queries, :math:`q_t W`."""


class GeneralAttention(Attention):
    r"""Attention whose score is a learnt bilinear form: a matrix transforms the query before the dot product.

    Forward and backward, where the sum for the matrix also runs over the rows of the batch:

    .. math::
        p_t &= q_t W, \qquad e_{ts} = p_t\, m_s^\top \\
        dp_t &= \sum_s de_{ts}\, m_s, \qquad dm_s \mathrel{+}= \sum_t de_{ts}\, p_t \\
        dq_t &= dp_t W^\top, \qquad dW \mathrel{+}= \sum_t q_t^\top dp_t

    Args:
        query_size: Q, features of a query.
        memory_size: M, features of the memory.
        rng: draws the weights.

    Parameter `w` (Q, M), Glorot.

    Raises:
        ValueError: a size is below 1; in `forward`, a size does not fit.
        TypeError: a size is not an integer, or `rng` is not a generator; in `forward`, a dtype or device differs from
            the parameters'.

    References:
        Luong, Pham and Manning, *Effective Approaches to Attention-based Neural Machine Translation*, 2015.

    Example:
        >>> attention = GeneralAttention(3, 4, rng=np.random.default_rng(0))
        >>> queries, memory = np.ones((5, 2, 3), np.float32), np.ones((7, 2, 4), np.float32)
        >>> context, weights = attention(queries, memory, lengths=np.array([7, 1]))
        >>> context.shape, weights.shape, weights[0, 1].tolist()
        ((5, 2, 4), (5, 2, 7), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    """

    query_size: int
    memory_size: int

    def __init__(self, query_size: int, memory_size: int, *, rng: Generator) -> None:
        query_size = check_size("GeneralAttention", "query_size", query_size)
        memory_size = check_size("GeneralAttention", "memory_size", memory_size)
        check_rng("GeneralAttention", rng)
        self.query_size, self.memory_size = query_size, memory_size
        self.w = Parameter(initializers.glorot((query_size, memory_size), rng=rng))

    def scores(
        self, queries: Float[Array, "T B Q"], keys: Float[Array, "S B M"]
    ) -> tuple[Float[Array, "T B S"], GeneralAttentionCache]:
        p = rows_product(queries, self.w.value)
        return product(p, keys.swapaxes(0, 2)), GeneralAttentionCache(queries, keys, p)

    def scores_backward(
        self, dscores: Float[Array, "T B S"], cache: GeneralAttentionCache
    ) -> tuple[Float[Array, "T B Q"], Float[Array, "S B M"]]:
        queries, keys, p = cache
        dp_rows = as_rows(product(dscores, keys))
        self.w.grad += as_rows(queries).T @ dp_rows
        return (dp_rows @ self.w.value.T).reshape(queries.shape), product(dscores.swapaxes(0, 2), p)
