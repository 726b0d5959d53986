"""`Optimizer`, the base class: it holds the vector of a model's parameters, clips gradients, and takes steps."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..core.arguments import check_size
from ..core.arrays import Array, namespace
from ..core.device import device_of
from ..core.foreign import is_array
from ..core.layer import Layer
from ..core.packed import PackedModel, check_model
from .clip import Clipper, as_clippers, keeps_finite, norm_of
from .finite import Door, Nonfinite, first_nonfinite
from .settings import check_lr, check_number, setting


class OptimizerState(NamedTuple):
    """The state of an optimizer, from the steps that it has taken."""

    kind: str
    """The name of its class."""
    steps: int
    """How many steps were taken."""
    arrays: dict[str, dict[str, Array]]
    """The array for each parameter, by attribute, such as `sum`, then by the parameter's dotted name."""
    skipped: int = 0
    """How many of the steps were left out."""


class Optimizer(ABC):
    """Changes all parameters of a layer by their gradients, as one vector.

    `step` never clears gradients, and clips only if asked to. It lets no gradient that is not finite reach the weights,
    unless asked to. But a finite gradient can make a weight overflow, where the learning rate is far too high. `step`
    does not look for that: NumPy warns, and the next gradient is not finite.

    Args:
        model: the layer; its parameters are packed into one vector.
        lr: learning rate, or a function of the number of steps taken so far. It may be changed at any time.
        clip: a clipper, such as `ClipNorm(1.0)`, or several, applied in order.
        nonfinite: what to do with a gradient that holds NaN or infinity. "refuse" raises an error; "skip" leaves the
            step out; "propagate" takes the step, which makes weights NaN: this is for study.

    Attributes:
        lr: as given.
        clip: a tuple of the clippers.
        steps: how many steps were taken. It includes those that were skipped, so that schedules and data stay together.
        skipped: how many steps were skipped. On a GPU, to read it waits for all work in flight.
        last_norm: the norm of the gradient at the last step, before the first clipper; NaN where the step was left out,
            None without a clipper.

    Raises:
        TypeError: `model` is not a layer; `lr` is neither a number nor a function of one argument; or `clip` is neither
            a clipper nor a tuple or list of clippers.
        ValueError: the model has no parameters, or shares some with another model; `lr` is negative, NaN or infinite;
            or `nonfinite` is none of the three.
    """

    lr: float | Callable[[int], float] = setting(check_lr)
    keeps: tuple[str, ...] = ()
    """The names of the attributes that hold the optimizer state, each a vector (P,) or None."""

    def __init__(
        self,
        model: Layer,
        lr: float | Callable[[int], float],
        *,
        clip: Clipper | Sequence[Clipper] | None = None,
        nonfinite: Nonfinite = "refuse",
    ) -> None:
        owner = type(self).__name__
        self.lr, self.clip = lr, clip
        self.steps = 0
        self.last_norm: Array | None = None
        cure = f"Make the optimizer after that, on the larger model if there is one: {owner}(model, ...)"
        check_model(owner, model)
        self._door = Door(owner, nonfinite, on_cpu=model.device.name == "cpu")
        self._packed = PackedModel(model, owner, "this optimizer", cure)

    @property
    def model(self) -> Layer:
        """The layer."""
        return self._packed.model

    @property
    def clip(self) -> tuple[Clipper, ...]:
        """The clippers."""
        return self._clip

    @clip.setter
    def clip(self, clip: Clipper | Sequence[Clipper] | None) -> None:
        self._clip = as_clippers(type(self).__name__, clip)
        self._keeps_finite = keeps_finite(self._clip)

    @property
    def nonfinite(self) -> Nonfinite:
        """What is done with a gradient that is not finite."""
        choice: Nonfinite = self._door.nonfinite
        return choice

    @property
    def skipped(self) -> int:
        """How many steps were skipped."""
        return self._door.skipped

    def step(self) -> None:
        """Clip the gradients and change the parameters.

        Where this raises an error, neither the parameters nor the optimizer state have changed. On a GPU, a gradient
        that is not finite raises no error here, because that would need a wait. Instead, the GPU sets it to 0 and stops
        this update and all later ones; `check`, `memory` or `save` raises the error.

        Raises:
            FloatingPointError: the gradient is not finite; the message names a layer and its parameter.
            RuntimeError: parameters of the model were replaced, added or removed since the optimizer was made; or they
                have moved, to another device or dtype or into the vector of a larger model.
            TypeError: `lr`, or what it returns, is not a number; or a clipper does not return a norm.
            ValueError: `lr`, or what it returns, is negative, NaN or infinite.
        """
        self._packed.check()
        lr, value, grad = self._rate(), self._packed.value, self._packed.grad
        self.last_norm, passed = self._prepare(grad)
        if passed is True:
            self._update(value, grad, lr)
        else:
            self._door.count(passed)
            if passed is not False:
                self._update_where(passed, value, grad, lr)
        self.steps += 1

    def check(self) -> None:
        """Raise the error that `step` does not raise on a GPU; this waits for all work in flight.

        Call it where the loss is read, for logging. `memory`, and `save` with this optimizer, also call it.

        Raises:
            FloatingPointError: a gradient was not finite. Parameters, optimizer state and `steps` are as before the
                first such gradient; after this error, `step` works again.
            RuntimeError: as in `step`.
        """
        self._packed.check()
        stopped, entry = self._door.reopen()
        if stopped:
            self.steps -= stopped
            raise self._error(entry, f"{stopped} updates were left out, which leaves the model as after {self.steps}")

    def memory(self) -> OptimizerState:
        """The optimizer state, for `save`; its arrays are views, which the next step changes.

        Raises:
            FloatingPointError, RuntimeError: as in `check`.
        """
        self.check()
        return OptimizerState(type(self).__name__, self.steps, self._views(), self.skipped)

    def restore(self, memory: OptimizerState) -> None:
        """Take over the state of another optimizer: the `optimizer` of a `Checkpoint` from `load`.

        Raises:
            TypeError: `memory` is not an optimizer state.
            ValueError: it is from another class of optimizer or another model; the message lists all differences.
                Nothing is changed.
            RuntimeError: as in `step`.
        """
        kind, device = type(self).__name__, device_of(self._packed.value)
        owner = f"{kind}.restore"
        self._packed.check()
        _check_memory(owner, memory)
        here, there = _flat(self._views()), _flat(memory.arrays)
        wrong = [f"it is of {memory.kind}"] if memory.kind != kind else []
        wrong += [f"{name} is missing" for name in sorted(here.keys() - there.keys())]
        wrong += [f"{name} is unexpected" for name in sorted(there.keys() - here.keys())]
        for name in sorted(here.keys() & there.keys()):
            found, expected = (f"{arrays[name].dtype}{arrays[name].shape}" for arrays in (there, here))
            wrong += [f"{name} is {found}, expected {expected}"] if found != expected else []
        if wrong:
            raise ValueError(f"{owner}: the memory does not fit: {'; '.join(wrong)}")
        for name, array in here.items():
            array[...] = device.asarray(device_of(there[name]).to_host(there[name]))
        skipped = operator.index(memory.skipped)
        self._door = Door(owner, self.nonfinite, on_cpu=device.name == "cpu", skipped=skipped)
        self.steps = operator.index(memory.steps)

    @abstractmethod
    def _update(self, value: Array, grad: Array, lr: float) -> None:
        """Change `value` (P,) and the arrays named in `keeps` in place, but not `grad` (P,)."""

    def _prepare(self, grad: Array) -> tuple[Array | None, Any]:
        """Clip `grad`; gives its norm before that, and whether it may reach the weights, as `Door` says it."""
        xp, passed = namespace(grad), self._passes(grad)
        if passed is False:
            return (xp.full((), math.nan, grad.dtype) if self._clip else None), passed
        if passed is not True:  # a clipper would spread NaN into the gaps between parameters, where it would stay
            xp.copyto(grad, 0, where=xp.logical_not(passed))
        norms = [norm_of(clip, grad, type(self).__name__) for clip in self._clip]
        if not self._keeps_finite:
            passed = passed & self._passes(grad)
        norm = norms[0] if norms else None
        return (norm if norm is None or isinstance(passed, bool) else xp.where(passed, norm, math.nan)), passed

    def _update_where(self, passed: Array, value: Array, grad: Array, lr: float) -> None:
        """`_update` if `passed`, an array (), is True: otherwise the device puts everything back."""
        state = (getattr(self, key) for key in self.keeps)
        arrays = [value, *(array for array in state if array is not None)]
        before = [array.copy() for array in arrays]
        self._update(value, grad, lr)
        stopped = namespace(passed).logical_not(passed)
        for array, old in zip(arrays, before, strict=True):
            namespace(array).copyto(array, old, where=stopped)

    def _passes(self, grad: Array) -> Any:
        passed = self._door.passes(grad)
        if passed is False and self.nonfinite == "refuse":
            raise self._error(first_nonfinite(grad), "Nothing was changed")
        return passed

    def _error(self, entry: int, outcome: str) -> FloatingPointError:
        name, layer = self._packed.entry(entry)
        return FloatingPointError(
            f"{type(self).__name__}: the gradient of {name}, of {layer!r}, is not finite. {outcome}. Look for NaN and "
            'infinity in the data, lower lr, or clip. nonfinite="skip" leaves out such steps'
        )

    def _rate(self) -> float:
        """The learning rate of the next step, as a Python float: one of NumPy would make float64 of float32 arrays."""
        lr = self.lr
        if not callable(lr):
            return float(lr)
        return check_number(type(self).__name__, f"what lr returns at step {self.steps}", lr(self.steps), "at least 0")

    def _views(self) -> dict[str, dict[str, Array]]:
        vectors = {key: getattr(self, key) for key in self.keeps}
        return {key: self._packed.views(vector) for key, vector in vectors.items() if vector is not None}

    def _zeros(self) -> Array:
        """A vector (P,) of zeros, laid out like the parameters, for the optimizer state."""
        return self._packed.zeros()


def _flat(arrays: dict[str, dict[str, Array]]) -> dict[str, Array]:
    return {f"{key}/{name}": array for key, group in arrays.items() for name, array in group.items()}


def _check_memory(owner: str, memory: Any) -> None:
    """`memory` must be an `OptimizerState` with what belongs in it."""
    if not isinstance(memory, OptimizerState):
        raise TypeError(
            f"{owner}: memory must be the `optimizer` of a Checkpoint that was saved with one, or what memory() gives, "
            f"not a {type(memory).__name__}"
        )
    if not isinstance(memory.kind, str):
        raise TypeError(f"{owner}: memory.kind must be the name of a class, not a {type(memory.kind).__name__}")
    check_size(owner, "memory.steps", memory.steps, 0)
    check_size(owner, "memory.skipped", memory.skipped, 0)
    arrays: Any = memory.arrays
    groups = arrays.values() if isinstance(arrays, dict) else [arrays]
    if not all(isinstance(group, dict) and all(map(is_array, group.values())) for group in groups):
        raise TypeError(f"{owner}: memory.arrays must hold arrays by attribute and by name of the parameter")
