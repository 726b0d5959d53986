"""Layers in a row, unrolled over time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from ..cells.base import Cell
from ..core.layer import Layer
from ..core.roles import Feedforward, Recurrent
from ..core.rows import Rows
from ..core.states import State, StateSpec


class SequentialCache(NamedTuple):
    """The cache of a sequence; a step has only the first field."""

    layers: tuple[Any, ...]
    """The cache of each layer."""
    rows: Rows
    """Where rows end, and documents begin."""


class Sequential(Recurrent):
    """Layers in a row, each taking the output of the one before, unrolled over time.

    One recurrent layer after the other runs over the whole sequence, which computes the same as step by step and is
    faster; `step` takes one step through all of them. Feed-forward layers run on all steps at once. Padding is cleared
    where values enter and leave a recurrent layer.

    Args:
        layers: any number of `Feedforward` and `Recurrent` layers; a `Sequential` is one too.

    The children are named `layers.0`, `layers.1`, ..., and are in `model.layers`. The state has one entry per child,
    `()` for a feed-forward one. `in_size` is that of the first layer and `out_size` that of the last; a layer whose
    `out_size` is None is assumed to keep the width.

    Raises:
        ValueError: there is no layer, or one does not fit its neighbour.
        TypeError: a child is neither `Feedforward` nor `Recurrent`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> logits, state = model(np.array([[0, 1], [2, 3], [4, 0]]))
        >>> logits.shape, state[1][0].shape
        ((3, 2, 5), (2, 8))
    """

    def __init__(self, *layers: Feedforward | Recurrent) -> None:
        name = type(self).__name__
        if not layers:
            raise ValueError(f"{name} takes at least one layer")
        for layer in layers:
            if not isinstance(layer, (Feedforward, Recurrent)):
                raise TypeError(f"{name} takes Feedforward and Recurrent layers, not {layer!r}")
        self.layers = layers
        self.takes_ids = layers[0].takes_ids
        self.causal = all(layer.causal for layer in layers if isinstance(layer, Recurrent))
        keeping = takewhile(lambda layer: layer.in_size is layer.out_size is None, layers)  # they keep the width
        first = min(len(list(keeping)), len(layers) - 1)
        self.in_size, self.out_size = layers[first].in_size, _check_widths(name, layers)

    @property
    def state_spec(self) -> StateSpec:
        return tuple([layer.state_spec if isinstance(layer, Recurrent) else () for layer in self.layers])

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        states: list[State] = []
        caches: list[Any] = []
        for layer, following, before in zip(self.layers, (*self.layers[1:], None), state, strict=True):
            after: State = ()
            if isinstance(layer, Recurrent):
                xs, after, cache = layer.unroll_forward(rows.clear(xs), before, rows=rows, training=training)
                xs = rows.clear(xs)
            elif isinstance(following, Cell) and following.takes_table_rows:  # an embedding is multiplied first
                xs, cache = layer.forward_rows(xs, training=training)
            else:
                xs, cache = layer.forward(xs, training=training)
            states.append(after)
            caches.append(cache)
        return xs, tuple(states), SequentialCache(tuple(caches), rows)

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        caches, rows = cache
        dstates: list[State] = []
        for layer, dafter, inner in zip(self.layers[::-1], dstate[::-1], caches[::-1], strict=True):
            dbefore: State = ()
            if isinstance(layer, Recurrent):
                dys, dbefore = layer.unroll_backward(rows.clear(dys), dafter, inner)
                dys = rows.clear(dys)
            else:
                dys = layer.backward(dys, inner)
            dstates.append(dbefore)
        return dys, tuple(dstates[::-1])

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        states: list[State] = []
        caches: list[Any] = []
        for layer, before in zip(self.layers, state, strict=True):
            after: State = ()
            if isinstance(layer, Recurrent):
                x, after, cache = layer.step_forward(x, before, training=training)
            else:
                x, cache = layer.forward(x, training=training)
            states.append(after)
            caches.append(cache)
        return x, tuple(states), tuple(caches)

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        dstates: list[State] = []
        for layer, dafter, inner in zip(self.layers[::-1], dstate[::-1], cache[::-1], strict=True):
            dbefore: State = ()
            if isinstance(layer, Recurrent):
                dy, dbefore = layer.step_backward(dy, dafter, inner)
            else:
                dy = layer.backward(dy, inner)
            dstates.append(dbefore)
        return dy, tuple(dstates[::-1])

    def take_step(self, x: Any, state: State) -> tuple[Any, State]:
        if type(self).step_forward is not STEP or "step_forward" in vars(self):  # `runs` would take 0.3 µs of 13
            return super().take_step(x, state)
        states: list[State] = []
        for layer, before in zip(self.layers, state, strict=True):
            if isinstance(layer, Recurrent):
                x, after = layer.take_step(x, before)
            else:
                (x, _), after = layer.forward(x, training=False), ()
            states.append(after)
        return x, tuple(states)


def _check_widths(name: str, layers: Sequence[Feedforward | Recurrent]) -> int | None:
    """The output features of the last layer, after checking that each layer fits the one before."""
    width: int | None = None
    before: Layer | None = None
    for i, layer in enumerate(layers):
        if layer.takes_ids and before is not None:
            raise ValueError(f"{name}: layers.{i}, {layer!r}, takes ids, so it can only come first")
        if width is not None and layer.in_size not in (None, width):
            raise ValueError(
                f"{name}: layers.{i}, {layer!r}, takes {layer.in_size} features, but {width} come from "
                f"layers.{i - 1}, {before!r}"
            )
        width, before = layer.out_size or width, layer
    return width


STEP = Sequential.step_forward
"""The step that `take_step` computes."""
