"""What a cell says of the gradients inside its step, `inner_gradients`, against central differences."""

from __future__ import annotations

from typing import Any

from ..cells.base import Cell
from ..core.arrays import Generator
from ..core.device import Device
from ..core.layer import Layer
from ..core.returns import Where, check_array
from .differences import differ
from .examples import StepsExample
from .insides import NOTHING, incoming_of, known_in
from .named import Arrays, planted, same
from .probes import inner_gradients
from .slips import slip_of


def wrong_inner_gradients(layer: Layer, rng: Generator, tolerance: float) -> list[str]:
    """A sentence for each inner gradient that is wrong; those are checked whose names the step uses."""
    example = _step(layer, rng)
    if example is None:
        return []
    upstream = example.upstream(rng)
    found = _found(example, upstream)
    try:
        _, right = inner_gradients(example, "step_forward", upstream, lambda name: name in found)
        wrong = [name for name in found if name in right and differ(found[name], right[name], tolerance)]
        if not wrong:
            return []
        values, right = inner_gradients(example, "step_forward", upstream)
    except OSError:  # the source of the step is not available
        return []
    incoming = incoming_of(upstream)
    dstate = planted("state", example.state, upstream)
    inside = NOTHING._replace(local=incoming | {"dstate": dstate}, values=values, right=right, incoming=incoming)
    known = known_in(inside, "", (), {})
    words = "inner_gradients, {0}: it is not the gradient w.r.t. {0} of step_forward. {1}"
    return [words.format(name, slip_of(found[name], right[name], known)).rstrip() for name in wrong]


def check_inner_float32(layer: Layer, rng: Generator) -> None:
    """Assert that the inner gradients have the dtype of the parameters, and are close to those in float64.

    Those that a class inherits from one with other steps are not checked: they are not meant for its own.
    """
    example = _step(layer, rng)
    if example is None or not _writes_its_own(layer):
        return
    upstream = example.upstream(rng)
    single = example.to(Device("cpu"), "float32")
    found = _found(single, {name: array.astype("float32") for name, array in upstream.items()})
    for name, array in found.items():
        assert array.dtype == "float32", (
            f"{layer!r}: with parameters of float32, {name} of inner_gradients is {array.dtype}"
        )
    same(_found(example, upstream), found, f"{layer!r}: inner_gradients in float32 are far from float64", 1e-4)


def _step(layer: Layer, rng: Generator) -> StepsExample | None:
    """A call of one step, if the layer has inner gradients."""
    if not isinstance(layer, Cell) or type(layer).inner_gradients is Cell.inner_gradients:
        return None
    return StepsExample(layer, rng).cut({"T": slice(0, 1)})


def _writes_its_own(layer: Layer) -> bool:
    """Whether the class that wrote the steps also wrote `inner_gradients`."""
    steps = {"step_forward", "step_backward", "inner_gradients"}
    author = next((kind for kind in type(layer).__mro__ if steps & vars(kind).keys()), type(layer))
    return "inner_gradients" in vars(author)


def _found(example: StepsExample, upstream: Arrays) -> Arrays:
    cell: Any = example.layer
    _, (cache,) = example.forward()
    try:
        found = cell.inner_gradients(upstream["ys"][0], planted("state", example.state, upstream), cache)
    except Exception as error:
        if _writes_its_own(cell):
            raise
        raise TypeError(
            f"{cell!r}: inner_gradients is inherited, but does not fit these steps ({error}). Write one for them, or "
            "one that returns {}"
        ) from error
    where = Where(cell, "inner_gradients")
    if not isinstance(found, dict):
        raise TypeError(f"{where} gave a {type(found).__name__}, expected a dict of arrays by their names in the step")
    for name, array in found.items():
        check_array(where, str(name), array, None, None)
    return found
