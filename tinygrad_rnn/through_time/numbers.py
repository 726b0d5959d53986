"""The state of a model as plain numbers, and the derivatives of one step w.r.t. them and to the parameters."""

from __future__ import annotations

import math
from typing import Any

from ..core.arrays import namespace
from ..core.device import device_of
from ..core.parameter import Parameter
from ..core.returns import check_tuple
from ..core.roles import Recurrent
from ..core.states import State, leaves, tree_map


class Numbers:
    """The n numbers of a row of the state, and the P numbers of the parameters, each one after the other.

    All derivatives come from `step_backward`: from the gradient that is 1 for one number of the next state and 0 for
    all others, it gives the derivatives of that number. While a `with` block lasts, the gradients of the parameters are
    set aside: `take` gives what was added since, and `add` adds to those that were set aside.

    Args:
        core: what takes the steps.
        state: a state of it.
        ys: outputs of it, (T, B, H).
        output: where among the n numbers the output begins; None where it is no array of the state.
    """

    def __init__(self, core: Recurrent, state: State, ys: Any, output: int | None) -> None:
        self.output: Any = output
        self.device = device_of(ys)
        self.core, self.xp, self.batch, self.dtype = core, namespace(ys), ys.shape[1], ys.dtype
        self.parameters = core.parameters()
        self.shapes = [array.shape[1:] for array in leaves(state)]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.n, self.P = sum(self.sizes), sum(p.size for p in self.parameters)
        self.no_dy, self.no_dstate = self.zeros(*ys.shape[1:]), self.zeros(self.batch, self.n)

    def __enter__(self) -> Numbers:
        self.kept = [p.grad.copy() for p in self.parameters]
        self._clear()
        return self

    def __exit__(self, *error: object) -> None:
        for p, kept in zip(self.parameters, self.kept, strict=True):
            p.grad = kept

    def zeros(self, *shape: int) -> Any:
        """Zeros like the outputs."""
        return self.xp.zeros(shape, self.dtype)

    def take(self) -> Any:
        """The gradients (P,) that were added since the last call."""
        vector = self.xp.concatenate([p.grad.reshape(-1) for p in self.parameters])
        self._clear()
        return vector

    def add(self, gradient: Any) -> None:
        """Add (P,) to the gradients that were set aside."""
        first = 0
        for kept in self.kept:
            kept += gradient[first : first + kept.size].reshape(kept.shape)
            first += kept.size

    def step_back(self, dy: Any, dnext: Any, cache: Any) -> Any:
        """`step_backward`, where the gradients w.r.t. the states are numbers (B, n)."""
        made = self.core.step_backward(dy, self._as_state(dnext), cache)
        _, dstate = check_tuple(self.core, "step_backward", None, made, "(dx, dstate)")
        parts = zip(leaves(dstate), self.sizes, strict=True)
        return self.xp.concatenate([array.reshape(self.batch, size) for array, size in parts], axis=1)

    def jacobian(self, cache: Any) -> Any:
        """(B, n, n), the derivative of the next state w.r.t. the state, by n backwards of all rows."""
        unit, jacobian = self.zeros(self.batch, self.n), self.zeros(self.batch, self.n, self.n)
        for k in range(self.n):
            unit[:, k] = 1
            jacobian[:, k] = self.step_back(self.no_dy, unit, cache)
            unit[:, k] = 0
        self._clear()
        return jacobian

    def derivatives(self, cache: Any) -> tuple[Any, Any]:
        """The Jacobian, and (B, n, P), the derivative of the next state w.r.t. the parameters within the step.

        The gradients of parameters are sums over the rows, so each row takes n backwards of its own.
        """
        unit, jacobian = self.zeros(self.batch, self.n), self.zeros(self.batch, self.n, self.n)
        direct = self.zeros(self.batch, self.n, self.P)
        for b in range(self.batch):
            for k in range(self.n):
                unit[b, k] = 1
                jacobian[b, k] = self.step_back(self.no_dy, unit, cache)[b]
                direct[b, k] = self.take()
                unit[b, k] = 0
        return jacobian, direct

    def of_initial_state(self) -> Any:
        """(B, n, P), the derivative of the initial state w.r.t. the parameters: 1 where it is one of them, else 0."""
        derivative, first, k = self.zeros(self.batch, self.n, self.P), {}, 0
        for i, p in enumerate(self.parameters):
            first[id(p)] = sum(q.size for q in self.parameters[:i])
        for leaf, size in zip(leaves(self.core.state_spec), self.sizes, strict=True):
            if isinstance(leaf.initial, Parameter):
                j = first[id(leaf.initial)]
                derivative[:, k : k + size, j : j + size] = self.xp.eye(size)
            k += size
        return derivative

    def _as_state(self, flat: Any) -> State:
        """Numbers (B, n) as a state."""
        first, parts = 0, []
        for shape, size in zip(self.shapes, self.sizes, strict=True):
            parts.append(flat[:, first : first + size].reshape(self.batch, *shape))
            first += size
        given = iter(parts)
        state: State = tree_map(lambda _: next(given), self.core.state_spec)
        return state

    def _clear(self) -> None:
        for p in self.parameters:
            p.zero_grad()
