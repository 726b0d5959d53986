"""The long short-term memory."""

from __future__ import annotations

from ..core import initializers
from ..core.arrays import Array, Float, Generator, Shaped, namespace, sigmoid
from ..core.checks import check_rng, check_size
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import State
from ..kernels import lstm
from ..kernels.caches import LSTMCache
from ..kernels.kernel import Kernel
from .base import Cell


class LSTMCell(Cell):
    r"""The long short-term memory: three gates control what its memory c takes in, keeps and gives out.

    Forward. The sum :math:`a_t` (B, 4H) has four parts, in the order i, f, o, g: input gate, forget gate, output gate
    and candidate. :math:`\sigma(a)` is computed as :math:`\tfrac{1}{2} \tanh(\tfrac{1}{2} a) + \tfrac{1}{2}`, which
    never overflows:

    .. math::
        a_t &= x_t W_x + h_{t-1} W_h + b \\
        i_t &= \sigma(a^i_t), \qquad f_t = \sigma(a^f_t), \qquad o_t = \sigma(a^o_t) \\
        g_t &= \tanh(a^g_t) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t &= o_t \odot \tanh(c_t), \qquad y_t = h_t

    Backward, where :math:`dh_t` and :math:`dc_t` are the gradients from step :math:`t + 1`. First the whole gradients
    w.r.t. the output and the memory:

    .. math::
        \bar{dh}_t &= dy_t + dh_t \\
        \bar{dc}_t &= dc_t + \bar{dh}_t \odot o_t \odot (1 - \tanh^2(c_t))

    From these follow the gradients w.r.t. the gates, the four parts of :math:`a_t`, the parameters, x and the state:

    .. math::
        di_t &= \bar{dc}_t \odot g_t, \qquad df_t = \bar{dc}_t \odot c_{t-1} \\
        do_t &= \bar{dh}_t \odot \tanh(c_t), \qquad dg_t = \bar{dc}_t \odot i_t \\
        da^i_t &= di_t \odot i_t \odot (1 - i_t) \\
        da^f_t &= df_t \odot f_t \odot (1 - f_t) \\
        da^o_t &= do_t \odot o_t \odot (1 - o_t) \\
        da^g_t &= dg_t \odot (1 - g_t^2) \\
        dW_x &\mathrel{+}= x_t^\top da_t, \qquad dW_h \mathrel{+}= h_{t-1}^\top da_t \\
        db &\mathrel{+}= da_t \\
        dx_t &= da_t W_x^\top \\
        dh_{t-1} &= da_t W_h^\top, \qquad dc_{t-1} = \bar{dc}_t \odot f_t

    Args:
        in_size: D, features of x.
        out_size: H, units.
        rng: draws the weights.

    Parameters `w_x` (D, 4H), each gate's (D, H) Glorot; `w_h` (H, 4H), each gate's (H, H) orthogonal; `b` (4H,), 1 for
    the forget gate, so that the memory lasts from the start, else 0. State `(h, c)`, both (B, H).

    Raises:
        ValueError: a size is below 1.
        TypeError: a size is not an integer, or `rng` is not a generator.

    References:
        Hochreiter and Schmidhuber, *Long Short-Term Memory*, 1997. The forget gate: Gers, Schmidhuber and Cummins,
        *Learning to Forget*, 2000. Its bias of 1: Jozefowicz, Zaremba and Sutskever, *An Empirical Exploration of
        Recurrent Network Architectures*, 2015.

    Example:
        >>> cell = LSTMCell(3, 4, rng=np.random.default_rng(0))
        >>> ys, (h, c) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, h.shape, c.shape
        ((5, 2, 4), (2, 4), (2, 4))
        >>> print(cell.b.value)
        [0. 0. 0. 0. 1. 1. 1. 1. 0. 0. 0. 0. 0. 0. 0. 0.]
    """

    gates = ("i", "f", "o", "g")

    def __init__(self, in_size: int, out_size: int, *, rng: Generator) -> None:
        in_size = check_size("LSTMCell", "in_size", in_size)
        out_size = check_size("LSTMCell", "out_size", out_size)
        check_rng("LSTMCell", rng)
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size, out_size)
        self.w_x = Parameter(initializers.blocks(initializers.glorot, (in_size, out_size), 4, rng=rng))
        self.w_h = Parameter(initializers.blocks(initializers.orthogonal, (out_size, out_size), 4, rng=rng))
        self.b = Parameter(initializers.zeros((4 * out_size,)))
        self.b.value[out_size : 2 * out_size] = 1

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, LSTMCache]:
        h_prev, c_prev = state
        H = self.out_size
        a = x @ self.w_x.value
        a += h_prev @ self.w_h.value
        a += self.b.value
        xp = namespace(a)
        sigmoids = sigmoid(a[:, : 3 * H])
        i, f, o, g = sigmoids[:, :H], sigmoids[:, H : 2 * H], sigmoids[:, 2 * H :], xp.tanh(a[:, 3 * H :])
        c = f * c_prev + i * g
        h = o * xp.tanh(c)
        return h, (h, c), LSTMCache(x, h_prev, c_prev, i, f, o, g, c)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: LSTMCache
    ) -> tuple[Float[Array, "B D"], State]:
        x, h_prev, c_prev, i, f, o, g, c = cache
        dh, dc = dstate
        xp = namespace(c)
        tanh_c = xp.tanh(c)
        dh = dy + dh
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        di, df, do, dg = dc * g, dc * c_prev, dh * tanh_c, dc * i
        da_i = di * i * (1 - i)
        da_f = df * f * (1 - f)
        da_o = do * o * (1 - o)
        da_g = dg * (1 - g * g)
        da = xp.concatenate([da_i, da_f, da_o, da_g], axis=1)
        self.w_x.grad += x.T @ da
        self.w_h.grad += h_prev.T @ da
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (da @ self.w_h.value.T, dc * f)

    def inner_gradients(self, dy: Float[Array, "B H"], dstate: State, cache: LSTMCache) -> dict[str, Array]:
        dh, dc = dstate
        tanh_c = namespace(cache.c).tanh(cache.c)
        dh = dy + dh
        dc = dc + dh * cache.o * (1 - tanh_c * tanh_c)
        return {"h": dh, "c": dc, "i": dc * cache.g, "f": dc * cache.c_prev, "o": dh * tanh_c, "g": dc * cache.i}

    def kernel(self) -> Kernel | None:
        return lstm.KERNEL if self.has_steps(*STEPS) else None


STEPS = LSTMCell.step_forward, LSTMCell.step_backward
"""The steps that the kernel computes."""
