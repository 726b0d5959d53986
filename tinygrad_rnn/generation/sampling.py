"""From logits to a sampled id: the distribution that `generate` samples from, whole or filtered."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arrays import Array, Float, Generator
from ..core.checks import check_number, check_size


def token_probabilities(
    logits: Float[Array, " V"],
    *,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
    min_p: float | int | None = None,
) -> Float[Array, " V"]:
    """The probabilities that `generate` draws from: a softmax in float64, filtered and normalised again.

    Args:
        logits: (V,), on the host, finite, or -inf where the probability is 0.
        temperature: as in `generate`; 0 gives 1 to the greatest logit.
        top_k: as in `generate`.
        top_p: as in `generate`.
        min_p: as in `generate`.

    Returns:
        (V,) float64, 0 where an id was filtered out.

    Raises:
        ValueError: an argument is outside its range, as in `generate`.

    Example:
        >>> token_probabilities(np.log([0.1, 0.6, 0.3]), top_k=2).round(3)
        array([0.   , 0.667, 0.333])
    """
    check_filters("token_probabilities", temperature, top_k, top_p, min_p)
    if temperature == 0:
        temperature, top_k = 1.0, 1
    scores: Array = np.asarray(logits, np.float64)
    kept: Any = slice(None)
    if top_k is not None or top_p is not None:  # sorted only if needed: it costs more than the rest
        kept = (-scores).argsort(kind="stable")[:top_k]  # the likeliest first; on ties, the lower id
    with np.errstate(over="ignore", under="ignore"):  # a tiny temperature gives -inf, and exp(-inf) is 0
        p: Array = np.exp((scores[kept] - scores.max()) / temperature)
    p /= p.sum()
    if top_k is top_p is min_p is None:
        return p  # nothing was filtered out, so it adds up to 1 already
    if top_p is not None and top_p < 1:
        count = np.searchsorted(np.cumsum(p), top_p) + 1
        kept, p = kept[:count], p[:count]
    if min_p is not None:
        p = np.where(p >= min_p * p.max(), p, 0)
    probabilities = np.zeros_like(scores)
    probabilities[kept] = p / p.sum()
    return probabilities


def draw(probabilities: Array, rng: Generator) -> int:
    """An id, drawn through the inverse of the cumulative distribution; never one of probability 0."""
    upto = probabilities.cumsum()
    # By rounding, the last entry may not be exactly 1. The product is below it, because random() is below 1.
    return int(upto.searchsorted(rng.random() * upto[-1], side="right"))


def log_probabilities(logits: Float[Array, "*lead V"]) -> Float[Array, "*lead V"]:
    """The logarithms of a softmax in float64, none above 0. From finite logits some may be -inf, but none is NaN."""
    scores: Array = np.asarray(logits, np.float64)
    with np.errstate(over="ignore", under="ignore"):
        scores = scores - scores.max(axis=-1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    return scores


def check_filters(owner: str, temperature: Any, top_k: Any, top_p: Any, min_p: Any) -> None:
    """Raise ValueError or TypeError unless each is in its range."""
    if not check_number(owner, "temperature", temperature) >= 0:  # also raises for NaN
        raise ValueError(f"{owner}: temperature must be at least 0, which is greedy, not {temperature}")
    if top_k is not None:
        check_size(owner, "top_k", top_k)
    if top_p is not None and not 0 < check_number(owner, "top_p", top_p) <= 1:
        raise ValueError(f"{owner}: top_p must be above 0 and at most 1, which keeps every id, not {top_p}")
    if min_p is not None and not 0 <= check_number(owner, "min_p", min_p) <= 1:
        raise ValueError(f"{owner}: min_p must be at least 0, which keeps every id, and at most 1, not {min_p}")
