"""The moving average of a model's parameters over the steps of training."""

from __future__ import annotations

import copy
from typing import Any

from ..core.arrays import device_name, namespace
from ..core.layer import Layer
from ..core.parameter import Parameter
from ..core.vector import pack


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

    def __init__(self, model: Layer, *, decay: float = 0.999, average: Layer | None = None) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"MovingAverage: decay must be 0 to below 1, not {decay}")
        if average is not None:
            _check_same(model, average)
        self.model, self.decay = model, decay
        self._vector, self._part = pack(model.parameters())
        self.average: Any = copy.deepcopy(model if average is None else average)
        # Packed in the same order as the model's parameters, so that the two vectors correspond entry by entry.
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        twins = dict(self.average.named_parameters())
        self._averages, _ = pack([twins[names[id(p)]] for p in self._vector.parameters if id(p) in names])
        self._buffer = self._averages.zeros()

    def update(self) -> None:
        """Add the current parameters to the average; call this after each step of the optimizer.

        Raises:
            RuntimeError: the parameters of the model or of the average have moved since this was made, to another
                device or dtype or into the vector of a larger model.
        """
        if self._vector.replaced or self._averages.replaced:
            raise RuntimeError(
                "MovingAverage: the parameters have moved since this was made, by model.to or into a larger model's "
                "vector. Make it after that: MovingAverage(model, average=moving.average) continues the same average"
            )
        average, change = self._averages.value, self._buffer
        namespace(average).subtract(self._vector.value[self._part], average, out=change)
        change *= 1 - self.decay
        average += change


def _check_same(model: Layer, average: Layer) -> None:
    """The parameters of both must have the same names, shapes, dtypes and devices."""
    here, there = ({name: _kind(p) for name, p in layer.named_parameters()} for layer in (model, average))
    wrong = [f"{name} is missing" for name in here if name not in there]
    wrong += [f"{name} is unexpected" for name in there if name not in here]
    wrong += [f"{n} is {there[n]}, expected {here[n]}" for n in here.keys() & there.keys() if there[n] != here[n]]
    if wrong:
        raise ValueError(f"MovingAverage: the average is not one of this model: {'; '.join(sorted(wrong))}")


def _kind(parameter: Parameter) -> str:
    value = parameter.value
    return f"{value.dtype}{value.shape} on {device_name(value)}"
