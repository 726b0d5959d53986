"""A long sequence at inference, in chunks of steps: memory is needed for one chunk, not for the sequence.

A model here is a `Recurrent`, whose own call comes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .arrays import namespace
from .checks import check_ids, check_integers
from .foreign import is_array
from .rows import make_rows
from .states import State

ROWS = 4096
"""The most steps of a chunk times its rows: at 128 units, an LSTM needs some 20 MB for them."""
NUMBERS = 1 << 22
"""And times the features of the output, such as the size of the vocabulary."""
LONG = 8 * ROWS
"""More steps times rows than that are not computed at once."""
FEWEST = 16
"""Steps of a chunk, whatever the size."""


def in_chunks(
    model: Any, xs: Any, state: State | None, *, lengths: Any = None, starts: Any = None
) -> Iterator[tuple[Any, State]]:
    """`model(xs, state, ...)` of one chunk of `xs` (T, B, ...) after the other: its `ys` and the state after.

    The results are those of the whole to rounding. A model that is not causal gets the whole.
    """
    rows = max(xs.shape[1], 1)
    steps = max(min(ROWS // rows, NUMBERS // (rows * (model.out_size or 1))), FEWEST) if model.causal else len(xs)
    for first in range(0, len(xs), max(steps, 1)):
        chunk = slice(first, first + steps)
        part: Any = {"starts": None if starts is None else starts[chunk]}
        if lengths is not None:
            part["lengths"] = namespace(lengths).clip(lengths.astype("int64") - first, 0, len(xs[chunk]))
        ys, state, _ = model.forward(xs[chunk], state, **part, training=False)
        yield ys, state


def is_long(model: Any, xs: Any) -> bool:
    """Whether the cache of `xs`, which inference does not need, would take much memory."""
    return model.causal and is_array(xs) and xs.ndim > 1 and xs.shape[0] * xs.shape[1] > LONG


def joined(model: Any, xs: Any, state: State | None, lengths: Any, starts: Any) -> tuple[Any, Any]:
    """`model(xs, state, lengths=lengths, starts=starts)`, computed in chunks."""
    rows = make_rows(model, lengths, starts, xs.shape[0], xs.shape[1], xs)
    xs = rows.clear(xs)
    if model.takes_ids and model.in_size is not None:  # so that an error says where in the whole
        check_integers(model, "xs", xs)
        check_ids(model, xs, model.in_size)
    ys, first, after = None, 0, state
    for part, after in in_chunks(model, xs, state, lengths=lengths, starts=starts):
        if not is_array(part):  # one-hot rows
            ys, after, _ = model.forward(xs, state, lengths=lengths, starts=starts, training=False)
            break
        if ys is None:
            ys = namespace(part).empty((len(xs), *part.shape[1:]), part.dtype)
        ys[first : first + len(part)] = part
        first += len(part)
    return ys, after
