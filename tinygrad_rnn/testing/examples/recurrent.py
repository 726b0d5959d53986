"""Calls of a `Recurrent`: over a whole sequence, and step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.arrays import Booleans, Generator, Integers
from ...core.one_hot import OneHotRows
from ...core.returns import Where, check_returned, check_tuple, stacked
from ...core.roles import Recurrent
from ...core.states import Leaf, State, StateSpec, tree_map
from ..named import Arrays, leaves, planted
from .base import Example, draw, input_of, size_of


class RecurrentExample(Example):
    """Maps `xs` (T, B, D) and a state to `ys` and a state."""

    layer: Recurrent
    gives = "(ys, state, cache)"
    gives_back = "(dxs, dstate)"

    def __init__(
        self, layer: Recurrent, rng: Generator, lengths: Integers | None = None, starts: Booleans | None = None
    ) -> None:
        super().__init__(layer, rng)
        steps, batch = size_of(lengths) if starts is None else starts.shape
        self.lengths = None if lengths is None else lengths.copy()
        self.starts = None if starts is None else starts.copy()
        self.xs = input_of(layer, rng, (steps, batch))
        self.state = draw_state(rng, self.layer.state_spec, batch)

    @property
    def inputs(self) -> Arrays:
        return {"xs": self.xs, **leaves("state", self.state)}

    def call(self, function: Callable[..., Any]) -> Any:
        return function(self.xs, self.state, lengths=self.lengths, starts=self.starts)

    def named(self, *outputs: Any) -> Arrays:
        (steps, batch), out = self.xs.shape[:2], self.layer.out_size
        shape = (steps, batch, out)
        ys, state = check_returned(Where(self.layer, "forward"), outputs, "(ys, state)", shape, batch, None)
        return {"ys": ys, **leaves("state", state)}

    def back(self, upstream: Arrays, cache: Any) -> Any:
        return self.layer.backward(upstream.get("ys"), planted("state", self.state, upstream), cache)

    def named_back(self, *gradients: Any) -> Arrays:
        dxs, dstate = gradients
        return {"xs": dxs, **leaves("state", dstate)}


class StepsExample(RecurrentExample):
    """The same sequence with a loop of `step_forward`, and backward with a loop of `step_backward`."""

    how = ", step by step,"

    def run(self) -> tuple[Arrays, Any]:
        ys, state, caches = [], self.state, []
        for t in range(self.xs.shape[0]):
            if self.starts is not None:
                state = self.layer.begin(state, self.starts[t])
            made = self.layer.step_forward(self.xs[t], state)
            y, state, cache = check_tuple(self.layer, "step_forward", t, made, "(y, state, cache)")
            ys.append(y)
            caches.append(cache)
        whole = {} if isinstance(ys[0], OneHotRows) else {"ys": stacked(self.layer, "step_forward", "y", ys)}
        return {**whole, **leaves("state", state)}, caches

    def back(self, upstream: Arrays, cache: Any) -> Any:
        dstate, dxs = planted("state", self.state, upstream), []
        for t in reversed(range(len(cache))):
            dy = upstream["ys"][t] if "ys" in upstream else None
            made = self.layer.step_backward(dy, dstate, cache[t])
            dx, dstate = check_tuple(self.layer, "step_backward", t, made, "(dx, dstate)")
            if self.starts is not None:
                dstate = self.layer.begin_backward(dstate, self.starts[t])
            dxs.append(dx)
        has_gradient = "xs" in self.variables
        return stacked(self.layer, "step_backward", "dx", dxs[::-1]) if has_gradient else None, dstate


def draw_state(rng: Generator, spec: StateSpec, batch: int) -> State:
    """A state as declared, in float64. An axis of any size gets size 3; integers repeat 3, 0, 1, 2."""

    def array(leaf: Leaf) -> Any:
        shape = (batch, *(3 if size is None else size for size in leaf.shape))
        if not leaf.integer:
            return draw(rng, shape)
        rows = (3 + np.arange(batch)) % 4
        return np.broadcast_to(rows.reshape(batch, *(1 for _ in leaf.shape)), shape).copy()

    state: State = tree_map(array, spec)
    return state
