"""`Optimizer`, the base class: it holds the vector of a model's parameters, clips gradients, and takes steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..core.arrays import Array
from ..core.device import device_of
from ..core.layer import Layer
from ..core.vector import pack


class OptimizerState(NamedTuple):
    """The state of an optimizer, from the steps that it has taken."""

    kind: str
    """The name of its class."""
    steps: int
    """How many steps were taken."""
    arrays: dict[str, dict[str, Array]]
    """The array for each parameter, by attribute, such as `sum`, then by the parameter's dotted name."""


Clipper = Callable[[Array], Array]
"""Changes a gradient vector in place and returns its norm before that."""


class Optimizer(ABC):
    """Changes all parameters of a layer by their gradients, as one vector.

    `step` never clears gradients, and clips only if asked to.

    Args:
        model: the layer; its parameters are packed into one vector.
        lr: learning rate, or a function of the number of steps taken so far. It may be changed at any time.
        clip: a clipper, such as `ClipNorm(1.0)`, or several, applied in order.

    Attributes:
        lr: as given.
        steps: how many steps were taken.
        last_norm: the norm of the gradient at the last step, before the first clipper; None without a clipper.

    Raises:
        ValueError: the model has no parameters, shares some with another model, or `lr` is negative.
    """

    keeps: tuple[str, ...] = ()
    """The names of the attributes that hold the optimizer state, each a vector (P,) or None."""

    def __init__(
        self, model: Layer, lr: float | Callable[[int], float], *, clip: Clipper | Sequence[Clipper] | None = None
    ) -> None:
        if not callable(lr) and not lr >= 0:
            raise ValueError(f"{type(self).__name__}: lr must be at least 0, not {lr}")
        self.model, self.lr = model, lr
        self.clip = () if clip is None else (clip,) if callable(clip) else tuple(clip)
        self.steps = 0
        self.last_norm: Array | None = None
        self._vector, self._part = pack(model.parameters())

    def step(self) -> None:
        """Clip the gradients and change the parameters.

        Raises:
            RuntimeError: the parameters have moved since the optimizer was made, to another device or dtype or into
                the vector of a larger model. Nothing is changed.
        """
        if self._vector.replaced:
            raise RuntimeError(
                f"{type(self).__name__}: the parameters have moved since this optimizer was made, by model.to or into "
                "a larger model's vector. Make the optimizer after that, on the larger model"
            )
        grad = self._vector.grad[self._part]
        norms = [clip(grad) for clip in self.clip]
        self.last_norm = norms[0] if norms else None
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        self._update(self._vector.value[self._part], grad, float(lr))  # a NumPy float64 would make the arrays float64
        self.steps += 1

    def memory(self) -> OptimizerState:
        """The optimizer state, for `save`; its arrays are views, which the next step changes."""
        start, vectors = self._part.start, {key: getattr(self, key) for key in self.keeps}
        arrays = {
            key: {name: self._vector.view(vector, p, start) for name, p in self.model.named_parameters()}
            for key, vector in vectors.items()
            if vector is not None
        }
        return OptimizerState(type(self).__name__, self.steps, arrays)

    def restore(self, memory: OptimizerState) -> None:
        """Take over the state of another optimizer: the `optimizer` of a `Checkpoint` from `load`.

        Raises:
            ValueError: it is from another class of optimizer or another model; the message lists all differences.
                Nothing is changed.
        """
        mine = self.memory()
        here = {f"{key}/{name}": a for key, arrays in mine.arrays.items() for name, a in arrays.items()}
        there = {f"{key}/{name}": a for key, arrays in memory.arrays.items() for name, a in arrays.items()}
        wrong = [f"it is of {memory.kind}"] if memory.kind != mine.kind else []
        wrong += [f"{name} is missing" for name in sorted(here.keys() - there.keys())]
        wrong += [f"{name} is unexpected" for name in sorted(there.keys() - here.keys())]
        for name in sorted(here.keys() & there.keys()):
            if (here[name].shape, here[name].dtype) != (there[name].shape, there[name].dtype):
                kinds = f"{there[name].dtype}{there[name].shape}, expected {here[name].dtype}{here[name].shape}"
                wrong.append(f"{name} is {kinds}")
        if wrong:
            raise ValueError(f"{mine.kind}.restore: the memory does not fit: {'; '.join(wrong)}")
        device = device_of(self._vector.value)
        for name, array in here.items():
            array[...] = device.asarray(there[name])
        self.steps = memory.steps

    @abstractmethod
    def _update(self, value: Array, grad: Array, lr: float) -> None:
        """Change `value` (P,) in place, but not `grad` (P,)."""

    def _zeros(self) -> Array:
        """A vector (P,) of zeros, laid out like the parameters, for the optimizer state."""
        return self._vector.zeros()[self._part]
