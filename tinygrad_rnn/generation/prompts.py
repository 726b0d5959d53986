"""What generation and the searches share: running the prompt, and checks of their arguments."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from ..core.arrays import Array
from ..core.checks import check_ids, check_integers
from ..core.chunks import in_chunks
from ..core.foreign import as_array
from ..core.roles import Recurrent
from ..core.states import State


def one_prompt(owner: str, ids: Any) -> Any:
    """`ids` as an array (N,) on the host.

    Raises:
        ValueError: they are not one row.
    """
    prompt = as_array(owner, "ids", ids)
    if prompt.ndim != 1:
        raise ValueError(f"{owner}: ids has shape {prompt.shape}, expected (N,): one prompt. Give one row, ids[:, b]")
    return prompt


def run_prompt(owner: str, model: Any, ids: Any, state: Any) -> tuple[Any, State]:
    """The logits (B, V) after `ids`, a prompt (N,) or prompts (N, B) on the host, and the state, both on the device.

    Raises:
        ValueError: N is 0, an id is outside the vocabulary, the state has not B rows, or the model has no `step`.
        TypeError: the ids are not integers, or the model is not a `Recurrent`.
    """
    if not isinstance(model, Recurrent):
        raise TypeError(f"{owner}: model must be a Recurrent, such as Sequential, not {model!r}")
    if not len(ids):
        raise ValueError(f"{owner}: the prompt is empty: give at least one id, such as that of a start token")
    check_integers(model, "ids", ids)
    if model.takes_ids and model.in_size is not None:  # on a GPU the layer does not check the values
        check_ids(model, ids, model.in_size)
    xs = model.device.asarray(ids.astype(np.int64).reshape(len(ids), -1))
    if not model.causal:
        model.step(xs[0], state)  # raises with the reason, here and not after the first id
    for ys, after in in_chunks(model, xs, state):
        last, state = ys[-1], after
    return last, state


def check_stop(owner: str, stop: Any) -> frozenset[int]:
    """`stop` as a set.

    Raises:
        TypeError: it is not a collection of integers.
    """
    try:
        if isinstance(stop, (str, bytes)):
            raise TypeError
        return frozenset(map(index, stop))
    except TypeError:
        raise TypeError(f"{owner}: stop must be a collection of ids, such as (3,), not {stop!r}") from None


def check_finite(owner: str, logits: Array, step: int) -> None:
    """`logits` (V,) or (B, V) of a step must be finite.

    Raises:
        ValueError: one is not; for the first row with such logits, the message says which one it is, and how many.
    """
    finite = np.isfinite(logits)
    if not finite.all():
        row = int(finite.all(axis=-1).argmin())
        logits, finite = np.atleast_2d(logits)[row], np.atleast_2d(finite)[row]
        wrong = int(finite.argmin())
        raise ValueError(
            f"{owner}: at step {step} the logit of id {wrong} is {logits[wrong]}, and {finite.size - finite.sum()} of "
            f"{finite.size} are not finite: the model has diverged. Load an earlier checkpoint, and continue training "
            "with a lower learning rate or gradient clipping"
        )
