"""`Method`: what computes the gradients of one batch, in place of forward, loss and backward."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from typing import Any, final

from ..core.arrays import namespace
from ..core.blas import with_one_blas_thread
from ..core.device import on_own_gpu
from ..core.roles import Loss, Recurrent
from ..core.states import State
from ..data.batch import Batch
from ..models.many_to_one import ManyToOne
from ..training.gradients import check_batch, check_parts

_signature = functools.lru_cache(inspect.signature)  # each call says who it is, to its checks


class Method(ABC):
    """A way to compute the gradients of a batch: `loss, ys, carry = method(model, criterion, batch, carry)`.

    A method stores nothing about a call. What it must remember from batch to batch is the carry: a tree of tuples of
    arrays, which `save` takes as `carry=`. A subclass writes `add_gradients`.

    Args:
        model: a `Recurrent`, such as `Sequential`.
        criterion: the loss of the outputs and `batch.targets`, with the reduction "mean" or "sum".
        batch: its arrays are on the device of the model; `lengths`, `starts` and `weights` may be None.
        carry: what the call for the batch before gave; None begins from the initial state.
        dloss: a factor of the gradients; None is 1.

    Returns:
        `(loss, ys, carry)`: the loss, an array () on the device; the outputs, or None; and the carry after the batch.
        The gradients are added to those of the parameters.

    Raises:
        TypeError: an argument is of another kind, or the method does not work with this model; the message says which
            one does.
        ValueError: a shape does not fit, or the loss is not one number.
    """

    @final
    @on_own_gpu
    @with_one_blas_thread
    def __call__(
        self,
        model: Recurrent | ManyToOne,
        criterion: Loss,
        batch: Batch,
        carry: Any = None,
        *,
        dloss: float | None = None,
    ) -> tuple[Any, Any, Any]:
        check_parts(repr(self), model, criterion)
        check_batch(repr(self), model, batch)
        return self.add_gradients(model, criterion, batch, carry, dloss)

    @abstractmethod
    def add_gradients(
        self, model: Any, criterion: Loss, batch: Batch, carry: Any, dloss: float | None
    ) -> tuple[Any, Any, Any]:
        """The call itself, after model, criterion and batch were checked."""

    def carry_of(self, state: State) -> Any:
        """The carry that begins from a state of the model, with no influence of the parameters on it."""
        return state

    def __repr__(self) -> str:
        settings = []
        for name, argument in _signature(type(self)).parameters.items():
            value = vars(self).get(name, argument.default)
            if argument.kind is not argument.KEYWORD_ONLY and name != "rng":
                settings.append(repr(value))
            elif argument.kind is argument.KEYWORD_ONLY and value != argument.default:
                settings.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(settings)})"


def check_recurrent(owner: object, model: Any) -> None:
    """The model must give an output at each step.

    Raises:
        TypeError: it is a `ManyToOne`.
        ValueError: it reads backward, too.
    """
    if not isinstance(model, Recurrent):
        raise TypeError(
            f"{owner}: {model!r} gives one output a row, not one a step: use BPTT(), or a Sequential whose targets "
            "are ignored before the last step"
        )
    if not model.causal:
        raise ValueError(f"{owner}: {model!r} also reads backward, from the end of the whole sequence: use BPTT()")


def check_carry(owner: Method, carry: Any, parts: int) -> tuple[Any, ...]:
    """The carry must be a tuple of so many parts, or None, which stands for as many times None.

    Raises:
        TypeError: it is neither.
    """
    if carry is None:
        return (None,) * parts
    if not isinstance(carry, tuple) or len(carry) != parts:
        came = f"a tuple of {len(carry)}" if isinstance(carry, tuple) else f"a {type(carry).__name__}"
        raise TypeError(
            f"{owner!r}: carry must be None, or what a call of this method gave, a tuple of {parts}, not {came}"
        )
    return carry


def rows_of_steps(batch: Batch, block: slice) -> dict[str, Any]:
    """What `forward` must be told of some steps of a batch, beside the inputs."""
    rows = {}
    if batch.lengths is not None:
        steps = block.stop - block.start
        rows["lengths"] = namespace(batch.lengths).clip(batch.lengths.astype("int64") - block.start, 0, steps)
    if batch.starts is not None:
        rows["starts"] = batch.starts[block]
    return rows
