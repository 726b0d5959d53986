"""`Cell`: a recurrent layer written as one step, and how it is unrolled over time."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..core.arrays import Array, Booleans, Integers, namespace, select
from ..core.checks import check_array
from ..core.initializers import zeros
from ..core.roles import Recurrent
from ..core.states import State, tree_map


class Cell(Recurrent):
    """A recurrent layer of vectors, written as one step.

    Its author sets the sizes and writes `step_forward` and `step_backward`; the rest is inherited. The step may be
    given `OneHotRows` for x: `x @ w` and `x.T @ da` stand as they are, and the dx returned is then ignored.
    """

    in_size: int
    out_size: int
    state_sizes: tuple[int, ...]
    """The features of each array of the state, which begins as zeros (B, size)."""

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the arrays of the state, h, or h and c, or s0, s1 and so on; an author may say others."""
        count = len(self.state_sizes)
        return ("h", "c")[:count] if count <= 2 else tuple(f"s{i}" for i in range(count))

    def inner_gradients(self, dy: Any, dstate: State, cache: Any) -> dict[str, Array]:
        """The gradients of the loss by what the step computed, by the names of its state and its cache.

        All of what reaches a state or a gate, from the output and from the step after. It is a part of `step_backward`,
        which goes on from there, so it is proved with it; `record` takes note of what it gave. Where a class does not
        write it, there are none.

        Args:
            dy: (B, H), as in `step_backward`.
            dstate: that by the state which went on to the next step.
            cache: of the step.
        """
        return {}

    @property
    def has_kernel(self) -> bool:
        """Whether a sequence, and a step in use, take a fast path. A subclass, with a step of its own, does not."""
        return False

    def initial_state(self, batch: int) -> State:
        return self._zero_state(batch, None)

    def _start(self, xs: Any, batch: int) -> State:
        return self._zero_state(batch, xs) if self._like() is None else self.initial_state(batch)

    def _zero_state(self, batch: int, xs: Any) -> State:
        """Zeros of the dtype and on the device of the parameters, else of xs, else float32 on the CPU."""
        like = self._like()
        like = xs if like is None else like
        if like is None:
            return tuple(zeros((batch, size)) for size in self.state_sizes)
        dtype = like.dtype if like.dtype.kind == "f" else "float32"
        return tuple(namespace(like).zeros((batch, size), dtype) for size in self.state_sizes)

    def check_state(self, state: Any, batch: int, name: str = "state") -> None:
        sizes = self.state_sizes
        if not isinstance(state, tuple) or len(state) != len(sizes):
            came = f"a tuple of {len(state)}" if isinstance(state, tuple) else f"a {type(state).__name__}"
            raise TypeError(f"{self!r}: {name} must be a tuple of {len(sizes)} arrays, not {came}")
        like = self._like()
        for i, array in enumerate(state):
            check_array(self, f"{name}[{i}]", array, like)
            if array.shape != (batch, sizes[i]):
                raise ValueError(
                    f"{self!r}: {name}[{i}] has shape {array.shape}, expected {(batch, sizes[i])}: (batch, size). A "
                    "state belongs to its batch; None begins anew"
                )

    def unroll_forward(
        self, xs: Any, state: State, *, lengths: Integers | None, active: Booleans | None, training: bool
    ) -> tuple[Any, State, Any]:
        """Step by step. The cache is the tuple of those of the steps."""
        ys, caches = [], []
        for t in range(xs.shape[0]):
            y, after, cache = self.step_forward(xs[t], state, training=training)
            state = after if active is None else tree_map(partial(select, active[t]), after, state)
            ys.append(y)
            caches.append(cache)
        if not ys:
            like = state[0] if state else next(p.value for p in self.parameters())
            return namespace(like).zeros((0, xs.shape[1], self.out_size), like.dtype), state, ()
        return namespace(ys[0]).stack(ys), state, tuple(caches)

    def unroll_backward(self, dys: Any, dstate: State, cache: Any, *, active: Booleans | None) -> tuple[Any, State]:
        """Step by step, last step first. A row that has ended passes the gradient of its state straight through."""
        dxs = []
        for t in reversed(range(len(cache))):
            if active is None:
                dx, dstate = self.step_backward(dys[t], dstate, cache[t])
            else:
                running = tree_map(lambda d, t=t: select(active[t], d, 0), dstate)
                dx, before = self.step_backward(dys[t], running, cache[t])
                dstate = tree_map(partial(select, active[t]), before, dstate)
            dxs.append(dx)
        if not dxs or dxs[0] is None:
            return None, dstate
        return namespace(dxs[0]).stack(dxs[::-1]), dstate
