"""What `fit` asks of the process that it runs in: alone here, one of several in `distributed.Workers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..core.roles import Loss
from ..optim.base import Optimizer
from .gradients import add_gradients, check_batch
from .measuring import on_device

Result = TypeVar("Result")


class Process:
    """A process that trains alone. A subclass says what is done together with others.

    Args:
        method: what computes the gradients of a batch, as in `fit`; None is back-propagation through the batch.
    """

    rank = 0
    """Its number; process 0 alone reports and writes."""
    size = 1
    """How many processes there are."""

    def __init__(self, method: Callable[..., tuple[Any, Any, Any]] | None = None) -> None:
        self._method = method

    def batches(self, source: Any) -> Any:
        """The batches of `source`, of each what this process computes."""
        return source

    def begin(self, model: Any, criterion: Loss, optimizer: Optimizer, batches: Any) -> None:
        """What is done before the first step: to compare the processes."""

    def add_gradients(
        self, owner: str, model: Any, criterion: Loss, batch: Any, state: Any, dloss: float | None
    ) -> tuple[Any, Any]:
        """Add the gradients of a batch to those of the model; gives its loss, and the state for the next batch."""
        there = on_device(model, criterion, batch)
        if self._method is None:
            loss, _, after = add_gradients(owner, model, criterion, there, state, dloss)
        else:
            check_batch(owner, model, batch)
            given = {} if dloss is None else {"dloss": dloss}
            loss, _, after = self._method(model, criterion, there, state, **given)
        after = after if batch.starts is not None else None
        return float(loss) if model.device.name == "cpu" else loss, after

    def whole(self, state: Any) -> Any:
        """The state of all rows, for a checkpoint. All processes call this together; process 0 gets the result."""
        return state

    def from_first(self, function: Callable[[], Result]) -> Result:
        """What `function` returns in process 0, where alone it is called. All processes call this together."""
        return function()

    def agree(self, wish: float) -> float:
        """The largest `wish` of all processes at the last exchange of gradients."""
        return wish

    def check(self, optimizer: Optimizer, *, now: bool = False) -> None:
        """What is done after each step, and `now` before each file: to compare the processes again."""

    def explain(self, error: FloatingPointError) -> None:
        """Add to an error what only the processes know."""
