"""The linear layer."""

from __future__ import annotations

from ..core import initializers
from ..core.arrays import Array, Float, Generator, Shaped
from ..core.checks import check_cached_array, check_features, check_gradient, check_rng, check_size
from ..core.one_hot import Input, OneHotRows, as_rows
from ..core.parameter import Parameter
from ..core.roles import Feedforward
from ..kernels.plain.products import product
from ..kernels.products import add_sum


class Linear(Feedforward):
    r"""A matrix product and a bias.

    Forward and backward, where the sums run over all leading axes:

    .. math::
        y &= x W + b \\
        dx &= dy\, W^\top, \qquad dW \mathrel{+}= \sum x^\top dy, \qquad db \mathrel{+}= \sum dy

    Args:
        in_size: D, features of x.
        out_size: H, features of y.
        rng: draws the weights.

    Parameters `w` (D, H), Glorot; `b` (H,), 0. `forward` takes (..., D), or one-hot rows, and gives (..., H).

    Raises:
        ValueError: a size is below 1; in `forward`, the last axis of x is not D.
        TypeError: in `forward`, the dtype or device of x differs from the parameters'.

    Example:
        >>> Linear(3, 2, rng=np.random.default_rng(0))(np.ones((5, 4, 3), np.float32)).shape
        (5, 4, 2)
    """

    in_size: int
    out_size: int

    def __init__(self, in_size: int, out_size: int, *, rng: Generator) -> None:
        in_size = check_size("Linear", "in_size", in_size)
        out_size = check_size("Linear", "out_size", out_size)
        check_rng("Linear", rng)
        self.in_size, self.out_size = in_size, out_size
        self.w = Parameter(initializers.glorot((in_size, out_size), rng=rng))
        self.b = Parameter(initializers.zeros((out_size,)))

    def forward(
        self, x: Shaped[Input, "*lead D"], *, training: bool = True
    ) -> tuple[Float[Array, "*lead H"], Shaped[Input, "*lead D"]]:
        check_features(self, "x", x, self.in_size, self.w.value)
        y = product(as_rows(x), self.w.value)  # one matrix product, whatever the leading axes
        y += self.b.value
        return (y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_size)), x

    def backward(self, dy: Float[Array, "*lead H"], cache: Shaped[Input, "*lead D"]) -> Float[Array, "*lead D"] | None:
        check_cached_array(self, cache, self.w.value)
        x = cache
        check_gradient(self, "dy", dy, (*x.shape[:-1], self.out_size), self.w.value)
        dy_rows = as_rows(dy)
        self.w.grad += product(as_rows(x).T, dy_rows)
        add_sum(self.b.grad, dy_rows)
        return None if isinstance(x, OneHotRows) else product(dy_rows, self.w.value.T).reshape(x.shape)
