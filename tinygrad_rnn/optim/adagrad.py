"""Adagrad."""

from __future__ import annotations

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
from .settings import setting


class Adagrad(Optimizer):
    r"""Gradient descent with a learning rate for each parameter, which falls as its squared gradients add up.

    With gradient :math:`g` and learning rate :math:`\eta`; :math:`\varepsilon` is outside the root:

    .. math::
        s \leftarrow s + g^2, \qquad w \leftarrow w - \eta\, g \,/\, (\sqrt{s} + \varepsilon)

    Args:
        model: the layer whose parameters to change.
        lr: :math:`\eta`, a number or a function of the step number.
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
        Duchi, Hazan and Singer, *Adaptive Subgradient Methods*, 2011.

    Example:
        >>> layer = Linear(1, 2, rng=np.random.default_rng(0))
        >>> optimizer = Adagrad(layer, lr=0.5)
        >>> layer.b.grad = np.array([2.0, 4.0], np.float32)
        >>> optimizer.step()
        >>> layer.b.value
        array([-0.5, -0.5], dtype=float32)
    """

    keeps = ("sum",)
    eps: float = setting(check_eps)

    def __init__(
        self,
        model: Layer,
        lr: float | Callable[[int], float],
        *,
        eps: float = 1e-8,
        clip: Clipper | Sequence[Clipper] | None = None,
        nonfinite: Nonfinite = "refuse",
        rates: Mapping[str, float] | None = None,
        decay: float = 0.0,
        decays: Callable[[str, Parameter], bool] | None = None,
    ) -> None:
        self.eps = eps
        super().__init__(model, lr, clip=clip, nonfinite=nonfinite, rates=rates, decay=decay, decays=decays)
        self.sum = self._zeros()

    def _update(self, value: Array, grad: Array, lr: float, step: int, part: slice) -> None:
        divide_blocks(partial(self._change, value, grad, lr), value, part)

    def _fused_update(self, lr: float, step: int) -> tuple[str, dict[str, float]]:
        return "adagrad", {"rate": lr, "eps": self.eps}

    def _change(self, value: Array, grad: Array, lr: float, block: slice) -> None:
        """Update the parameters in `block`."""
        xp, g, total = namespace(value), grad[block], self.sum[block]
        change = xp.multiply(g, g)
        total += change
        xp.sqrt(total, out=change)
        change += self.eps
        xp.divide(g, change, out=change)
        change *= lr
        value[block] -= change
