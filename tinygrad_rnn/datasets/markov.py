"""Markov chains."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..core.arrays import Array, Booleans, Generator, Integers, NDArray
from ..core.checks import check_rng, check_size
from .source import Source


class MarkovSource(Source):
    r"""A Markov chain of order k: a token depends on the k before it.

    With :math:`P(v \mid c)` the probability of the token :math:`v` after the context :math:`c` of k tokens, and
    :math:`\pi` the stationary distribution, which says how often each context occurs, the entropy per token is

    .. math::
        \pi(c' ) = \sum_{c,\, v\,:\, c \to c'} \pi(c)\, P(v \mid c), \qquad
        h = -\sum_c \pi(c) \sum_v P(v \mid c) \ln P(v \mid c).

    A sample begins in the stationary distribution, so all parts of it have the same statistics. Only the first k - 1
    predicted tokens of a document, which have fewer than k tokens before them, have a mean loss above :math:`h`.

    Making a source takes :math:`V^{3k}` operations and :math:`V^{2k}` numbers: 0.1 seconds at a thousand contexts.

    Args:
        transitions: (V, …, V), k + 1 axes: `transitions[a, b]` are the probabilities (V,) of the token after a, b; each
            such row adds up to 1.

    Attributes: `transitions`, a read-only float64 array; `order`, k; `vocab_size`, V; `stationary`, (V, …, V) with k
    axes; `entropy`, in nats per token.

    Raises:
        TypeError: `transitions` are not numbers.
        ValueError: they have another shape, are not probabilities, a row does not add up to 1, or the chain has more
            than one stationary distribution.

    References:
        Shannon, *A Mathematical Theory of Communication*, 1948.

    Example:
        >>> from tinygrad_rnn.datasets import MarkovSource
        >>> source = MarkovSource([[0.9, 0.1], [0.5, 0.5]])
        >>> source.stationary.round(4), round(source.entropy, 4)
        (array([0.8333, 0.1667]), 0.3864)
        >>> ids = source.sample(10_000, rng=np.random.default_rng(0))
        >>> loss = SoftmaxCrossEntropy()(np.log(source.probabilities(ids[:-1])), ids[1:])
        >>> bool(abs(loss - source.entropy) < 0.02)
        True
    """

    def __init__(self, transitions: Sequence[Any] | NDArray[Any]) -> None:
        self.transitions = _checked(transitions)
        self.vocab_size, self.order = self.transitions.shape[-1], self.transitions.ndim - 1
        self.stationary = _stationary(self.transitions)
        p = self.transitions
        surprise = -np.log(np.where(p > 0, p, 1))  # 0 ln 0 is 0
        self.entropy = float((self.stationary[..., None] * p * surprise).sum())

    @classmethod
    def random(
        cls, vocab_size: int, *, order: int = 1, concentration: float | int = 1.0, rng: Generator
    ) -> MarkovSource:
        """A chain whose rows are drawn from a symmetric Dirichlet distribution.

        Args:
            vocab_size: V, the number of different tokens.
            order: k, how many of the tokens before it a token depends on.
            concentration: the parameter of the Dirichlet distribution: 1 draws all rows with equal probability; a
                smaller value gives rows in which few tokens have most of the probability, and so a smaller entropy.
            rng: draws the rows.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: `vocab_size` or `order` is below 1, `concentration` is not above 0 and finite, or it is so small
                that the chain falls apart.
        """
        vocab_size = check_size("MarkovSource.random", "vocab_size", vocab_size)
        order = check_size("MarkovSource.random", "order", order)
        if not hasattr(concentration, "__float__"):
            raise TypeError(f"MarkovSource.random: concentration must be a number, not {concentration!r}")
        if not 0 < concentration < np.inf:
            raise ValueError(f"MarkovSource.random: concentration must be above 0 and finite, not {concentration}")
        check_rng("MarkovSource.random", rng)
        return cls(rng.dirichlet(np.full(vocab_size, concentration), (vocab_size,) * order))

    def sample(self, length: int, *, rng: Generator) -> NDArray[np.int64]:
        """`length` tokens in a row, (N,) of int64: a document for `TokenStream`.

        Raises:
            TypeError: `length` is not an integer, or `rng` is not a Generator.
            ValueError: `length` is negative.
        """
        length = check_size(repr(self), "length", length, 0)
        check_rng(repr(self), rng)
        V, contexts = self.vocab_size, self.stationary.size
        (start,) = _upto(self.stationary.reshape(1, -1))
        upto = _upto(self.transitions.reshape(contexts, V))
        context = bisect_right(start, rng.random())
        ids = [int(i) for i in np.unravel_index(context, self.stationary.shape)]
        for chance in rng.random(max(length - self.order, 0)).tolist():
            token = bisect_right(upto[context], chance)
            ids.append(token)
            context = (context * V + token) % contexts  # drop the oldest token, append the new one
        return np.array(ids[:length], np.int64)

    def _predict(self, ids: Integers) -> tuple[Array, Array]:
        N, V, k = len(ids), self.vocab_size, self.order
        rows = np.zeros((N + 1, V))  # the first row is for the first token
        for t in range(min(k, N + 1)):  # after t tokens, fewer than k
            joint = self.stationary.sum(axis=tuple(range(t + 1, k)))[tuple(ids[:t])]
            rows[t] = joint / (joint.sum() or 1)
        if k <= N:
            rows[k:] = self.transitions[tuple(sliding_window_view(ids, k).T)]
        return rows[np.arange(N), ids], rows[1:]

    def __repr__(self) -> str:
        return f"<MarkovSource of {self.vocab_size} tokens, order {self.order}>"


def _checked(transitions: Sequence[Any] | NDArray[Any]) -> Array:
    """A read-only copy in float64."""
    p = np.array(transitions)
    if p.dtype.kind not in "iuf":
        raise TypeError(f"MarkovSource: transitions are {p.dtype}, where numbers were expected")
    if p.ndim < 2 or len({*p.shape}) > 1 or not p.size:
        raise ValueError(
            f"MarkovSource: transitions has the shape {p.shape}, where (V, V) was expected, and one more V for each "
            "further order"
        )
    p = p.astype(np.float64, copy=False)
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"MarkovSource: transitions is {p[where]} at index {where}, but a probability is 0 to 1")
    totals = p.sum(axis=-1)
    wrong = abs(totals - 1) > 1e-6  # the accuracy of float32
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"MarkovSource: the row transitions{list(where)} adds up to {totals[where]}, where 1 was expected; "
            "divide each row by its sum"
        )
    p /= totals[..., None]
    p.setflags(write=False)  # or the entropy might no longer be that of the chain
    return p


def _stationary(transitions: Array) -> Array:
    """How often each context occurs: π = π M with sum 1, where M holds the transitions between contexts."""
    V, k = transitions.shape[-1], transitions.ndim - 1
    contexts = np.arange(V**k)[:, None]
    M = np.zeros((V**k, V**k))
    M[contexts, (contexts * V + np.arange(V)) % V**k] = transitions.reshape(-1, V)
    comes = _recurrent(M)
    if not comes.any():
        raise ValueError(
            "MarkovSource: the chain has more than one stationary distribution, because it has several parts that it "
            "never leaves; make some token reachable from every other"
        )
    # π (I - M + 1) = 1, where 1 is a matrix and a row of ones, is singular only if there is more than one π.
    stationary = np.linalg.solve((np.eye(len(M)) - M + 1).T, np.ones(len(M)))
    stationary = np.where(comes, stationary.clip(min=0), 0)  # rounding must not bring transient contexts back
    shaped: Array = (stationary / stationary.sum()).reshape((V,) * k)
    return shaped


def _recurrent(M: Array) -> Booleans:
    """Which contexts are reached from all others; none if the chain has several parts that it never leaves."""
    reached = (M > 0) | np.eye(len(M), dtype=bool)
    while not reached.all():
        further = reached.astype(np.float32) @ reached.astype(np.float32) > 0  # in up to twice the steps
        if (further == reached).all():
            break
        reached = further
    recurrent: Booleans = np.asarray(reached.all(axis=0))
    return recurrent


def _upto(p: Array) -> list[list[float]]:
    """The cumulative distribution of each row, ending in exactly 1, so `bisect_right` never gives a token of p = 0."""
    total = p.cumsum(axis=1)
    upto: list[list[float]] = (total / total[:, -1:]).tolist()
    return upto
