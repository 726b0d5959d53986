"""Layers in a row, unrolled over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from typing import Any, TypeAlias

from ..core.arrays import Booleans, Integers
from ..core.layer import Layer
from ..core.roles import Feedforward, Recurrent
from ..core.states import State
from . import folding

Layers: TypeAlias = Sequence[Feedforward | Recurrent]


class Sequential(Recurrent):
    """Layers in a row, each given what the one before puts out, unrolled over time.

    Recurrent layers are run over the whole sequence one after the other, which computes the same as step by step and
    is faster; `step` takes one step through all of them. Feed-forward layers see all steps at once. On the CPU an
    `Embedding` at the start is folded into a cell that follows, where that is faster.

    Args:
        layers: any number of `Feedforward` and `Recurrent` layers; a `Sequential` is one too.

    Children are `layers.0`, `layers.1`, ... by name, and `model.layers`. The state has one entry a child, `()` for a
    feed-forward one. `in_size` and `out_size` are those of the ends; a layer whose `out_size` is None is taken to keep
    the width.

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
        keeping = takewhile(lambda layer: layer.in_size is layer.out_size is None, layers)  # the width that they get
        first = min(len(list(keeping)), len(layers) - 1)
        self.in_size, self.out_size = layers[first].in_size, _check_widths(name, layers)

    def initial_state(self, batch: int) -> State:
        return tuple(layer.initial_state(batch) if isinstance(layer, Recurrent) else () for layer in self.layers)

    def example_state(self, batch: int) -> State:
        return tuple(layer.example_state(batch) if isinstance(layer, Recurrent) else () for layer in self.layers)

    def _restart(self, state: State, fresh: Booleans) -> State:
        return tuple(
            layer.restart(part, fresh) if isinstance(layer, Recurrent) else ()
            for layer, part in zip(self.layers, state, strict=True)
        )

    def _start(self, xs: Any, batch: int) -> State:
        return tuple(None if isinstance(layer, Recurrent) else () for layer in self.layers)  # each resolves its own

    def check_state(self, state: Any, batch: int, name: str = "state") -> None:
        if not isinstance(state, tuple) or len(state) != len(self.layers):
            came = f"a tuple of {len(state)}" if isinstance(state, tuple) else f"a {type(state).__name__}"
            raise TypeError(
                f"{self!r}: {name} must be a tuple with an entry for each of the {len(self.layers)} layers, not {came}"
            )
        for i, (layer, part) in enumerate(zip(self.layers, state, strict=True)):
            if layer.knows_time:
                if part is not None:
                    layer.check_state(part, batch, f"{name}[{i}]")
            elif not isinstance(part, tuple) or part:
                raise TypeError(f"{self!r}: {name}[{i}] must be (), for {layer!r} has no state")

    def unroll_forward(
        self, xs: Any, state: State, *, lengths: Integers | None, active: Booleans | None, training: bool
    ) -> tuple[Any, State, Any]:
        run = partial(_run_forward, lengths, training)
        if not folding.can_fold(self.layers, xs):
            return self._forward(run, self.layers, xs, state, training)
        embedding, cell, *layers = self.layers
        ys, after, folded = folding.forward(embedding, cell, xs, state[1], lengths, training)
        ys, states, caches = self._forward(run, layers, ys, state[2:], training)
        return ys, ((), after, *states), (*folded, *caches)

    def unroll_backward(self, dys: Any, dstate: State, cache: Any, *, active: Booleans | None) -> tuple[Any, State]:
        if not isinstance(cache[0], folding.FoldedCache):
            return self._backward(_run_backward, self.layers, dys, dstate, cache)
        embedding, cell, *layers = self.layers
        dys, dstates = self._backward(_run_backward, layers, dys, dstate[2:], cache[2:])
        return None, ((), folding.backward(embedding, cell, dys, dstate[1], cache[1]), *dstates)

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        return self._forward(partial(_step_forward, training), self.layers, x, state, training)

    def take_step(self, x: Any, state: State) -> tuple[Any, State]:
        if type(self).step_forward is not Sequential.step_forward:  # a subclass has another step
            return super().take_step(x, state)
        y, state, _ = self._forward(_take_step, self.layers, x, state, training=False)
        return y, state

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        return self._backward(_step_backward, self.layers, dy, dstate, cache)

    def _forward(
        self, run: Callable[..., Any], layers: Layers, x: Any, state: State, training: bool
    ) -> tuple[Any, State, Any]:
        """First layer to last; `run(layer, x, state)` takes `x` through a recurrent one."""
        states, caches = [], []
        for layer, before in zip(layers, state, strict=True):
            after: State = ()
            if layer.knows_time:
                x, after, cache = run(layer, x, before)
            else:
                x, cache = layer.forward(x, training=training)
            states.append(after)
            caches.append(cache)
        return x, tuple(states), tuple(caches)

    def _backward(
        self, run: Callable[..., Any], layers: Layers, dy: Any, dstate: State, caches: Any
    ) -> tuple[Any, State]:
        """Last layer to first; `run(layer, dy, dstate, cache)` takes `dy` back through a recurrent one."""
        dstates = []
        for layer, dafter, cache in zip(layers[::-1], dstate[::-1], caches[::-1], strict=True):
            dbefore: State = ()
            if layer.knows_time:
                dy, dbefore = run(layer, dy, dafter, cache)
            else:
                dy = layer.backward(dy, cache)
            dstates.append(dbefore)
        return dy, tuple(dstates[::-1])


def _run_forward(
    lengths: Integers | None, training: bool, layer: Recurrent, xs: Any, before: Any
) -> tuple[Any, State, Any]:
    return layer.forward(xs, before, lengths=lengths, training=training)


def _run_backward(layer: Recurrent, dys: Any, dafter: Any, cache: Any) -> tuple[Any, State]:
    return layer.backward(dys, dafter, cache)


def _step_forward(training: bool, layer: Recurrent, x: Any, before: Any) -> tuple[Any, State, Any]:
    before = layer.initial_state(x.shape[0]) if before is None else before
    return layer.step_forward(x, before, training=training)


def _take_step(layer: Recurrent, x: Any, before: Any) -> tuple[Any, State, None]:
    before = layer.initial_state(x.shape[0]) if before is None else before
    return *layer.take_step(x, before), None


def _step_backward(layer: Recurrent, dy: Any, dafter: Any, cache: Any) -> tuple[Any, State]:
    return layer.step_backward(dy, dafter, cache)


def _check_widths(name: str, layers: Layers) -> int | None:
    """The width that leaves the last layer, once each fits the one before."""
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
