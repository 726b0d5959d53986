"""`Cell`: a recurrent layer written as one step, and how it is unrolled over time."""

from __future__ import annotations

import functools
import operator
from functools import partial
from typing import Any, NamedTuple

from ..core import blas
from ..core.arrays import Array, no_gradient, select
from ..core.layer import runs
from ..core.one_hot import TableRows
from ..core.returns import Where, check_returned, stacked
from ..core.roles import Recurrent
from ..core.rows import Rows
from ..core.states import (
    Leaf,
    State,
    StateSpec,
    add_initial_gradient,
    begin,
    begin_backward,
    tree_map,
    zeros_of,
)
from ..kernels.backends import is_compiled
from ..kernels.kernel import Kernel


@functools.lru_cache  # making the leaves takes a tenth of the time of a step
def zeros_of_sizes(sizes: tuple[int, ...]) -> StateSpec:
    """The declaration of arrays of these sizes that begin as zeros: h, or h and c, or s0, s1 and so on."""
    names = ("h", "c") if len(sizes) <= 2 else tuple(f"s{i}" for i in range(len(sizes)))
    return tuple(Leaf(name, (size,)) for name, size in zip(names, sizes, strict=False))


@functools.cache
def _parameters(weights: Any) -> Any:
    """Of a cell, the parameters that a kernel takes, in the order of its weights."""
    return operator.attrgetter(*weights._fields)


class StepCaches(NamedTuple):
    """The cache of a cell that was unrolled step by step."""

    steps: tuple[Any, ...]
    """The cache of each step."""
    rows: Rows
    no_dxs: Any = None
    """Zeros for dxs, which no step gives where there is none; None for one-hot rows."""


class KernelCache(NamedTuple):
    """The cache of a cell whose kernel ran."""

    kernel: Kernel
    steps: Any
    """The cache of a step, with an added time axis."""
    rows: Rows


class Cell(Recurrent):
    """A recurrent layer of vectors, written as one step.

    A subclass sets the sizes and writes `step_forward` and `step_backward`; the rest is inherited. The x of a step may
    be `OneHotRows`: `x @ w` and `x.T @ da` work unchanged, and the returned dx is then ignored.
    """

    in_size: int
    out_size: int
    state_sizes: tuple[int, ...]
    """The features of each array of the state; each starts as zeros (B, size). Or override `state_spec`."""
    gates: tuple[str, ...] = ()
    """The names of the blocks of columns in the weights, in order. `check_gradients` uses them in its messages."""

    @property
    def state_spec(self) -> StateSpec:
        """Made from `state_sizes`: h, or h and c, or s0, s1 and so on."""
        return zeros_of_sizes(self.state_sizes)

    def inner_gradients(self, dy: Any, dstate: State, cache: Any) -> dict[str, Array]:
        """The gradients of the loss w.r.t. what the step computed, under the names in its state and its cache.

        Each is the whole gradient w.r.t. the state or the gate: from the output and from the next step. `record` calls
        this for inspection, so it adds nothing to the parameters' gradients. By default there are none.

        Args:
            dy: (B, H), as in `step_backward`.
            dstate: the gradient w.r.t. the state that went on to the next step.
            cache: the cache of the step.
        """
        return {}

    def kernel(self) -> Kernel | None:
        """The kernel that computes exactly what the steps of this cell compute; None if there is none."""
        return None

    def has_steps(self, forward: Any, backward: Any) -> bool:
        """Whether the cell runs these two steps: no subclass overrides them, and none was replaced in the instance."""
        return runs(self, forward, backward)

    @property
    def takes_table_rows(self) -> bool:
        """Whether the input may be `TableRows`: the kernel runs, and it multiplies before it looks up."""
        return runs(self, *UNROLLED) and self.kernel() is not None

    def take_step(self, x: Any, state: State) -> tuple[Any, State]:
        multiplications = 4 * x.shape[0] * self.out_size**2  # of a cell with four gates
        if multiplications >= blas.undivided:
            return self._take_large(x, state)
        return self._take(x, state)

    def _take(self, x: Any, state: State) -> tuple[Any, State]:
        kernel = self.kernel() if is_compiled(state[0]) else None
        if kernel is None or kernel.step is None:
            y, state, _ = self.step_forward(x, state, training=False)
            return y, state
        state = kernel.step(x, state, self._weights(kernel, "value"))
        return state[0], state

    _take_large = blas.with_one_blas_thread(_take)

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        """Run the kernel if there is one, else step by step."""
        kernel = self.kernel()
        if kernel is None:
            return self._steps_forward(xs, state, rows, training)
        begun = None if rows.starts is None else self.initial_state(xs.shape[1])
        ys, state, steps = kernel.forward(xs, state, self._weights(kernel, "value"), rows, begun)
        return ys, state, KernelCache(kernel, steps, rows)

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        """Run what `forward` ran, the kernel or the steps, even if a step was replaced since."""
        if isinstance(cache, StepCaches):
            return self._steps_backward(dys, dstate, cache)
        kernel, steps, rows = cache
        try:
            weights, gradients = self._weights(kernel, "value"), self._weights(kernel, "grad")
        except AttributeError:
            raise TypeError(f"{self!r}: the cache is that of another kind of cell, a {type(steps).__name__}") from None
        dxs, dstate, dbegun = kernel.backward(dys, dstate, steps, weights, rows, gradients)
        if dbegun is not None:
            add_initial_gradient(self.state_spec, dbegun, True)
        return dxs, dstate

    def _weights(self, kernel: Any, what: str) -> Any:
        """The values of the parameters that a kernel takes, or their gradients; None for one that the cell has not."""
        parameters = _parameters(kernel.weights)(self)
        return kernel.weights(*[p if p is None else p.value if what == "value" else p.grad for p in parameters])

    def _steps_forward(self, xs: Any, state: State, rows: Rows, training: bool) -> tuple[Any, State, StepCaches]:
        """Unroll step by step."""
        if isinstance(xs, TableRows):
            xs = xs.dense()
        (T, B), spec, like = xs.shape[:2], self.state_spec, self._like(xs)
        ys, caches = [], []
        for t in range(T):
            if rows.starts is not None:
                state = begin(spec, state, rows.starts[t])
            made = self.step_forward(xs[t], state, training=training)
            if t == 0 or type(made) is not tuple or len(made) != 3:
                where = Where(self, "step_forward", t)
                check_returned(where, made, "(y, state, cache)", (B, self.out_size), B, like)
            y, after, cache = made
            state = after if rows.active is None else tree_map(partial(select, rows.active[t]), after, state)
            ys.append(y)
            caches.append(cache)
        whole = stacked(self, "step_forward", "y", ys) if ys else zeros_of((0, B, self.out_size), like)
        return whole, state, StepCaches(tuple(caches), rows, no_gradient(xs))

    def _steps_backward(self, dys: Any, dstate: State, cache: StepCaches) -> tuple[Any, State]:
        """Last step first. A row that has ended passes the gradient w.r.t. its state through unchanged."""
        (caches, (_, active, starts), no_dxs), spec, dxs = cache, self.state_spec, []
        for t in reversed(range(len(caches))):
            if active is None:
                made = self.step_backward(dys[t], dstate, caches[t])
            else:
                running = tree_map(lambda d, t=t: select(active[t], d, 0), dstate)
                made = self.step_backward(dys[t], running, caches[t])
            if t == len(caches) - 1 or type(made) is not tuple or len(made) != 2:
                shape = None if no_dxs is None else no_dxs.shape[1:]
                check_returned(Where(self, "step_backward", t), made, "(dx, dstate)", shape, dys.shape[1], dys)
            dx, before = made
            dstate = before if active is None else tree_map(partial(select, active[t]), before, dstate)
            if starts is not None:
                dstate = begin_backward(spec, dstate, starts[t])
            dxs.append(dx)
        if not dxs:
            return no_dxs, dstate
        if dxs[0] is None:
            return None, dstate
        return stacked(self, "step_backward", "dx", dxs[::-1]), dstate


UNROLLED = Cell.unroll_forward, Cell.unroll_backward
"""The methods that run the kernel."""
