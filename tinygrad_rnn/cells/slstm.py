"""The LSTM with an exponential input gate."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..core import initializers
from ..core.arrays import Array, Float, Generator, Shaped, namespace, sigmoid
from ..core.checks import check_rng, check_size
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import Leaf, State, StateSpec
from .base import Cell


class SLSTMCache(NamedTuple):
    """The cache of a step."""

    x: Any
    h_prev: Array
    c_prev: Array
    a_f: Array
    i: Array
    f: Array
    o: Array
    z: Array
    c: Array


class SLSTMCell(Cell):
    r"""The sLSTM: an LSTM whose input gate is an exponential, and whose memory is a weighted mean of the candidates.

    In the paper, :math:`c'` is the memory and n the sum of its weights, with the sums a as below. A third array keeps
    both in bounds:

    .. math::
        c'_t &= \sigma(a^f_t) \odot c'_{t-1} + e^{a^i_t} \odot z_t \\
        n_t &= \sigma(a^f_t) \odot n_{t-1} + e^{a^i_t} \\
        h_t &= o_t \odot c'_t / n_t

    Here the state holds the mean :math:`c = c' / n` and the logarithm :math:`m = \log(n)`. The outputs are the same,
    but nothing is divided, and the gradient goes through no maximum.

    Forward; the sum :math:`a_t` (B, 4H) has four parts, in the order i, f, o, z: input gate, forget gate, output gate
    and candidate. :math:`\ell_t` is the logarithm of the old weight. The sum of :math:`i_t` and :math:`f_t` is 1:

    .. math::
        a_t &= x_t W_x + h_{t-1} W_h + b \\
        o_t &= \sigma(a^o_t), \qquad z_t = \tanh(a^z_t) \\
        \ell_t &= \log(\sigma(a^f_t)) + m_{t-1} \\
        m_t &= \log(e^{\ell_t} + e^{a^i_t}) \\
        i_t &= e^{a^i_t - m_t}, \qquad f_t = e^{\ell_t - m_t} \\
        c_t &= f_t \odot c_{t-1} + i_t \odot z_t \\
        h_t &= o_t \odot c_t, \qquad y_t = h_t

    The first m is :math:`-\infty`, because there is no weight yet. So in the first step of a row, i is 1 and f is 0.

    Backward, where :math:`dh_t`, :math:`dc_t` and :math:`dm_t` are the gradients from step :math:`t + 1`:

    .. math::
        \bar{dh}_t &= dy_t + dh_t \\
        \bar{dc}_t &= dc_t + \bar{dh}_t \odot o_t \\
        s_t &= \bar{dc}_t \odot i_t \odot f_t \odot (z_t - c_{t-1}) \\
        da^i_t &= i_t \odot dm_t + s_t \\
        d\ell_t &= f_t \odot dm_t - s_t \\
        da^f_t &= d\ell_t \odot \sigma(-a^f_t) \\
        da^o_t &= \bar{dh}_t \odot c_t \odot o_t \odot (1 - o_t) \\
        da^z_t &= \bar{dc}_t \odot i_t \odot (1 - z_t^2) \\
        dW_x &\mathrel{+}= x_t^\top da_t, \qquad dW_h \mathrel{+}= h_{t-1}^\top da_t \\
        db &\mathrel{+}= da_t \\
        dx_t &= da_t W_x^\top \\
        dh_{t-1} &= da_t W_h^\top \\
        dc_{t-1} &= \bar{dc}_t \odot f_t, \qquad dm_{t-1} = d\ell_t

    Args:
        in_size: D, features of x.
        out_size: H, units.
        rng: draws the weights.

    Parameters `w_x` (D, 4H), each gate Glorot; `w_h` (H, 4H), each gate orthogonal (which the paper calls one head);
    `b` (4H,), 1 for the forget gate, else 0. State `(h, c, m)`, each (B, H).

    Raises:
        ValueError: a size is below 1.
        TypeError: a size is not an integer, or `rng` is not a generator.

    References:
        Beck, Pöppel, Spanring, Auer, Prudnikova, Kopp, Klambauer, Brandstetter and Hochreiter, *xLSTM: Extended Long
        Short-Term Memory*, 2024, arXiv 2405.04517, equations 8 to 17.

    Example:
        >>> cell = SLSTMCell(3, 4, rng=np.random.default_rng(0))
        >>> ys, (h, c, m) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, h.shape, c.shape, m.shape
        ((5, 2, 4), (2, 4), (2, 4), (2, 4))
    """

    gates = ("i", "f", "o", "z")

    def __init__(self, in_size: int, out_size: int, *, rng: Generator) -> None:
        in_size = check_size("SLSTMCell", "in_size", in_size)
        out_size = check_size("SLSTMCell", "out_size", out_size)
        check_rng("SLSTMCell", rng)
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size,) * 3
        self.w_x = Parameter(initializers.blocks(initializers.glorot, (in_size, out_size), 4, rng=rng))
        self.w_h = Parameter(initializers.blocks(initializers.orthogonal, (out_size, out_size), 4, rng=rng))
        self.b = Parameter(initializers.zeros((4 * out_size,)))
        self.b.value[out_size : 2 * out_size] = 1

    @property
    def state_spec(self) -> StateSpec:
        shape = (self.out_size,)
        return Leaf("h", shape), Leaf("c", shape), Leaf("m", shape, -math.inf)

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, SLSTMCache]:
        h_prev, c_prev, m_prev = state
        H = self.out_size
        a = x @ self.w_x.value + h_prev @ self.w_h.value + self.b.value
        xp = namespace(a)
        a_i, a_f = a[:, :H], a[:, H : 2 * H]
        o, z = sigmoid(a[:, 2 * H : 3 * H]), xp.tanh(a[:, 3 * H :])
        log_f = m_prev - log_of_sum(0, -a_f)
        m = log_of_sum(log_f, a_i)
        i, f = xp.exp(a_i - m), xp.exp(log_f - m)
        c = f * c_prev + i * z
        h = o * c
        return h, (h, c, m), SLSTMCache(x, h_prev, c_prev, a_f, i, f, o, z, c)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: SLSTMCache
    ) -> tuple[Float[Array, "B D"], State]:
        x, h_prev, c_prev, a_f, i, f, o, z, c = cache
        dh, dc, dm = dstate
        dh = dy + dh
        dc = dc + dh * o
        s = dc * i * f * (z - c_prev)
        da_i, dlog_f = i * dm + s, f * dm - s
        da_f = dlog_f * sigmoid(-a_f)
        da_o = dh * c * o * (1 - o)
        da_z = dc * i * (1 - z * z)
        da = namespace(c).concatenate([da_i, da_f, da_o, da_z], axis=1)
        self.w_x.grad += x.T @ da
        self.w_h.grad += h_prev.T @ da
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (da @ self.w_h.value.T, dc * f, dlog_f)

    def inner_gradients(self, dy: Float[Array, "B H"], dstate: State, cache: SLSTMCache) -> dict[str, Array]:
        dh, dc, dm = dstate
        dh = dy + dh
        dc = dc + dh * cache.o
        dm = dm - dc * cache.c
        di, df, do, dz = dc * cache.z, dc * cache.c_prev, dh * cache.c, dc * cache.i
        da_f = cache.f * (df + dm) * sigmoid(-cache.a_f)
        return {"h": dh, "c": dc, "m": dm, "a_f": da_f, "i": di, "f": df, "o": do, "z": dz}


def log_of_sum(a: Any, b: Array) -> Array:
    """log(e^a + e^b), of which a may be -inf. `logaddexp` of NumPy warns of NaN, which may stand in another row."""
    xp = namespace(b)
    total: Array = xp.maximum(a, b) + xp.log1p(xp.exp(-abs(a - b)))
    return total
