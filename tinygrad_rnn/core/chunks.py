"""A long sequence at inference, in chunks of steps: memory is needed for one chunk, not for the sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .roles import Recurrent
from .states import State

ROWS = 4096
"""The most steps of a chunk times its rows: at 128 units, an LSTM needs some 20 MB for them."""
NUMBERS = 1 << 22
"""And times the features of the output, such as the size of the vocabulary."""
FEWEST = 16
"""Steps of a chunk, whatever the size."""


def in_chunks(model: Recurrent, xs: Any, state: State | None, *, starts: Any = None) -> Iterator[tuple[Any, State]]:
    """`model(xs, state, starts=starts)` of one chunk of `xs` (T, B, ...) after the other: its `ys` and the state after.

    The results are those of the whole to rounding. A model that is not causal gets the whole.
    """
    rows = max(xs.shape[1], 1)
    steps = max(min(ROWS // rows, NUMBERS // (rows * (model.out_size or 1))), FEWEST) if model.causal else len(xs)
    for first in range(0, len(xs), max(steps, 1)):
        chunk = slice(first, first + steps)
        ys, state = model(xs[chunk], state, starts=None if starts is None else starts[chunk])
        yield ys, state
