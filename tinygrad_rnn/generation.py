"""Text from a model, one id at a time: greedy, or drawn from the whole or the likeliest part of its distribution."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from operator import index
from typing import Any, SupportsIndex

import numpy as np

from .arrays import Array, Float, Generator, Integers, State
from .checks import check_ids, check_integers, check_rng, check_size
from .device import Device
from .layers.roles import Recurrent


def generate(
    model: Recurrent,
    ids: Integers | Sequence[int],
    *,
    length: int,
    state: State | None = None,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
    stop: Collection[SupportsIndex] = (),
    rng: Generator,
) -> Iterator[int]:
    """Ids that go on from a prompt, each drawn from what the model makes of all before it.

    The call checks its arguments and runs the prompt; the iterator takes one step of the model an id. Nothing is kept
    on the model, and its parameters are read as they are when a step is taken.

    Args:
        model: gives logits (T, B, V) of ids (T, B); causal.
        ids: the prompt (N,), N >= 1, on the host; it is not echoed.
        length: how many ids to give at most.
        state: the state before the prompt, of a batch of one; None is the initial one.
        temperature: divides the logits. Below 1 the likely ids become likelier; 0 is greedy, the lowest id on ties.
        top_k: draw from the k likeliest ids only, the lowest on ties.
        top_p: draw from the fewest of the likeliest ids that have this much probability together, after `top_k`.
        stop: ids that end the text; they are not given.
        rng: gives one uniform number an id drawn, whatever the distribution; none where greedy.

    Returns:
        An iterator of up to `length` ints.

    Raises:
        ValueError: the prompt is empty, not one row, or holds an id outside the vocabulary; `length` or `temperature`
            is negative, `top_k` below 1, or `top_p` outside (0, 1]; the state is not of one row; the model has no
            `step`. From the iterator: a logit is not finite.
        TypeError: ids are not integers, `model` is not a `Recurrent`, or `rng` no generator.

    References:
        Nucleus sampling, `top_p`: Holtzman et al., *The Curious Case of Neural Text Degeneration*, 2020.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> text = list(generate(model, [0, 1], length=20, temperature=0.5, stop=(4,), rng=rng))
        >>> len(text) <= 20, 4 in text
        (True, False)
    """
    if not isinstance(model, Recurrent):
        raise TypeError(f"generate: model must be a Recurrent, such as Sequential, not {model!r}")
    prompt = _check_prompt(model, ids)
    length = _check_length(length)
    _check_filters(temperature, top_k, top_p)
    check_rng("generate", rng)
    ends = _check_stop(stop)
    device = model.device or Device("cpu")
    prompt = device.asarray(prompt)
    if not model.causal:
        model.step(prompt[:1], state)  # raises, and says why: here, and not after the first id
    ys, state = model(prompt[:, None], state)

    def stream(y: Any, state: State) -> Iterator[int]:
        for t in range(length):
            logits = device.to_host(y[0])
            _check_finite(logits, t)
            if temperature == 0:
                chosen = int(logits.argmax())
            else:
                chosen = _draw(token_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p), rng)
            if chosen in ends:
                return
            yield chosen
            if t + 1 < length:
                y, state = model.step(device.asarray([chosen]), state)

    return stream(ys[-1], state)


def token_probabilities(
    logits: Float[Array, " V"],
    *,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
) -> Float[Array, " V"]:
    """The probabilities that `generate` draws from: a softmax in float64, filtered, then made to add up to 1 again.

    Args:
        logits: (V,), finite, on the host.
        temperature: as in `generate`; 0 gives 1 to the greatest logit.
        top_k: as in `generate`.
        top_p: as in `generate`.

    Returns:
        (V,) float64, 0 where an id was filtered out.

    Raises:
        ValueError: an argument is outside its range, as in `generate`.

    Example:
        >>> token_probabilities(np.log([0.1, 0.6, 0.3]), top_k=2).round(3)
        array([0.   , 0.667, 0.333])
    """
    _check_filters(temperature, top_k, top_p)
    if temperature == 0:
        temperature, top_k = 1.0, 1
    scores = np.asarray(logits, np.float64)
    kept: Any = slice(None)
    if top_k is not None or top_p is not None:  # sorted only where asked: it costs more than all else here
        kept = (-scores).argsort(kind="stable")[:top_k]  # the likeliest first; of equals, the lower id
    with np.errstate(over="ignore", under="ignore"):  # divided by next to nothing: -inf, whose exponential is 0
        p = np.exp((scores[kept] - scores.max()) / temperature)
    p /= p.sum()
    if top_p is not None and top_p < 1:
        count = np.searchsorted(np.cumsum(p), top_p) + 1
        kept, p = kept[:count], p[:count]
    probabilities = np.zeros_like(scores)
    probabilities[kept] = p / p.sum()
    return probabilities


def _draw(probabilities: Array, rng: Generator) -> int:
    """An id by the inverse of the distribution function: never one of probability 0."""
    upto = np.cumsum(probabilities)
    # Rounding keeps the last from being just 1. The product is below it, as random() is below 1.
    return int(np.searchsorted(upto, rng.random() * upto[-1], side="right"))


def _check_prompt(model: Recurrent, ids: Any) -> Any:
    prompt = np.asarray(ids)
    if prompt.ndim != 1:
        raise ValueError(f"generate: ids has shape {prompt.shape}, expected (N,): one prompt. Give one row, ids[:, b]")
    if not prompt.size:
        raise ValueError("generate: the prompt is empty: give at least one id, such as that of a start token")
    check_integers(model, "ids", prompt)
    if model.takes_ids and model.in_size is not None:  # on a GPU the layer does not look at the values
        check_ids(model, prompt, model.in_size)
    return prompt.astype(np.int64)


def _check_length(length: Any) -> int:
    if isinstance(length, bool) or not hasattr(length, "__index__"):
        raise TypeError(f"generate: length must be an integer, not {length!r}")
    if length < 0:
        raise ValueError(f"generate: length must be at least 0, not {length}")
    return index(length)


def _check_filters(temperature: Any, top_k: Any, top_p: Any) -> None:
    if not temperature >= 0:  # NaN is not either
        raise ValueError(f"generate: temperature must be at least 0, which is greedy, not {temperature}")
    if top_k is not None:
        check_size("generate", "top_k", top_k)
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"generate: top_p must be above 0 and at most 1, which keeps every id, not {top_p}")


def _check_stop(stop: Any) -> frozenset[int]:
    try:
        return frozenset(map(index, stop))
    except TypeError:
        raise TypeError(f"generate: stop must be a collection of ids, such as (3,), not {stop!r}") from None


def _check_finite(logits: Array, step: int) -> None:
    finite = np.isfinite(logits)
    if not finite.all():
        wrong = int(finite.argmin())
        raise ValueError(
            f"generate: at step {step} the logit of id {wrong} is {logits[wrong]}, and {finite.size - finite.sum()} of "
            f"{finite.size} are not finite: the model has diverged. Load weights from before that, and train on with a "
            "lower learning rate or a clip"
        )
