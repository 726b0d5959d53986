"""What a cell says of the gradients inside its step, `inner_gradients`, against central differences."""

from __future__ import annotations

from typing import Any

from ..cells.base import Cell
from ..core.arrays import Generator
from ..core.layer import Layer
from .differences import differ
from .examples import StepsExample, planted
from .insides import NOTHING, incoming_of, known_in
from .probes import inner_gradients
from .slips import slip_of


def wrong_inner_gradients(layer: Layer, rng: Generator, tolerance: float) -> list[str]:
    """A sentence for each inner gradient that is wrong; those are checked whose names the step uses."""
    if not isinstance(layer, Cell) or type(layer).inner_gradients is Cell.inner_gradients:
        return []
    example = StepsExample(layer, rng).cut({"T": slice(0, 1)})
    upstream = example.upstream(rng)
    _, (cache,) = example.forward()
    cell: Any = example.layer
    dy, dstate = upstream["ys"][0], planted("state", example.state, upstream)
    found = cell.inner_gradients(dy, dstate, cache)
    try:
        values, right = inner_gradients(example, "step_forward", upstream)
    except OSError:  # the source of the step is not available
        return []
    inside = NOTHING._replace(
        local={"dy": dy, "dstate": dstate}, values=values, right=right, incoming=incoming_of(upstream)
    )
    known = known_in(inside, "", (), {})
    wrong = []
    for name, gradient in found.items():
        if name in right and differ(gradient, right[name], tolerance):
            words = f"inner_gradients, {name}: it is not the gradient w.r.t. {name} of step_forward."
            wrong.append(f"{words} {slip_of(gradient, right[name], known)}".rstrip())
    return wrong
