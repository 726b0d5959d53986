"""Ids that are drawn where the model is: a GPU takes several steps before anything is read from it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core.arrays import Array, Float, namespace
from ..core.roles import Recurrent
from ..core.states import State
from .prompts import check_finite

STEPS = 16
"""How many steps are taken between two transfers; so many come at once, and of those after the end no use is made."""


def choose(logits: Float[Array, "B V"], uniform: Any, temperature: float, min_p: float | None) -> Any:
    """An id (B,) for each row, as `token_probabilities` and `draw` choose it, by functions of the device alone.

    Args:
        logits: (B, V).
        uniform: (B,), a number of 0 to below 1 for each row, on the device; None at temperature 0.
        temperature: as in `generate`.
        min_p: as in `generate`.
    """
    xp = namespace(logits)
    if temperature == 0:
        return logits.argmax(axis=-1)
    scores = logits.astype(xp.float64)
    p = xp.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    p /= p.sum(axis=-1, keepdims=True)
    if min_p is not None:
        p = xp.where(p >= min_p * p.max(axis=-1, keepdims=True), p, 0)
        p /= p.sum(axis=-1, keepdims=True)
    upto = p.cumsum(axis=-1)
    return (upto <= uniform[:, None] * upto[:, -1:]).sum(axis=-1)


def run_on_device(
    owner: str,
    model: Recurrent,
    y: Any,
    state: State,
    rngs: list[Any],
    length: int,
    ends: Any,
    temperature: float,
    min_p: float | None,
) -> Iterator[tuple[int, int, Any]]:
    """As `tokens._run`, `STEPS` steps at a time; nothing but the generators tells that more was drawn than is given."""
    device, like, running, t = model.device, model._like(), list(range(len(rngs))), 0
    while running and t < length:
        steps = min(STEPS, length - t)
        uniforms = None
        if temperature:
            ahead = [copy.deepcopy(rng).random(steps) for rng in rngs]
            uniforms = device.asarray(np.stack(ahead, axis=1))
        step = model.take_step if model._like() is like else model.step
        with device:
            ys, chosen = [], []
            for i in range(steps):
                ys.append(y)
                chosen.append(choose(y, None if uniforms is None else uniforms[i], temperature, min_p))
                if t + i + 1 < length:
                    y, state = step(chosen[-1], state)
            xp = namespace(y)
            logits, ids = device.to_host(xp.stack(ys)), device.to_host(xp.stack(chosen))
        for i in range(steps):
            for b in running:
                check_finite(owner, logits[i, b], t + i)
                if temperature:
                    rngs[b].random()  # one for each id that counts, as if there were no others
            running = [b for b in running if int(ids[i, b]) not in ends]
            for b in running:
                yield b, int(ids[i, b]), logits[i, b]
        t += steps
