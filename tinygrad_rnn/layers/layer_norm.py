"""Layer normalisation."""

from __future__ import annotations

from typing import NamedTuple

from ..core import initializers
from ..core.arrays import Array, Float, namespace
from ..core.checks import check_bool, check_cache, check_eps, check_features, check_gradient, check_size
from ..core.one_hot import as_rows
from ..core.parameter import Parameter
from ..core.roles import Feedforward


class LayerNormCache(NamedTuple):
    """What the backward needs, with the leading axes of x."""

    x_hat: Array
    inv_sigma: Array


class LayerNorm(Feedforward):
    r"""Normalises each vector to mean 0 and variance 1 over its features, then applies a learnt scale and bias.

    Forward, where each mean is over the D features of one vector:

    .. math::
        \hat{x} &= \frac{x - \mu}{\sigma}, \qquad \mu = \mathrm{mean}(x), \qquad
        \sigma = \sqrt{\mathrm{mean}\bigl((x - \mu)^2\bigr) + \epsilon} \\
        y &= g \odot \hat{x} + b

    Backward, where the two means come from :math:`\mu` and :math:`\sigma`, and the sums run over all vectors:

    .. math::
        d\hat{x} &= g \odot dy \\
        dx &= \frac{1}{\sigma} \Bigl(d\hat{x} - \mathrm{mean}(d\hat{x})
              - \hat{x} \odot \mathrm{mean}(d\hat{x} \odot \hat{x})\Bigr) \\
        dg &\mathrel{+}= \sum dy \odot \hat{x}, \qquad db \mathrel{+}= \sum dy

    A vector of equal entries becomes b.

    Args:
        size: D, features of x and of y.
        eps: added to the variance, so that no division is by 0.
        bias: whether there is a bias b.

    Parameters `g` (D,), 1; `b` (D,), 0, absent with `bias=False`. `forward` takes (..., D) and gives (..., D).

    Raises:
        ValueError: `size` is below 1, or `eps` not above 0 in float32, or not finite; in `forward`, the last axis of x
            is not D.
        TypeError: in `forward`, the dtype or device of x differs from the parameters'.

    References:
        Ba, Kiros and Hinton, *Layer Normalization*, 2016.

    Example:
        >>> LayerNorm(2)(np.array([[1.0, 3.0], [-50.0, 50.0]], np.float32)).round(3)
        array([[-1.,  1.],
               [-1.,  1.]], dtype=float32)
    """

    def __init__(self, size: int, *, eps: float = 1e-5, bias: bool = True) -> None:
        size = check_size("LayerNorm", "size", size)
        eps = check_eps("LayerNorm", "eps", eps)
        bias = check_bool("LayerNorm", "bias", bias)
        self.size = self.in_size = self.out_size = size
        self.eps, self.bias = eps, bias
        self.g = Parameter(initializers.zeros((size,)) + 1)
        self.b = Parameter(initializers.zeros((size,))) if bias else None

    def forward(
        self, x: Float[Array, "*lead D"], *, training: bool = True
    ) -> tuple[Float[Array, "*lead D"], LayerNormCache]:
        check_features(self, "x", x, self.size, self.g.value)
        # One entry is subtracted first. Only differences of entries matter, and the mean of large numbers may have a
        # rounding error larger than their differences.
        x_hat = x - x[..., :1]
        x_hat -= x_hat.mean(axis=-1, keepdims=True)
        inv_sigma = 1 / namespace(x).sqrt((x_hat * x_hat).mean(axis=-1, keepdims=True) + self.eps)
        x_hat *= inv_sigma
        y = x_hat * self.g.value
        if self.b is not None:
            y += self.b.value
        return y, LayerNormCache(x_hat, inv_sigma)

    def backward(self, dy: Float[Array, "*lead D"], cache: LayerNormCache) -> Float[Array, "*lead D"]:
        check_cache(self, cache, LayerNormCache)
        x_hat, _ = cache
        check_gradient(self, "dy", dy, x_hat.shape, self.g.value)
        self.g.grad += as_rows(dy * x_hat).sum(axis=0)
        if self.b is not None:
            self.b.grad += as_rows(dy).sum(axis=0)
        return self.input_gradient(dy, cache)

    def input_gradient(self, dy: Float[Array, "*lead D"], cache: LayerNormCache) -> Float[Array, "*lead D"]:
        """`dx` alone, without adding to the parameters' gradients."""
        x_hat, inv_sigma = cache
        dx_hat = dy * self.g.value
        along = (dx_hat * x_hat).mean(axis=-1, keepdims=True)
        dx: Array = inv_sigma * (dx_hat - dx_hat.mean(axis=-1, keepdims=True) - x_hat * along)
        return dx
