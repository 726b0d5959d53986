"""RMSprop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ..core.arguments import check_eps
from ..core.arrays import Array, namespace
from ..core.layer import Layer
from ..core.parameter import Parameter
from ..kernels.threads import divide_blocks
from .base import Optimizer
from .clip import Clipper
from .finite import Nonfinite
from .settings import number, setting


class RMSprop(Optimizer):
    r"""Gradient descent with each parameter's gradient divided by its recent root mean square.

    With gradient :math:`g` and learning rate :math:`\eta`; :math:`\varepsilon` is outside the root:

    .. math::
        s \leftarrow \rho s + (1 - \rho)\, g^2, \qquad w \leftarrow w - \eta\, g \,/\, (\sqrt{s} + \varepsilon)

    The optimizer state is the attribute `squares`, :math:`s / (1 - \rho)`. Its factor becomes two numbers per step,
    which saves a pass over the vector.

    Args:
        model: the layer whose parameters to change.
        lr: :math:`\eta`, a number or a function of the step number.
        rho: :math:`\rho`, 0 to below 1: the mean is over about :math:`1 / (1 - \rho)` steps.
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
        Tieleman and Hinton, *Lecture 6.5: RMSprop*, Neural Networks for Machine Learning, 2012.

    Example:
        >>> layer = Linear(1, 2, rng=np.random.default_rng(0))
        >>> optimizer = RMSprop(layer, lr=0.5, rho=0.75)
        >>> layer.b.grad = np.array([2.0, 4.0], np.float32)
        >>> optimizer.step()
        >>> layer.b.value
        array([-1., -1.], dtype=float32)
    """

    keeps = ("squares",)
    rho: float = number("0 to below 1")
    eps: float = setting(check_eps)

    def __init__(
        self,
        model: Layer,
        lr: float | Callable[[int], float],
        *,
        rho: float = 0.99,
        eps: float = 1e-8,
        clip: Clipper | Sequence[Clipper] | None = None,
        nonfinite: Nonfinite = "refuse",
        rates: Mapping[str, float] | None = None,
        decay: float = 0.0,
        decays: Callable[[str, Parameter], bool] | None = None,
    ) -> None:
        self.rho, self.eps = rho, eps
        super().__init__(model, lr, clip=clip, nonfinite=nonfinite, rates=rates, decay=decay, decays=decays)
        self.squares = self._zeros()

    def _update(self, value: Array, grad: Array, lr: float, step: int, part: slice) -> None:
        root = math.sqrt(1 - self.rho)  # √s is this times the root of `squares`
        change = partial(self._change, value, grad, self.eps / root, lr / root)
        divide_blocks(change, value, part)

    def _fused_update(self, lr: float, step: int) -> tuple[str, dict[str, float]]:
        root = math.sqrt(1 - self.rho)
        return "rmsprop", {"rate": lr / root, "eps": self.eps / root, "a": self.rho}

    def _change(self, value: Array, grad: Array, eps: float, rate: float, block: slice) -> None:
        """Update the parameters in `block`."""
        xp, g, squares = namespace(value), grad[block], self.squares[block]
        squares *= self.rho
        change = xp.multiply(g, g)
        squares += change
        xp.sqrt(squares, out=change)
        change += eps
        xp.divide(g, change, out=change)
        change *= rate
        value[block] -= change
