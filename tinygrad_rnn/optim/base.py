"""`Optimizer`, the base class: it holds the vector of a model's parameters, clips gradients, and takes steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..core.arrays import Array, namespace
from ..core.layer import Layer
from ..core.packed import PackedModel, check_model
from ..core.parameter import Parameter
from ..kernels.backends import backend
from ..kernels.kernel import OptimizerStep
from .clip import Clipper
from .clipping import Clipping
from .decay import decays_of
from .finite import Door, Nonfinite, first_nonfinite, only_where
from .rates import Rates, factors_of
from .settings import check_lr, check_number, number, setting
from .state import OptimizerState, fill


class Optimizer(ABC):
    """Changes all parameters of a layer by their gradients, as one vector.

    `step` never clears gradients, and clips only if asked to. It lets no gradient that is not finite reach the weights,
    unless asked to. But a finite gradient can make a weight overflow, where the learning rate is far too high. `step`
    does not look for that: NumPy warns, and the next gradient is not finite. So can the square of a gradient,
    above 1e19 in float32, which some optimizers keep: NumPy warns, the weight stays as it is, and `save` refuses.

    A parameter whose factor in `rates` is 0 is frozen: neither it nor its gradient nor its optimizer state changes, and
    its gradient counts for no clipper and no norm, and may be NaN. Before the update, what decays is multiplied by
    1 - lr * factor * decay.

    Args:
        model: the layer; its parameters are packed into one vector.
        lr: learning rate, or a function of the number of steps taken so far. It may be changed at any time.
        clip: a clipper, such as `ClipNorm(1.0)`, or several, applied in order.
        nonfinite: what to do with a gradient that holds NaN or infinity. "refuse" raises an error; "skip" leaves the
            step out; "propagate" takes the step, which makes weights NaN: this is for study.
        rates: factors of the learning rate, by the dotted names of layers or parameters, as in
            `{"layers.0": 0.0, "layers.2.b": 0.1}`. The longest one with which the name of a parameter begins counts; ""
            is the whole model. They may be changed at any time, by a new mapping.
        decay: the weight decay, at least 0. It may be changed at any time.
        decays: a function of the dotted name and the `Parameter` that says whether it decays. With None, parameters of
            two or more axes do; biases and gains do not. It is called when the optimizer is made, once per parameter,
            even a tied one.

    Attributes:
        steps: how many steps were taken, those that were skipped too, so that schedules and data stay together.
        skipped: how many steps were skipped. On a GPU, to read it waits for all work in flight.
        last_norm: the norm of the gradient at the last step, of what is not frozen, before the first clipper; NaN where
            the step was left out, None without a clipper.

    Raises:
        TypeError: `model` is not a layer; `lr` is neither a number nor a function of one argument; `clip` is neither a
            clipper nor a tuple or list of clippers; or `rates`, `decay` or `decays` is of another type.
        ValueError: the model has no parameters, or shares some with another model; `lr`, `decay` or a factor is
            negative, NaN or infinite; `nonfinite` is none of the three; or `rates` has a name that is not in the model,
            or two factors for one tied parameter.
    """

    lr: float | Callable[[int], float] = setting(check_lr)
    decay: float = number("at least 0")
    keeps: tuple[str, ...] = ()
    """The names of the attributes that hold the optimizer state, each a vector (P,) or None."""

    def __init__(
        self,
        model: Layer,
        lr: float | Callable[[int], float],
        *,
        clip: Clipper | Sequence[Clipper] | None = None,
        nonfinite: Nonfinite = "refuse",
        rates: Mapping[str, float] | None = None,
        decay: float = 0.0,
        decays: Callable[[str, Parameter], bool] | None = None,
    ) -> None:
        owner = type(self).__name__
        self.lr, self.clip, self.decay = lr, clip, decay
        self.steps = 0
        self.last_norm: Array | None = None
        cure = f"Make the optimizer after that, on the larger model if there is one: {owner}(model, ...)"
        check_model(owner, model)
        self._door = Door(owner, nonfinite, on_cpu=model.device.name == "cpu")
        which = factors_of(owner, model, rates), decays_of(owner, model, decays)
        self._packed = PackedModel(model, owner, "this optimizer", cure)
        self._rates = Rates(self._packed, *which, missed={}, since=0)

    @property
    def model(self) -> Layer:
        """The layer."""
        return self._packed.model

    @property
    def clip(self) -> tuple[Clipper, ...]:
        """The clippers."""
        return self._clipping.clippers

    @clip.setter
    def clip(self, clip: Clipper | Sequence[Clipper] | None) -> None:
        self._clipping = Clipping(type(self).__name__, clip)

    @property
    def rates(self) -> Mapping[str, float]:
        """The factors of the learning rate, by the names of layers or parameters; to change them, set all anew.

        On a GPU, to set them waits for all work in flight, and raises what `check` raises.
        """
        return MappingProxyType(self._rates.factors.given)

    @rates.setter
    def rates(self, rates: Mapping[str, float] | None) -> None:
        factors, before = factors_of(type(self).__name__, self.model, rates), self._rates
        self.check()
        self._rates = Rates(self._packed, factors, before.decays, before.missed(self.steps), self.steps)

    @property
    def nonfinite(self) -> Nonfinite:
        """What is done with a gradient that is not finite."""
        return self._door.nonfinite

    @property
    def skipped(self) -> int:
        """How many steps were skipped."""
        return self._door.skipped

    def step(self) -> None:
        """Clip the gradients and change the parameters.

        If this raises an error, neither the parameters nor the optimizer state have changed. On a GPU, a gradient that
        is not finite raises no error here, because that would need a wait. Instead, the GPU sets it to 0 and stops this
        update and all later ones; `check`, `memory` or `save` raises the error.

        Raises:
            FloatingPointError: the gradient is not finite; the message names a layer and its parameter.
            RuntimeError: parameters of the model were replaced, added or removed since the optimizer was made; or they
                have moved, to another device or dtype or into the vector of a larger model.
            TypeError: `lr`, or what it returns, is not a number; or a clipper does not return a norm.
            ValueError: `lr`, or what it returns, is negative, NaN or infinite.
        """
        self._packed.check()
        with self._packed.vector.device:
            self._step(self._rate())

    def check(self) -> None:
        """Raise the error that `step` does not raise on a GPU; this waits until all work there is done.

        Call it when you read the loss for logging. `memory`, and `save` with this optimizer, also call it.

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
        counts, rates = (self.skipped, self._rates.missed(self.steps)), dict(self.rates)
        return OptimizerState(type(self).__name__, self.steps, self._views(), *counts, rates)

    def restore(self, memory: OptimizerState) -> None:
        """Take over the state of another optimizer: the `optimizer` of a `Checkpoint` from `load`.

        Settings are not part of it: `lr`, `clip`, `decay` and `rates` stay as they are here. So a frozen parameter also
        gets its state, and keeps it. To go on with the rates of the file, set `optimizer.rates = memory.rates`.

        Raises:
            TypeError: `memory` is not an optimizer state.
            ValueError: it is from another class of optimizer or another model; the message lists all differences.
                Nothing is changed.
            RuntimeError: as in `step`.
        """
        kind, rates = type(self).__name__, self._rates
        self._packed.check()
        with self._packed.vector.device:
            self.steps, skipped, missed = fill(kind, self._views(), rates.factors.of, memory)
        self._door.open(skipped)
        self._rates = Rates(self._packed, rates.factors, rates.decays, missed, self.steps)

    @abstractmethod
    def _update(self, value: Array, grad: Array, lr: float, step: int, part: slice) -> None:
        """Change a part of `value` (P,) and of the arrays named in `keeps` in place, but not `grad` (P,).

        Args:
            value: all parameters.
            grad: all gradients.
            lr: the learning rate of this part.
            step: how many steps it was not frozen in before, those that were skipped too.
            part: the slice of all these arrays.
        """

    def _step(self, lr: float) -> None:
        value, grad, rates = self._packed.value, self._packed.grad, self._rates
        kernels = backend(value).optimizer_step
        limits = None if kernels is None else self._clipping.limits(grad)
        if kernels is not None and limits is not None and self._is_covered():
            self._step_by(kernels, value, grad, lr, limits)
            return
        trained = rates.of_trained(grad) if rates.frozen else grad
        self.last_norm, passed = self._clipping.clip(trained, self._passes)
        if rates.frozen:
            rates.put_back(trained, grad)
        if passed is True:
            self._apply(value, grad, lr)
        else:
            self._door.count(passed)
            if passed is not False:
                only_where(passed, [value, *self._state().values()], lambda: self._apply(value, grad, lr))
        self.steps += 1

    def _is_covered(self) -> bool:
        """Whether the kernels of a GPU know this update, and have one vector to look at."""

        def author(method: str) -> type:
            return next(kind for kind in type(self).__mro__ if method in vars(kind))

        # A class that writes its own `_update` alone does not do what the `_fused_update` that it inherits says.
        known = author("_update") is author("_fused_update")
        return known and (not self._rates.frozen or self._rates.is_side_by_side())

    def _step_by(
        self, kernels: OptimizerStep, value: Array, grad: Array, lr: float, limits: tuple[float, float]
    ) -> None:
        """A step on a GPU, in an operation for the gradient and one for each part that is changed alike."""
        rates, (max_norm, limit) = self._rates, limits
        trained = rates.of_trained(grad) if rates.frozen else grad
        norm, factor = kernels.examine(trained, self._door.tallies(namespace(grad)), self.nonfinite, max_norm)
        self.last_norm = norm if self.clip else None
        decays: Any = rates.decay_mask(value) if self.decay else None
        for part, of_rate, missed in rates.parts:
            rate = lr * of_rate
            name, numbers = self._fused_update(rate, self.steps - missed)
            state = [vector[part] for vector in self._state().values()]
            where = False if decays is None else decays[part]
            keeps = 1 - rate * self.decay
            kernels.update(
                name, numbers, value[part], grad[part], state, factor, limit=limit, decays=where, keeps=keeps
            )
        self.steps += 1

    def _apply(self, value: Array, grad: Array, lr: float) -> None:
        """Let what decays decay, and update what is not frozen."""
        if self.decay:
            for part, factor in self._rates.decaying:  # a fifth of the time of three passes with a mask
                weights = value[part]
                weights *= 1 - lr * factor * self.decay
        for part, factor, missed in self._rates.parts:
            self._update(value, grad, lr * factor, self.steps - missed, part)

    def _fused_update(self, lr: float, step: int) -> tuple[str, dict[str, float]]:
        """What `_update` does, as one of `kernels.cuda.optimizers.UPDATES` with its numbers.

        A method of one's own need not have it: `_is_covered` says so, and a GPU then runs `_update`.
        """
        raise NotImplementedError

    def _passes(self, grad: Array) -> Any:
        passed = self._door.passes(grad)
        if passed is False and self.nonfinite == "refuse":
            raise self._error(first_nonfinite(grad), "Nothing was changed")
        return passed

    def _error(self, entry: int, outcome: str) -> FloatingPointError:
        name, layer = self._packed.entry(self._rates.place(entry))
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
        return {key: self._packed.views(vector) for key, vector in self._state().items()}

    def _state(self) -> dict[str, Array]:
        return {key: vector for key in self.keeps if (vector := getattr(self, key)) is not None}

    def _zeros(self) -> Array:
        """A vector (P,) of zeros, laid out like the parameters, for the optimizer state."""
        return self._packed.zeros()
