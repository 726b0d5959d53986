"""A model that is taken step by step: its parts, and how they run forward."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

from ..cells.base import Cell
from ..core.arrays import namespace, select
from ..core.checks import check_one_hot
from ..core.returns import check_tuple
from ..core.roles import Feedforward, Recurrent
from ..core.rows import Rows, make_rows
from ..core.states import begin, given_or_initial, leaves, tree_map, zeros_of
from ..data.batch import Batch
from ..models.sequential import Sequential
from .method import Method, check_recurrent


class Parts(NamedTuple):
    """A model in two."""

    core: Recurrent
    """The layers up to the last one with a state: they go through time."""
    top: Sequential | None
    """The layers above, which have no state, so that an exact gradient goes back through them at once."""


def parts_of(owner: Method, model: Any) -> Parts:
    """The two parts of a model that goes step by step.

    Raises:
        TypeError: a layer of the core is none that has the same step wherever it stands in a sequence.
        ValueError: there is no state, or one that has no gradient.
    """
    check_recurrent(owner, model)
    if not leaves(model.state_spec):
        raise ValueError(f"{owner!r}: {model!r} has no state, so nothing goes through time: use BPTT()")
    core, top = model, None
    if type(model) is Sequential:
        last = max(i for i, spec in enumerate(model.state_spec) if leaves(spec))
        if last + 1 < len(model.layers):
            core, top = Sequential(*model.layers[: last + 1]), Sequential(*model.layers[last + 1 :])
    _check_steps(owner, core)
    for leaf in leaves(core.state_spec):
        if leaf.integer or None in leaf.shape:
            raise ValueError(f"{owner!r}: {leaf!r}, of the state of {core!r}, has no gradient: use BPTT()")
    return Parts(core, top)


def _check_steps(owner: Method, layer: Any) -> None:
    if isinstance(layer, Sequential):
        for inner in layer.layers:
            _check_steps(owner, inner)
    elif not isinstance(layer, (Cell, Feedforward)):
        raise TypeError(
            f"{owner!r}: {layer!r} is no Cell and no Feedforward layer, so it may not be the same step by step. In "
            "place of a LockedDropout take Dropout, of a DropConnect its cell; or use BPTT() or Checkpointed()"
        )


class Forward(NamedTuple):
    """The core, run forward step by step."""

    ys: Any
    """(T, B, H), the outputs of the core."""
    caches: list[Any]
    """The cache of each step."""
    state: Any
    """The state after the last step."""
    rows: Rows
    output: int | None
    """Where among the numbers of the state the output begins, if it is one of its arrays."""


def forward_steps(owner: Method, model: Recurrent, core: Recurrent, batch: Batch, state: Any) -> Forward:
    """Run the core over a batch, and keep the cache of each step.

    Raises:
        TypeError, ValueError: as `model.forward` says.
    """
    takes = "(T, B), ids" if model.takes_ids else "(T, B, D)"
    like = model._check_input("xs", batch.xs, f"{owner!r} takes {takes}", 3, "One step is a batch, too: xs[None]")
    (T, B), spec = batch.xs.shape[:2], core.state_spec
    width: Any = core.out_size
    rows = make_rows(model, batch.lengths, batch.starts, T, B, batch.xs)
    state = given_or_initial(model, "carry[0]", state, model.state_spec, B, like)
    if core is not model:
        state = state[: len(spec)]
    xs = rows.clear(batch.xs)
    check_one_hot(model, xs)
    ys: list[Any] = []
    caches: list[Any] = []
    output: Any = ...  # without a step nobody asks
    for t in range(T):
        if rows.starts is not None:
            state = begin(spec, state, rows.starts[t])
        made = core.step_forward(xs[t], state)
        y, after, cache = check_tuple(core, "step_forward", t, made, "(y, state, cache)")
        output = _place(y, after)
        state = after if rows.active is None else tree_map(partial(select, rows.active[t]), after, state)
        ys.append(y)
        caches.append(cache)
    stacked = namespace(ys[0]).stack(ys) if ys else zeros_of((0, B, width), like)
    return Forward(stacked, caches, state, rows, output)


def _place(y: Any, state: Any) -> int | None:
    """How many numbers of a row stand in the state before `y`; None if it is not one of its arrays."""
    first = 0
    for array in leaves(state):
        if array is y:
            return first
        first += math.prod(array.shape[1:])
    return None
