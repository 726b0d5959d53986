"""The likeliest ids after a prompt: greedy search for many rows at once, or beam search for one prompt."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from ..core.arrays import Array, Integers
from ..core.checks import check_number, check_size
from ..core.foreign import as_array
from ..core.roles import Recurrent
from ..core.states import State, tree_map
from .prompts import check_finite, check_stop, one_prompt, run_prompt
from .sampling import log_probabilities


def greedy_search(
    model: Recurrent,
    ids: Integers | Sequence[Any],
    *,
    length: int,
    state: State | None = None,
    stop: Collection[SupportsIndex] = (),
) -> list[list[int]]:
    """The likeliest id, step by step, for all rows of a batch side by side; the lowest id on ties.

    A row is what `generate` gives for its prompt at temperature 0, except for the last digit of the logits (a product
    of another size may round differently). It depends on no other row. The search ends when all rows have ended.

    Args:
        model: a causal model that maps ids (T, B) to logits (T, B, V).
        ids: one id per row (B,), such as that of a start token, or prompts of one length (N, B); on the host. They are
            not echoed. For one prompt (N,) give `ids[:, None]`.
        length: how many ids to give for each row, at most.
        state: the state before them, with B rows, such as that of an encoder; None is the initial state.
        stop: ids that end a row; they are not given.

    Returns:
        A list of up to `length` ids for each of the B rows.

    Raises:
        ValueError: `ids` has no or more than two axes, N is 0, or an id is outside the vocabulary; `length` is
            negative; the state has not B rows; the model has no `step`; a logit of a row that has not ended is not
            finite.
        TypeError: ids or `length` are not integers, `stop` is not a collection of integers, or `model` is not a
            `Recurrent`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> rows = greedy_search(model, [0, 1, 2], length=20, stop=(4,))
        >>> len(rows), max(len(row) for row in rows) <= 20, any(4 in row for row in rows)
        (3, True, False)
    """
    prompts = as_array("greedy_search", "ids", ids)
    if prompts.ndim not in (1, 2):
        raise ValueError(
            f"greedy_search: ids has shape {prompts.shape}, expected (B,), one id per row, or (N, B), prompts of one "
            "length"
        )
    length = check_size("greedy_search", "length", length, least=0)
    ends = check_stop("greedy_search", stop)
    prompts = prompts[None] if prompts.ndim == 1 else prompts
    y, state = run_prompt("greedy_search", model, prompts, state)
    device = model.device
    rows: list[list[int]] = [[] for _ in range(prompts.shape[1])]
    running = list(range(len(rows)))
    for t in range(length):
        logits = device.to_host(y)
        check_finite("greedy_search", logits[running], t)
        chosen = logits.argmax(axis=-1).tolist()
        running = [b for b in running if chosen[b] not in ends]
        for b in running:
            rows[b].append(chosen[b])
        if not running:
            break
        if t + 1 < length:  # a row that has ended stays: without it, the products of the others might round differently
            y, state = model.take_step(device.asarray(chosen), state)
    return rows


class Hypothesis(NamedTuple):
    """What `beam_search` gives: one continuation of the prompt."""

    ids: list[int]
    """The ids without the stop id; there are `length` ids if there was no stop id."""
    log_prob: float
    """The sum of the log-probabilities of the ids in nats, including that of the stop id."""
    score: float
    """`log_prob` divided by the length penalty; hypotheses are compared by it."""


def beam_search(
    model: Recurrent,
    ids: Integers | Sequence[int],
    *,
    width: int,
    length: int,
    state: State | None = None,
    stop: Collection[SupportsIndex] = (),
    length_penalty: float | int = 0.0,
) -> list[Hypothesis]:
    r"""The likeliest continuations of a prompt, found by keeping the `width` best at each step.

    A hypothesis Y ends with a stop id, or has `length` ids. With n ids, including the stop id, it has the score

    .. math:: s(Y) = \frac{\log P(Y)}{l_n}, \qquad l_n = \left(\frac{5 + n}{6}\right)^\alpha

    with :math:`\alpha` the `length_penalty`. At each step every id may extend each beam. The `width` extensions of the
    greatest log-probability are kept, on ties those with the lower id, then those of the earlier beam. An extension
    that ends in a stop id is set aside as finished (so two stop ids may give two hypotheses of the same ids); the
    others are the next beams. The search ends

    - when no beam is left;
    - when there are `width` finished hypotheses, and no beam can reach a greater score than the worst of them. Nothing
      better is lost: log-probabilities only fall, so the score of a beam can at most become its log-probability divided
      by the penalty of `length` ids;
    - after `length` ids. The remaining beams are then hypotheses too, compared with the finished ones by their scores.

    With `width` 1 this is `greedy_search` of one row, whatever the penalty. With a `width` of V to the power of
    `length` no beam is ever dropped, and the result is all hypotheses. In between, a greater width usually finds a
    greater score, but not always.

    A step runs the model for all beams, as the rows of a batch, and copies the state of each. Log-probabilities are
    computed on the host in float64, whatever the model's dtype; they are ties if they are equal there.

    Args:
        model: a causal model that maps ids (T, B) to logits (T, B, V).
        ids: the prompt (N,), N >= 1, on the host; it is not echoed.
        width: how many beams, and how many hypotheses at most.
        length: how many ids to give at most.
        state: the state before the prompt, for a batch of one, such as that of an encoder; None is the initial state.
        stop: ids that end a hypothesis.
        length_penalty: 0 compares by log-probability alone, which favours short hypotheses. Values above 0 favour them
            less; 0.6 to 0.7 was best for translation in the reference.

    Returns:
        Up to `width` hypotheses, the greatest score first; on ties the one that ended first, then the one that was kept
        first.

    Raises:
        ValueError: the prompt is empty, not one row, or holds an id outside the vocabulary; `width` is below 1,
            `length` negative, `length_penalty` negative or not finite; the state has not one row; the model has no
            `step`; a logit is not finite.
        TypeError: ids, `width` or `length` are not integers, `length_penalty` is not a number, `stop` is not a
            collection of integers, or `model` is not a `Recurrent`.

    References:
        Beam search that sets finished sequences aside: Sutskever, Vinyals and Le, *Sequence to Sequence Learning
        with Neural Networks*, 2014. The length penalty: Wu et al., *Google's Neural Machine Translation System:
        Bridging the Gap between Human and Machine Translation*, 2016, equation 14.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> best, *others = beam_search(model, [0, 1], width=4, length=20, stop=(4,), length_penalty=0.6)
        >>> len(others), all(best.score >= other.score for other in others), 4 in best.ids
        (3, True, False)
    """
    width = check_size("beam_search", "width", width)
    length = check_size("beam_search", "length", length, least=0)
    length_penalty = check_number("beam_search", "length_penalty", length_penalty)
    if not 0 <= length_penalty < math.inf:
        raise ValueError(
            f"beam_search: length_penalty must be at least 0, which is none, and finite, not {length_penalty}"
        )
    ends = check_stop("beam_search", stop)

    def score(log_prob: float, size: int) -> float:
        penalty: float = ((5 + size) / 6) ** length_penalty
        return log_prob / penalty

    y, state = run_prompt("beam_search", model, one_prompt("beam_search", ids), state)
    device = model.device
    beams: list[tuple[list[int], float]] = [([], 0.0)]  # the ids of each, and their log-probability
    finished: list[Hypothesis] = []
    for size in range(1, length + 1):
        logits = device.to_host(y)
        check_finite("beam_search", logits, size - 1)
        totals = log_probabilities(logits) + [[log_prob] for _, log_prob in beams]
        kept = [(row, chosen, float(totals[row, chosen])) for row, chosen in _best_extensions(totals, width)]
        finished += [
            Hypothesis([*beams[row][0]], total, score(total, size)) for row, chosen, total in kept if chosen in ends
        ]
        finished = _best_first(finished)[:width]
        kept = [extension for extension in kept if extension[1] not in ends]
        beams = [([*beams[row][0], chosen], total) for row, chosen, total in kept]
        if not beams or (len(finished) == width and score(beams[0][1], length) <= finished[-1].score):
            return finished
        if size < length:
            rows = device.asarray([row for row, _, _ in kept])
            state = tree_map(lambda array, rows=rows: array[rows], state)
            y, state = model.take_step(device.asarray([chosen for _, chosen, _ in kept]), state)
    left = [Hypothesis(beam, log_prob, score(log_prob, length)) for beam, log_prob in beams]
    return _best_first(finished + left)[:width]


def _best_extensions(totals: Array, width: int) -> Iterator[tuple[int, int]]:
    """Beam and id of the `width` greatest of `totals` (beams, V); on ties the lower id, then the earlier beam."""
    flat = totals.T.reshape(-1)
    width = min(width, flat.size)
    least = np.partition(flat, -width)[-width]  # sorting all would cost more than the rest of the search
    (candidates,) = (flat >= least).nonzero()
    best = candidates[(-flat[candidates]).argsort(kind="stable")][:width]
    chosen, rows = np.divmod(best, len(totals))
    return zip(rows.tolist(), chosen.tolist(), strict=True)


def _best_first(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    """Sorted by score; on ties they keep their order."""
    return sorted(hypotheses, key=lambda hypothesis: hypothesis.score, reverse=True)
