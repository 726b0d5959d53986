"""The independent recurrent network."""

from __future__ import annotations

from ..core import initializers
from ..core.arrays import Array, Float, Generator, Shaped, namespace
from ..core.checks import check_choice, check_rng, check_size
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import State
from ..kernels import ind_rnn
from ..kernels.ind_rnn import IndRNNCache
from ..kernels.kernel import Kernel
from .base import Cell


class IndRNNCell(Cell):
    r"""The independent recurrent network: an `RNNCell` in which each unit sees only its own last value.

    Forward, with :math:`f` = ReLU or tanh, and a number u for each unit in place of a matrix:

    .. math::
        a_t &= x_t W_x + u \odot h_{t-1} + b \\
        h_t &= f(a_t), \qquad y_t = h_t

    Backward, where :math:`dh_t` is the gradient from step :math:`t + 1`, and :math:`f'` is 1 where :math:`h_t > 0`,
    else 0, and for tanh :math:`1 - h_t^2`:

    .. math::
        \bar{dh}_t &= dy_t + dh_t, \qquad da_t = \bar{dh}_t \odot f'(a_t) \\
        dW_x &\mathrel{+}= x_t^\top da_t, \qquad du \mathrel{+}= h_{t-1} \odot da_t \\
        db &\mathrel{+}= da_t \\
        dx_t &= da_t W_x^\top, \qquad dh_{t-1} = da_t \odot u

    Over k steps a gradient is multiplied by :math:`u^k` at most, which is easy to keep in bounds. With ReLU and
    sequences of T steps, keep :math:`|u| \le 2^{1/T}`, by `cell.u.value.clip(-limit, limit, out=cell.u.value)` after
    each step of the optimizer.

    Args:
        in_size: D, features of x.
        out_size: H, units.
        rng: draws the weights.
        nonlinearity: `"relu"` or `"tanh"`.

    Parameters `w_x` (D, H), Glorot; `u` (H,), uniform from 0 to 1; `b` (H,), 0. State `(h,)`, h (B, H).

    Raises:
        ValueError: a size is below 1, or `nonlinearity` is neither of these.
        TypeError: a size is not an integer, or `rng` is not a generator.

    References:
        Li, Li, Cook, Zhu and Gao, *Independently Recurrent Neural Network (IndRNN): Building a Longer and Deeper RNN*,
        2018.

    Example:
        >>> cell = IndRNNCell(3, 4, rng=np.random.default_rng(0))
        >>> ys, (h,) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, h.shape
        ((5, 2, 4), (2, 4))
    """

    def __init__(self, in_size: int, out_size: int, *, rng: Generator, nonlinearity: str = "relu") -> None:
        in_size = check_size("IndRNNCell", "in_size", in_size)
        out_size = check_size("IndRNNCell", "out_size", out_size)
        check_rng("IndRNNCell", rng)
        check_choice("IndRNNCell", "nonlinearity", nonlinearity, "relu", "tanh")
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size,)
        self.nonlinearity = nonlinearity
        self.w_x = Parameter(initializers.glorot((in_size, out_size), rng=rng))
        self.u = Parameter(abs(initializers.uniform((out_size,), rng=rng, limit=1.0)))
        self.b = Parameter(initializers.zeros((out_size,)))

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, IndRNNCache]:
        (h_prev,) = state
        a = x @ self.w_x.value + self.u.value * h_prev + self.b.value
        xp = namespace(a)
        h = xp.tanh(a) if self.nonlinearity == "tanh" else xp.maximum(a, 0)
        return h, (h,), IndRNNCache(x, h_prev, h)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: IndRNNCache
    ) -> tuple[Float[Array, "B D"], State]:
        x, h_prev, h = cache
        (dh,) = dstate
        dh = dy + dh
        da = dh * (1 - h * h if self.nonlinearity == "tanh" else h > 0)
        self.w_x.grad += x.T @ da
        self.u.grad += (h_prev * da).sum(axis=0)
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (da * self.u.value,)

    def inner_gradients(self, dy: Float[Array, "B H"], dstate: State, cache: IndRNNCache) -> dict[str, Array]:
        (dh,) = dstate
        return {"h": dy + dh}

    def kernel(self) -> Kernel | None:
        if not self.has_steps(*STEPS):
            return None
        return ind_rnn.TANH if self.nonlinearity == "tanh" else ind_rnn.RELU


STEPS = IndRNNCell.step_forward, IndRNNCell.step_backward
"""The steps that the kernel computes."""
