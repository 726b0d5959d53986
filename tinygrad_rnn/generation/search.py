"""The likeliest continuations of one or several prompts: beam search."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, SupportsIndex, overload

import numpy as np

from ..core.arrays import Array, Integers
from ..core.checks import check_number, check_size
from ..core.device import on_own_gpu
from ..core.foreign import as_array
from ..core.roles import Recurrent
from ..core.states import State, tree_map
from .prompts import check_finite, check_stop, run_prompt
from .sampling import log_probabilities


class Hypothesis(NamedTuple):
    """What `beam_search` gives: one continuation of the prompt."""

    ids: list[int]
    """The ids without the stop id; there are `length` ids if there was no stop id."""
    log_prob: float
    """The sum of the log-probabilities of the ids in nats, including that of the stop id."""
    score: float
    """`log_prob` divided by the length penalty; hypotheses are compared by it."""


@overload
def beam_search(
    model: Recurrent,
    ids: Sequence[int],
    *,
    width: int,
    length: int,
    state: State | None = None,
    stop: Collection[SupportsIndex] = (),
    length_penalty: float | int = 0.0,
) -> list[Hypothesis]: ...


@overload
def beam_search(
    model: Recurrent,
    ids: Sequence[Sequence[int]],
    *,
    width: int,
    length: int,
    state: State | None = None,
    stop: Collection[SupportsIndex] = (),
    length_penalty: float | int = 0.0,
) -> list[list[Hypothesis]]: ...


@overload
def beam_search(
    model: Recurrent,
    ids: Integers,
    *,
    width: int,
    length: int,
    state: State | None = None,
    stop: Collection[SupportsIndex] = (),
    length_penalty: float | int = 0.0,
) -> Any: ...  # by the axes of the array


@on_own_gpu
def beam_search(
    model: Recurrent,
    ids: Integers | Sequence[Any],
    *,
    width: int,
    length: int,
    state: State | None = None,
    stop: Collection[SupportsIndex] = (),
    length_penalty: float | int = 0.0,
) -> Any:
    r"""The likeliest continuations of a prompt, or of each of several, found by keeping the `width` best at each step.

    A hypothesis Y ends with a stop id, or has `length` ids. With n ids, including the stop id, it has the score

    .. math:: s(Y) = \frac{\log P(Y)}{l_n}, \qquad l_n = \left(\frac{5 + n}{6}\right)^\alpha

    with :math:`\alpha` the `length_penalty`. At each step, every id may extend each beam. The `width` extensions with
    the greatest log-probability are kept, on ties those with the lower id, then those of the earlier beam. An extension
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

    A step runs the model for all beams of all prompts, as the rows of a batch, and copies the state of each. The search
    of a prompt that has ended takes no more steps. The result of a prompt does not depend on the other prompts, except
    for the last digit of the logits (a product of another size may round differently). Log-probabilities are computed
    on the host in float64, whatever the model's dtype; they are ties if they are equal there.

    Args:
        model: a causal model that maps ids (T, B) to logits (T, B, V).
        ids: the prompt (N,), N >= 1, or B prompts of one length (N, B), on the host; they are not echoed.
        width: how many beams a prompt has, and how many hypotheses at most.
        length: how many ids to give at most.
        state: the state before the prompts, with a row for each, such as that of an encoder; None is the initial state.
        stop: ids that end a hypothesis.
        length_penalty: 0 compares by log-probability alone, which favours short hypotheses. Values above 0 favour them
            less; 0.6 to 0.7 was best for translation in the reference.

    Returns:
        Up to `width` hypotheses, the greatest score first; on ties the one that ended first, then the one that was kept
        first. For prompts (N, B) a list of B such lists.

    Raises:
        ValueError: `ids` has no or more than two axes, N is 0, or an id is outside the vocabulary; `width` is below 1,
            `length` negative, `length_penalty` negative, not finite or so large that the penalty is not; the state does
            not have a row for each prompt; the model has no `step`; a logit is not finite.
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
        >>> first, second = beam_search(model, [[0, 2], [1, 3]], width=4, length=20, stop=(4,), length_penalty=0.6)
        >>> first[0].ids == best.ids
        True
    """
    width = check_size("beam_search", "width", width)
    length = check_size("beam_search", "length", length, least=0)
    length_penalty = check_number("beam_search", "length_penalty", length_penalty)
    if not 0 <= length_penalty < math.inf:
        raise ValueError(
            f"beam_search: length_penalty must be at least 0, which is none, and finite, not {length_penalty}"
        )
    if length_penalty * math.log((5 + length) / 6) > 700:  # where exp overflows
        raise ValueError(f"beam_search: length_penalty {length_penalty} is too large for {length} ids; 0.6 is usual")
    ends = check_stop("beam_search", stop)

    prompts = as_array("beam_search", "ids", ids)
    if prompts.ndim not in (1, 2):
        raise ValueError(
            f"beam_search: ids has shape {prompts.shape}, expected (N,), one prompt, or (N, B), prompts of one length"
        )
    y, state = run_prompt("beam_search", model, prompts, state)
    device = model.device
    searches = [
        _Search(width, length, ends, length_penalty) for _ in range(1 if prompts.ndim == 1 else prompts.shape[1])
    ]
    running = searches
    for t in range(length):
        logits, first = device.to_host(y), 0
        rows: list[int] = []
        chosen: list[int] = []
        for search in running:
            own = logits[first : first + len(search.beams)]
            check_finite("beam_search", own, t)
            for row, id in search.extend(own):
                rows.append(first + row)
                chosen.append(id)
            first += len(own)
        running = [search for search in running if search.beams]
        if not running:
            break
        if t + 1 < length:
            index = device.asarray(rows)
            state = tree_map(lambda array, index=index: array[index], state)
            y, state = model.take_step(device.asarray(chosen), state)
    found = [search.found() for search in searches]
    return found[0] if prompts.ndim == 1 else found


class _Search:
    """The search for the continuations of one prompt."""

    def __init__(self, width: int, length: int, ends: frozenset[int], length_penalty: float) -> None:
        self.width, self.length, self.ends, self.length_penalty = width, length, ends, length_penalty
        self.beams: list[tuple[list[int], float]] = [([], 0.0)]  # the ids of each, and their log-probability
        self.finished: list[Hypothesis] = []

    def score(self, log_prob: float, size: int) -> float:
        penalty: float = ((5 + size) / 6) ** self.length_penalty
        return log_prob / penalty

    def extend(self, logits: Array) -> list[tuple[int, int]]:
        """The beam and the id of each extension that is kept, and becomes the next beam; none when the search ends."""
        size = len(self.beams[0][0]) + 1
        totals = log_probabilities(logits) + [[log_prob] for _, log_prob in self.beams]
        kept = [(row, id, float(totals[row, id])) for row, id in _best_extensions(totals, self.width)]
        self.finished += [
            Hypothesis([*self.beams[row][0]], total, self.score(total, size))
            for row, id, total in kept
            if id in self.ends
        ]
        self.finished = _best_first(self.finished)[: self.width]
        kept = [extension for extension in kept if extension[1] not in self.ends]
        self.beams = [([*self.beams[row][0], id], total) for row, id, total in kept]
        full = len(self.finished) == self.width
        if full and self.beams and self.score(self.beams[0][1], self.length) <= self.finished[-1].score:
            self.beams = []
        return [(row, id) for row, id, _ in kept] if self.beams else []

    def found(self) -> list[Hypothesis]:
        """The hypotheses, those of beams that are left too."""
        left = [Hypothesis(ids, log_prob, self.score(log_prob, len(ids))) for ids, log_prob in self.beams]
        return _best_first(self.finished + left)[: self.width]


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
