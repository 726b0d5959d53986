"""Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..core.layer import Layer
from ..core.parameter import Parameter
from .adam import Adam
from .clip import Clipper
from .finite import Nonfinite


class AdamW(Adam):
    r"""`Adam` with a weight decay of 0.01, which is not divided by the size of the gradients.

    With learning rate :math:`\eta` and decay :math:`\lambda`, for the parameters that decay:

    .. math:: w \leftarrow w - \eta \lambda w

    Then follows the update of `Adam`.

    Args:
        model: the layer whose parameters to change.
        lr: :math:`\eta`, a number or a function of the step number.
        betas: as in `Adam`.
        eps: as in `Adam`.
        clip: a clipper or several.
        nonfinite: what to do with a gradient that is not finite: "refuse", "skip" or "propagate".
        rates: factors of the learning rate by names of layers or parameters, such as `{"layers.0": 0.0}`; 0 freezes.
        decay: :math:`\lambda`, at least 0.
        decays: a function of name and `Parameter` that says what decays; None: parameters of two or more axes.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument is out of range, or the model has no parameters.

    References:
        Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2019.

    Example:
        >>> layer = Linear(1, 2, rng=np.random.default_rng(0))
        >>> layer.w.value = layer.b.value = 1.0
        >>> AdamW(layer, lr=0.5, decay=0.5).step()
        >>> layer.w.value, layer.b.value
        (array([[0.75, 0.75]], dtype=float32), array([1., 1.], dtype=float32))
    """

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
        decay: float = 0.01,
        decays: Callable[[str, Parameter], bool] | None = None,
    ) -> None:
        super().__init__(
            model,
            lr,
            betas=betas,
            eps=eps,
            clip=clip,
            nonfinite=nonfinite,
            rates=rates,
            decay=decay,
            decays=decays,
        )
