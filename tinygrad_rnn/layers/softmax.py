"""The softmax as a separate layer."""

from __future__ import annotations

from ..core.arrays import Array, Float, namespace
from ..core.checks import check_cached_array, check_features, check_gradient
from ..core.roles import Feedforward


class Softmax(Feedforward):
    r"""Maps logits to probabilities over the last axis.

    Backward uses the full Jacobian :math:`\partial y_i / \partial x_j = y_i ([i = j] - y_j)`, so any layer may follow.
    To train a classifier, use `SoftmaxCrossEntropy` on the logits instead: it is faster, and exact where a probability
    rounds to 0.

    .. math::
        y_i = \frac{e^{x_i - m}}{\sum_j e^{x_j - m}},\quad m = \max_j x_j, \qquad
        dx = y \odot \Bigl(dy - \sum_j dy_j\, y_j\Bigr)

    Raises:
        TypeError: in `forward`, x does not hold floating-point numbers.
        ValueError: in `forward`, x has no axes.

    References:
        Bridle, *Probabilistic Interpretation of Feedforward Classification Network Outputs*, 1990.

    Example:
        >>> Softmax()(np.array([0.0, 800.0]))
        array([0., 1.])
    """

    def forward(
        self, x: Float[Array, "*lead D"], *, training: bool = True
    ) -> tuple[Float[Array, "*lead D"], Float[Array, "*lead D"]]:
        check_features(self, "x", x, None, None)
        if not x.shape[-1]:
            raise ValueError(f"{self!r}: x has shape {x.shape}, without a class in its last axis")
        y: Array = namespace(x).exp(x - x.max(axis=-1, keepdims=True))
        y /= y.sum(axis=-1, keepdims=True)
        return y, y

    def backward(self, dy: Float[Array, "*lead D"], cache: Float[Array, "*lead D"]) -> Float[Array, "*lead D"]:
        check_cached_array(self, cache)
        y = cache
        check_gradient(self, "dy", dy, y.shape, y)
        mean: Array = (dy * y).sum(axis=-1, keepdims=True)
        return y * (dy - mean)
