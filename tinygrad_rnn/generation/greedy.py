"""The likeliest id, step by step, for many rows at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, SupportsIndex

from ..core.arrays import Integers
from ..core.checks import check_size
from ..core.foreign import as_array
from ..core.roles import Recurrent
from ..core.states import State
from .prompts import check_finite, check_stop, run_prompt


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
        length: how many ids to give for each row at most.
        state: the state before them, with B rows, such as that of an encoder; None is the initial state.
        stop: ids that end a row; they are not given.

    Returns:
        A list of up to `length` ids for each of the B rows.

    Raises:
        ValueError: `ids` has no or more than two axes, N is 0, or an id is outside the vocabulary; `length` is
            negative; the state does not have B rows; the model has no `step`; a logit of a row that has not ended is
            not finite.
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
