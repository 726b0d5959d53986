"""Attention whose scores come from a small network."""

from __future__ import annotations

from typing import NamedTuple

from ...core import initializers
from ...core.arrays import Array, Float, Generator
from ...core.checks import check_rng, check_size
from ...core.one_hot import as_rows
from ...core.parameter import Parameter
from ...kernels.backends import backend
from .base import Attention, rows_product


class AdditiveAttentionCache(NamedTuple):
    """What the backward needs."""

    queries: Float[Array, "T B Q"]
    p: Float[Array, "T B A"]
    """The part of the queries in the sums, including the bias."""
    keys: Float[Array, "S B A"]
    """The part of the memory in the sums."""


class AdditiveAttention(Attention):
    r"""Attention whose score is a network with one hidden layer, which takes the query and the memory.

    Forward:

    .. math::
        p_t &= q_t W_q + b, \qquad k_s = m_s W_m \\
        u_{ts} &= \tanh(p_t + k_s), \qquad e_{ts} = u_{ts} v^\top

    Backward, where the sums for the parameters also run over the rows of the batch:

    .. math::
        dz_{ts} &= de_{ts}\, v \odot (1 - u_{ts}^2), \qquad dv \mathrel{+}= \sum_{ts} de_{ts}\, u_{ts} \\
        dp_t &= \sum_s dz_{ts}, \qquad dk_s = \sum_t dz_{ts} \\
        dq_t &= dp_t W_q^\top, \qquad dm_s \mathrel{+}= dk_s W_m^\top \\
        dW_q &\mathrel{+}= \sum_t q_t^\top dp_t, \qquad dW_m \mathrel{+}= \sum_s m_s^\top dk_s,
              \qquad db \mathrel{+}= \sum_t dp_t

    All :math:`u_{ts}` together would be an array (T, B, S, A). It is never made: on the CPU, forward and backward go
    through the queries one by one, with arrays (S, B, A), and on a GPU each sum computes the tanhs that it needs. So
    the memory use grows with T + S, not with T · S, and the backward computes every tanh again. The :math:`k_s` are the
    keys, which depend on the memory alone.

    Args:
        query_size: Q, features of a query.
        memory_size: M, features of the memory.
        hidden_size: A, units of the hidden layer.
        rng: draws the weights.

    Parameters `w_query` (Q, A) and `w_memory` (M, A), Glorot; `b` (A,), 0; `v` (A,), uniform in :math:`\pm 1/\sqrt A`.

    Raises:
        ValueError: a size is below 1; in `forward`, a size does not fit.
        TypeError: a size is not an integer, or `rng` is not a generator; in `forward`, a dtype or device differs from
            the parameters'.

    References:
        Bahdanau, Cho and Bengio, *Neural Machine Translation by Jointly Learning to Align and Translate*, 2015.

    Example:
        >>> attention = AdditiveAttention(3, 4, 8, rng=np.random.default_rng(0))
        >>> context, weights = attention(np.ones((5, 2, 3), np.float32), np.ones((7, 2, 4), np.float32))
        >>> context.shape, weights.shape
        ((5, 2, 4), (5, 2, 7))
    """

    query_size: int
    memory_size: int

    def __init__(self, query_size: int, memory_size: int, hidden_size: int, *, rng: Generator) -> None:
        query_size = check_size("AdditiveAttention", "query_size", query_size)
        memory_size = check_size("AdditiveAttention", "memory_size", memory_size)
        hidden_size = check_size("AdditiveAttention", "hidden_size", hidden_size)
        check_rng("AdditiveAttention", rng)
        self.query_size, self.memory_size, self.hidden_size = query_size, memory_size, hidden_size
        self.w_query = Parameter(initializers.glorot((query_size, hidden_size), rng=rng))
        self.w_memory = Parameter(initializers.glorot((memory_size, hidden_size), rng=rng))
        self.b = Parameter(initializers.zeros((hidden_size,)))
        self.v = Parameter(initializers.uniform((hidden_size,), rng=rng))

    def keys(self, memory: Float[Array, "S B M"]) -> tuple[Float[Array, "S B A"], Float[Array, "S B M"]]:
        return rows_product(memory, self.w_memory.value), memory

    def keys_backward(self, dkeys: Float[Array, "S B A"], cache: Float[Array, "S B M"]) -> Float[Array, "S B M"]:
        memory, dk_rows = cache, as_rows(dkeys)
        self.w_memory.grad += as_rows(memory).T @ dk_rows
        dmemory: Array = (dk_rows @ self.w_memory.value.T).reshape(memory.shape)
        return dmemory

    def scores(
        self, queries: Float[Array, "T B Q"], keys: Float[Array, "S B A"]
    ) -> tuple[Float[Array, "T B S"], AdditiveAttentionCache]:
        p = rows_product(queries, self.w_query.value) + self.b.value
        return backend(keys).additive_scores(p, keys, self.v.value), AdditiveAttentionCache(queries, p, keys)

    def scores_backward(
        self, dscores: Float[Array, "T B S"], cache: AdditiveAttentionCache
    ) -> tuple[Float[Array, "T B Q"], Float[Array, "S B A"]]:
        queries, p, keys = cache
        dp, dkeys = backend(keys).additive_backward(dscores, p, keys, self.v.value, self.v.grad)
        dp_rows = as_rows(dp)
        self.w_query.grad += as_rows(queries).T @ dp_rows
        self.b.grad += dp_rows.sum(axis=0)
        return (dp_rows @ self.w_query.value.T).reshape(queries.shape), dkeys
