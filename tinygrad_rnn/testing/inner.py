"""What a cell says of the gradients inside its step, `inner_gradients`, against central differences."""

from __future__ import annotations

from ..cells.base import Cell
from ..core.arrays import Generator
from ..core.layer import Layer
from .differences import relative_error
from .examples import StepsExample, planted
from .probes import inner_gradients
from .slips import slip_of


def wrong_inner_gradients(layer: Layer, rng: Generator, tolerance: float) -> list[str]:
    """A sentence for each inner gradient that is wrong; those are checked whose names the step uses."""
    if not isinstance(layer, Cell) or type(layer).inner_gradients is Cell.inner_gradients:
        return []
    example = StepsExample(layer, rng).cut({"T": slice(0, 1)})
    upstream = example.upstream(rng)
    _, (cache,) = example.forward()
    cell: Cell = example.layer  # type: ignore[assignment]  # it is a copy of the cell
    dstate = planted("state", example.state, upstream)
    found = cell.inner_gradients(upstream["ys"][0], dstate, cache)
    try:
        _, right = inner_gradients(example, "step_forward", upstream, lambda name: name in found)
    except OSError:  # the source of the step is not available
        return []
    wrong = []
    for name, gradient in found.items():
        expected = right.get(name)
        if expected is None:
            continue
        if gradient.shape != expected.shape or not (relative_error(gradient, expected) <= tolerance).all():
            words = f"inner_gradients, {name}: it is not the gradient w.r.t. {name} of step_forward."
            wrong.append(f"{words} {slip_of(gradient, expected)}".rstrip())
    return wrong
