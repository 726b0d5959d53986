"""Gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..core.arguments import check_bool
from ..core.arrays import Array
from ..core.layer import Layer
from ..core.parameter import Parameter
from .base import Optimizer
from .clip import Clipper
from .finite import Nonfinite
from .settings import number


class SGD(Optimizer):
    r"""Gradient descent, with optional momentum.

    With gradient :math:`g`, learning rate :math:`\eta` and momentum :math:`\mu`:

    .. math::
        v \leftarrow \mu v + g, \qquad
        w \leftarrow w - \eta v \quad\text{or, Nesterov,}\quad w \leftarrow w - \eta (g + \mu v)

    Args:
        model: the layer whose parameters to change.
        lr: :math:`\eta`, a number or a function of the step number.
        clip: a clipper or several.
        nonfinite: what to do with a gradient that is not finite: "refuse", "skip" or "propagate".
        rates: factors of the learning rate by names of layers or parameters, such as `{"layers.0": 0.0}`; 0 freezes.
        decay: the weight decay :math:`\lambda`: before each update, :math:`w \leftarrow w - \eta \lambda w`.
        decays: a function of name and `Parameter` that says what decays; None: parameters of two or more axes.
        momentum: :math:`\mu`, 0 to below 1.
        nesterov: whether to use Nesterov's momentum; needs `momentum`.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument is out of range, or the model has no parameters.

    References:
        Momentum: Polyak, 1964. Nesterov's momentum in this form: Sutskever et al., *On the Importance of Initialization
        and Momentum in Deep Learning*, 2013.

    Example:
        >>> layer = Linear(1, 2, rng=np.random.default_rng(0))
        >>> optimizer = SGD(layer, lr=0.5)
        >>> layer.b.grad = np.array([2.0, 4.0], np.float32)
        >>> optimizer.step()
        >>> layer.b.value
        array([-1., -2.], dtype=float32)
    """

    keeps = ("velocity",)
    momentum: float = number("0 to below 1")

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
        momentum: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        self.momentum = momentum
        nesterov = check_bool("SGD", "nesterov", nesterov)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        super().__init__(model, lr, clip=clip, nonfinite=nonfinite, rates=rates, decay=decay, decays=decays)
        self.nesterov = nesterov
        self.velocity = self._zeros() if momentum else None

    def _update(self, value: Array, grad: Array, lr: float, step: int, part: slice) -> None:
        w, g = value[part], grad[part]
        if self.velocity is None:
            w -= lr * g
            return
        v = self.velocity[part]
        v *= self.momentum
        v += g
        if self.nesterov:
            w -= lr * (g + self.momentum * v)
        else:
            w -= lr * v

    def _fused_update(self, lr: float, step: int) -> tuple[str, dict[str, float]]:
        name = "sgd" if self.velocity is None else "nesterov" if self.nesterov else "momentum"
        return name, {"rate": lr, "a": self.momentum}
