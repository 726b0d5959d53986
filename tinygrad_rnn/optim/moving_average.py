"""The moving average of a model's parameters over the steps of its training."""

from __future__ import annotations

import copy
from typing import Any

from ..core.arrays import device_name, namespace
from ..core.layer import Layer
from ..core.parameter import Parameter, pack


class MovingAverage:
    r"""A second model whose parameters follow those of the first, smoothed; often the better one of the two.

    With decay :math:`\rho`, after each step of the optimizer:

    .. math:: \bar{w} \leftarrow \bar{w} + (1 - \rho)(w - \bar{w})

    Args:
        model: the layer that is trained.
        decay: :math:`\rho`, 0 to below 1: the average is over about :math:`1 / (1 - \rho)` steps.
        average: the average to go on from, such as one that was saved; it is copied. None: a copy of the model.

    Attributes:
        average: an ordinary layer, to be evaluated, generated from and saved.

    Raises:
        ValueError: `decay` is out of range; the model has no parameters; the parameters of `average` are others, or of
            another shape, dtype or device (the message lists all that differ).

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
        # In the order in which the model's lie in their vector, so that the two vectors correspond number by number.
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        twins = dict(self.average.named_parameters())
        self._averages, _ = pack([twins[names[id(p)]] for p in self._vector.parameters if id(p) in names])
        self._buffer = self._averages.zeros()

    def update(self) -> None:
        """Take in the parameters as they are now; to be called after each step of the optimizer.

        Raises:
            RuntimeError: the parameters of the model or of the average have moved since this was made, to another
                device or dtype or into the vector of a larger model.
        """
        if self._vector.replaced or self._averages.replaced:
            raise RuntimeError(
                "MovingAverage: the parameters have moved since this was made, by to or into a larger model's vector. "
                "Make it after that; MovingAverage(model, average=moving.average) goes on from the same average"
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
