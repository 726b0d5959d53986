"""The simple recurrent network."""

from __future__ import annotations

from typing import Any

from ..core import initializers
from ..core.arguments import check_bool
from ..core.arrays import Array, Float, Generator, Shaped, namespace
from ..core.checks import check_choice, check_rng, check_size
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import State
from ..kernels import rnn
from ..kernels.caches import RNNCache
from ..kernels.kernel import Kernel
from .base import Cell


class RNNCell(Cell):
    r"""The simple recurrent network: a nonlinearity of a linear map of input and state gives the next state.

    Forward, with :math:`f` = tanh or ReLU:

    .. math::
        a_t &= x_t W_x + h_{t-1} W_h + b \\
        h_t &= f(a_t), \qquad y_t = h_t

    Backward, where :math:`dh_t` is the gradient from step :math:`t + 1`, and :math:`f'` is :math:`1 - h_t^2` for tanh,
    and for ReLU 1 where :math:`h_t > 0`, else 0:

    .. math::
        \bar{dh}_t &= dy_t + dh_t, \qquad da_t = \bar{dh}_t \odot f'(a_t) \\
        dW_x &\mathrel{+}= x_t^\top da_t, \qquad dW_h \mathrel{+}= h_{t-1}^\top da_t \\
        db &\mathrel{+}= da_t \\
        dx_t &= da_t W_x^\top, \qquad dh_{t-1} = da_t W_h^\top

    Args:
        in_size: D, features of x.
        out_size: H, units.
        rng: draws the weights.
        nonlinearity: `"tanh"` or `"relu"`.
        recurrent_initializer: how `w_h` is initialised, `"orthogonal"` or `"identity"`. The identity with ReLU makes
            the IRNN, which at first adds up its inputs, and so remembers them over hundreds of steps.
        bias: whether there is a bias b.

    Parameters `w_x` (D, H), Glorot; `w_h` (H, H), orthogonal or the identity; `b` (H,), 0, or None
    with `bias=False`. State `(h,)`, h (B, H).

    Raises:
        ValueError: a size is below 1, or the nonlinearity or initializer is neither of these.
        TypeError: a size is not an integer, `rng` is not a generator, or `bias` is not a bool.

    References:
        Elman, *Finding Structure in Time*, 1990. The IRNN: Le, Jaitly and Hinton, *A Simple Way to Initialize
        Recurrent Networks of Rectified Linear Units*, 2015.

    Example:
        >>> cell = RNNCell(3, 4, rng=np.random.default_rng(0))
        >>> ys, (h,) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, h.shape
        ((5, 2, 4), (2, 4))
    """

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        rng: Generator,
        nonlinearity: str = "tanh",
        recurrent_initializer: str = "orthogonal",
        bias: bool = True,
    ) -> None:
        in_size = check_size("RNNCell", "in_size", in_size)
        out_size = check_size("RNNCell", "out_size", out_size)
        check_rng("RNNCell", rng)
        check_choice("RNNCell", "nonlinearity", nonlinearity, "tanh", "relu")
        check_choice("RNNCell", "recurrent_initializer", recurrent_initializer, "orthogonal", "identity")
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size,)
        self.nonlinearity, self.recurrent_initializer = nonlinearity, recurrent_initializer
        self.bias = check_bool("RNNCell", "bias", bias)
        self.w_x = Parameter(initializers.glorot((in_size, out_size), rng=rng))
        square = (out_size, out_size)
        self.w_h = Parameter(
            initializers.orthogonal(square, rng=rng)
            if recurrent_initializer == "orthogonal"
            else initializers.identity(square)
        )
        self.b: Any = Parameter(initializers.zeros((out_size,))) if bias else None  # Any: with a bias, none asks

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, RNNCache]:
        (h_prev,) = state
        a = x @ self.w_x.value + h_prev @ self.w_h.value
        if self.b is not None:
            a += self.b.value
        xp = namespace(a)
        h = xp.tanh(a) if self.nonlinearity == "tanh" else xp.maximum(a, 0)
        return h, (h,), RNNCache(x, h_prev, h)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: RNNCache
    ) -> tuple[Float[Array, "B D"], State]:
        x, h_prev, h = cache
        (dh,) = dstate
        dh = dy + dh
        da = dh * (1 - h * h if self.nonlinearity == "tanh" else h > 0)
        self.w_x.grad += x.T @ da
        self.w_h.grad += h_prev.T @ da
        if self.b is not None:
            self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (da @ self.w_h.value.T,)

    def inner_gradients(self, dy: Float[Array, "B H"], dstate: State, cache: RNNCache) -> dict[str, Array]:
        (dh,) = dstate
        return {"h": dy + dh}

    def kernel(self) -> Kernel | None:
        if not self.has_steps(*STEPS):
            return None
        return rnn.TANH if self.nonlinearity == "tanh" else rnn.RELU


STEPS = RNNCell.step_forward, RNNCell.step_backward
"""The steps that the kernel computes."""
