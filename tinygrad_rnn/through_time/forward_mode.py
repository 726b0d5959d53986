"""What the methods share that never go back: they carry the influence of the parameters on the state forward."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any

from ..core.arrays import namespace, select
from ..core.roles import Loss, Recurrent
from ..core.states import State, tree_map
from ..data.batch import Batch
from ..training.gradients import check_loss, counted_of
from .method import Method, check_carry
from .numbers import Numbers
from .steps import Forward, forward_steps, parts_of


class ForwardMode(Method):
    r"""A method that carries forward how the parameters have influenced the state, and never goes back in time.

    With the influence :math:`P_t = ds_t / dw` of the parameters on the state, or an estimate of it, the gradient of the
    loss of step t is known at step t. The other derivatives go through one step only:

    .. math::
        \frac{dL_t}{dw} = \frac{\partial L_t}{\partial w} + \frac{\partial L_t}{\partial s_{t-1}} P_{t-1}

    A subclass says what it stores of P: a tuple of arrays, the memory, each with the batch as its first axis. Only the
    subclass reads it. So for cells that need less memory there is a subclass with its own `first`, `begin`, `credit`
    and `advance`, such as `Traces`.
    """

    memories = 1
    """Of how many arrays the memory consists."""

    def initial(self, numbers: Numbers) -> Any:
        """(B, n, P), the derivative of the initial state w.r.t. the parameters; None where it is 0 for sure."""
        return numbers.of_initial_state()

    @abstractmethod
    def first(self, numbers: Numbers, initial: Any) -> tuple[Any, ...]:
        """The memory before the first step: of states whose derivative w.r.t. the parameters is `initial` (B, n, P)."""

    @abstractmethod
    def begin(self, memory: tuple[Any, ...], flags: Any, initial: Any) -> tuple[Any, ...]:
        """The memory, begun anew in the rows where `flags` (B,) is True."""

    @abstractmethod
    def credit(self, numbers: Numbers, memory: tuple[Any, ...], dbefore: Any) -> Any:
        """The gradient (P,) of a loss through the past, from its gradient (B, n) w.r.t. the state before the step."""

    @abstractmethod
    def advance(self, numbers: Numbers, memory: tuple[Any, ...], cache: Any) -> tuple[Any, ...]:
        """The memory after a step."""

    def gradient(self, numbers: Numbers, memory: Any, after: Any, dy: Any, cache: Any) -> Any:
        """The gradient (P,) of the loss of a step, of which `dy` comes; with the memory before and after the step."""
        dbefore = numbers.step_back(dy, numbers.no_dstate, cache)
        return numbers.take() + self.credit(numbers, memory, dbefore)

    def check_core(self, core: Recurrent, output: int | None) -> None:
        """Raise if the method cannot go through such a core, whose output begins at this number of its state."""

    def carry_of(self, state: State) -> Any:
        return state, None

    def add_gradients(
        self, model: Any, criterion: Loss, batch: Batch, carry: Any, dloss: float | None
    ) -> tuple[Any, Any, Any]:
        core, top = parts_of(self, model)
        state, memory = check_carry(self, carry, 2)
        begins = state is None
        memory = None if memory is None else check_carry(self, memory, self.memories)
        forward = forward_steps(self, model, core, batch, state)
        self.check_core(core, forward.output)
        ys = forward.ys
        if top is not None:
            ys, _, top_cache = top.forward(ys, lengths=batch.lengths)
        ys = forward.rows.clear(ys)
        loss, loss_cache = criterion.forward(ys, batch.targets, **counted_of(model, batch))
        check_loss(repr(self), criterion, loss)
        dys = forward.rows.clear(criterion.backward(loss_cache, dloss))
        if top is not None:
            dys, _ = top.backward(dys, None, top_cache)
        with Numbers(core, forward.state, forward.ys, forward.output) as numbers:
            memory = self._through_steps(numbers, forward, dys, memory, begins)
        after = forward.state if top is None else (*forward.state, *top.state_spec)
        return loss, ys, (after, memory)

    def _through_steps(self, numbers: Numbers, forward: Forward, dys: Any, memory: Any, begins: bool) -> Any:
        """Add the gradients of all steps, given those w.r.t. the outputs of the core; gives the memory after them."""
        rows, initial = forward.rows, self.initial(numbers)
        if memory is None:
            memory = self.first(
                numbers, initial if begins or initial is None else namespace(initial).zeros_like(initial)
            )
        for t, cache in enumerate(forward.caches):
            if rows.starts is not None:
                memory = self.begin(memory, rows.starts[t], initial)
            after = self.advance(numbers, memory, cache)
            numbers.add(self.gradient(numbers, memory, after, dys[t], cache))
            memory = after if rows.active is None else tree_map(partial(select, rows.active[t]), after, memory)
        return memory
