"""Activations: element-wise maps of any shape, without parameters."""

from __future__ import annotations

from ..core.arrays import Array, Float, namespace, sigmoid
from ..core.checks import check_array, check_cached_array, check_gradient
from ..core.roles import Feedforward


class Tanh(Feedforward):
    r"""The hyperbolic tangent, element by element.

    .. math:: y = \tanh x, \qquad dx = dy \odot (1 - y^2)

    Raises:
        TypeError: in `forward`, x does not hold floating-point numbers.

    Example:
        >>> Tanh()(np.zeros(2))
        array([0., 0.])
    """

    def forward(
        self, x: Float[Array, "*shape"], *, training: bool = True
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        check_array(self, "x", x, None)
        y: Array = namespace(x).tanh(x)
        return y, y

    def backward(self, dy: Float[Array, "*shape"], cache: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        check_cached_array(self, cache)
        y = cache
        check_gradient(self, "dy", dy, y.shape, y)
        return dy * (1 - y * y)


class Sigmoid(Feedforward):
    r"""The logistic function, element by element, computed with tanh, which never overflows.

    .. math::
        y = \frac{1}{1 + e^{-x}} = \tfrac{1}{2} \tanh \tfrac{x}{2} + \tfrac{1}{2}, \qquad
        dx = dy \odot y \odot (1 - y)

    Raises:
        TypeError: in `forward`, x does not hold floating-point numbers.

    Example:
        >>> Sigmoid()(np.zeros(2))
        array([0.5, 0.5])
    """

    def forward(
        self, x: Float[Array, "*shape"], *, training: bool = True
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        check_array(self, "x", x, None)
        y: Array = sigmoid(x)
        return y, y

    def backward(self, dy: Float[Array, "*shape"], cache: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        check_cached_array(self, cache)
        y = cache
        check_gradient(self, "dy", dy, y.shape, y)
        return dy * y * (1 - y)


class ReLU(Feedforward):
    r"""The rectifier, element by element: negative entries become 0. Its gradient at 0 is taken as 0.

    .. math:: y = \max(x, 0), \qquad dx = dy \odot [x > 0]

    Raises:
        TypeError: in `forward`, x does not hold floating-point numbers.

    Example:
        >>> ReLU()(np.array([-1.0, 2.0]))
        array([0., 2.])
    """

    def forward(
        self, x: Float[Array, "*shape"], *, training: bool = True
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        check_array(self, "x", x, None)
        y: Array = namespace(x).maximum(x, 0)
        return y, y

    def backward(self, dy: Float[Array, "*shape"], cache: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        check_cached_array(self, cache)
        y = cache
        check_gradient(self, "dy", dy, y.shape, y)
        return dy * (y > 0)
