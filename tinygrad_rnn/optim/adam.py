"""Adam."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..core.arguments import check_eps
from ..core.arrays import Array, namespace
from ..core.layer import Layer
from ..core.parameter import Parameter
from ..kernels.threads import divide_blocks
from .base import Optimizer
from .clip import Clipper
from .finite import Nonfinite
from .settings import check_number, setting, shown


class Adam(Optimizer):
    r"""Gradient descent with the recent mean of the gradient, divided by its recent root mean square.

    At step :math:`t`, counted from 1, with gradient :math:`g` and learning rate :math:`\eta`; the division by
    :math:`1 - \beta^t` corrects the bias of means that start from zero. Steps at which a parameter is frozen do not
    count for it; those that are skipped, because the gradient is not finite, do:

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \\
        \hat{m} &= m / (1 - \beta_1^t), \qquad \hat{v} = v / (1 - \beta_2^t) \\
        w &\leftarrow w - \eta\, \hat{m} \,/\, (\sqrt{\hat{v}} + \varepsilon)

    The optimizer state is the attributes `gradients`, :math:`m / (1 - \beta_1)`, and `squares`,
    :math:`v / (1 - \beta_2)`. These factors and those of the second line become two numbers per step, which saves
    passes over the vector.

    Args:
        model: the layer whose parameters to change.
        lr: :math:`\eta`, a number or a function of the step number.
        betas: :math:`\beta_1` and :math:`\beta_2`, each 0 to below 1.
        eps: :math:`\varepsilon`, above 0.
        clip: a clipper or several.
        nonfinite: what to do with a gradient that is not finite: "refuse", "skip" or "propagate".
        rates: factors of the learning rate by names of layers or parameters, such as `{"layers.0": 0.0}`; 0 freezes.
        decay: the weight decay :math:`\lambda`: before each update, :math:`w \leftarrow w - \eta \lambda w`.
        decays: a function of name and `Parameter` that says what decays; None: parameters of two or more axes.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument is out of range, or the model has no parameters.

    References:
        Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2015.

    Example:
        >>> layer = Linear(1, 2, rng=np.random.default_rng(0))
        >>> optimizer = Adam(layer, lr=0.5)
        >>> layer.b.grad = np.array([2.0, 4.0], np.float32)
        >>> optimizer.step()
        >>> layer.b.value
        array([-0.5, -0.5], dtype=float32)
    """

    keeps = ("gradients", "squares")
    eps: float = setting(check_eps)

    def __init__(
        self,
        model: Layer,
        lr: float | Callable[[int], float],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        clip: Clipper | Sequence[Clipper] | None = None,
        nonfinite: Nonfinite = "refuse",
        rates: Mapping[str, float] | None = None,
        decay: float = 0.0,
        decays: Callable[[str, Parameter], bool] | None = None,
    ) -> None:
        self.betas, self.eps = betas, eps
        super().__init__(model, lr, clip=clip, nonfinite=nonfinite, rates=rates, decay=decay, decays=decays)
        self.gradients, self.squares = self._zeros(), self._zeros()

    @property
    def betas(self) -> tuple[float, float]:
        r""":math:`\beta_1` and :math:`\beta_2`."""
        return self._betas

    @betas.setter
    def betas(self, betas: Any) -> None:
        name = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"{name}: betas must be two numbers, such as (0.9, 0.999), not {shown(betas)}")
        first, second = betas
        try:
            rates = (check_number(name, "each of betas", beta, "0 to below 1") for beta in betas)
            self._betas: tuple[float, float] = (next(rates), next(rates))
        except ValueError as error:
            raise ValueError(f"{name}: betas must be 0 to below 1, not {first} and {second}") from error

    def _update(self, value: Array, grad: Array, lr: float, step: int, part: slice) -> None:
        divide_blocks(partial(self._change, value, grad, *self._factors(lr, step)), value, part)

    def _fused_update(self, lr: float, step: int) -> tuple[str, dict[str, float]]:
        eps, rate = self._factors(lr, step)
        return "adam", {"rate": rate, "eps": eps, "a": self.betas[0], "b": self.betas[1]}

    def _factors(self, lr: float, step: int) -> tuple[float, float]:
        """What takes the place of epsilon, and of the learning rate: of them are made the m̂ and v̂ of the step."""
        t = step + 1
        # m̂ and v̂ are these factors times `gradients` and `squares`.
        of_gradients, of_squares = ((1 - beta) / (1 - beta**t) for beta in self.betas)
        root = math.sqrt(of_squares)
        return self.eps / root, lr * of_gradients / root

    def _change(self, value: Array, grad: Array, eps: float, rate: float, block: slice) -> None:
        """Update the parameters in `block`."""
        xp, g, gradients, squares = namespace(value), grad[block], self.gradients[block], self.squares[block]
        gradients *= self.betas[0]
        gradients += g
        squares *= self.betas[1]
        change = xp.multiply(g, g)
        squares += change
        xp.sqrt(squares, out=change)
        change += eps
        xp.divide(gradients, change, out=change)
        change *= rate
        value[block] -= change
