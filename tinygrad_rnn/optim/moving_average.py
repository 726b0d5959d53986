"""The moving average of a model's parameters over the steps of training."""

from __future__ import annotations

import copy
from typing import Any

from ..core.arrays import device_name, namespace
from ..core.layer import Layer
from ..core.packed import PackedModel, check_model
from ..core.parameter import Parameter
from ..core.vector import pack
from .settings import number, shown


class MovingAverage:
    r"""A second model whose parameters are a moving average of those of the first; it is often the better model.

    With decay :math:`\rho`, after each step of the optimizer:

    .. math:: \bar{w} \leftarrow \bar{w} + (1 - \rho)(w - \bar{w})

    Args:
        model: the layer that is trained.
        decay: :math:`\rho`, 0 to below 1: the average is over about :math:`1 / (1 - \rho)` steps.
        average: the average to continue from, such as one that was saved; it is copied. None is a copy of the model.

    Attributes:
        average: an ordinary layer, which can be evaluated, generated from and saved.

    Raises:
        TypeError: `model` or `average` is not a layer, or `decay` is not a number.
        ValueError: `decay` is out of range; the model has no parameters; or the parameters of `average` differ in name,
            shape, dtype or device (the message lists all that differ).

    References:
        Polyak and Juditsky, *Acceleration of Stochastic Approximation by Averaging*, 1992.

    Example:
        >>> layer = Linear(1, 2, rng=np.random.default_rng(0))
        >>> moving = MovingAverage(layer, decay=0.75)
        >>> layer.b.value = np.array([4.0, 8.0], np.float32)
        >>> moving.update()
        >>> moving.average.b.value
        array([1., 2.], dtype=float32)
    """

    decay: float = number("0 to below 1")

    def __init__(self, model: Layer, *, decay: float = 0.999, average: Layer | None = None) -> None:
        self.decay = decay
        check_model("MovingAverage", model)
        if average is not None:
            _check_same(model, average)
        cure = "Make it after that: MovingAverage(model, average=moving.average) continues the same average"
        self._model = PackedModel(model, "MovingAverage", "this", cure)
        twin = copy.deepcopy(model if average is None else average)
        # Packed in the same order as the model's parameters, so that the two vectors correspond entry by entry.
        twins = dict(twin.named_parameters())
        pack([twins[name] for name in self._model.names()], twin, "MovingAverage")
        self._average = PackedModel(twin, "MovingAverage", "this", cure)
        self._buffer = self._average.zeros()

    @property
    def model(self) -> Layer:
        """The layer that is trained."""
        return self._model.model

    @property
    def average(self) -> Any:
        """The layer with the averages."""
        return self._average.model

    def update(self) -> None:
        """Add the current parameters to the average; call this after each step of the optimizer.

        Raises:
            RuntimeError: parameters of the model or of the average were replaced, added or removed since this was made;
                or they have moved, to another device or dtype or into the vector of a larger model.
        """
        self._model.check()
        self._average.check()
        average, change = self._average.value, self._buffer
        with self._model.vector.device:
            namespace(average).subtract(self._model.value, average, out=change)
            change *= 1 - self.decay
            average += change


def _check_same(model: Layer, average: Layer) -> None:
    """The parameters of both must have the same names, shapes, dtypes and devices."""
    if not isinstance(average, Layer):
        raise TypeError(f"MovingAverage: average must be a layer, the average of another one, not {shown(average)}")
    here, there = ({name: _kind(p) for name, p in layer.named_parameters()} for layer in (model, average))
    wrong = [f"{name} is missing" for name in here if name not in there]
    wrong += [f"{name} is unexpected" for name in there if name not in here]
    wrong += [f"{n} is {there[n]}, expected {here[n]}" for n in here.keys() & there.keys() if there[n] != here[n]]
    if wrong:
        raise ValueError(f"MovingAverage: the average is not one of this model: {'; '.join(sorted(wrong))}")


def _kind(parameter: Parameter) -> str:
    value = parameter.value
    return f"{value.dtype}{value.shape} on {device_name(value)}"
