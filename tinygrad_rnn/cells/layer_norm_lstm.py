"""The LSTM with layer normalisation."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core import initializers
from ..core.arrays import Array, Float, Generator, Shaped, namespace, sigmoid
from ..core.checks import check_eps, check_rng, check_size
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import State
from ..layers.layer_norm import LayerNorm, LayerNormCache
from .base import Cell


class LayerNormLSTMCache(NamedTuple):
    """The cache of a step; the last three are the caches of the norms."""

    x: Any
    h_prev: Array
    c_prev: Array
    i: Array
    f: Array
    o: Array
    g: Array
    m: Array
    """tanh LN(c), which is multiplied by the output gate."""
    norm_x: LayerNormCache
    norm_h: LayerNormCache
    norm_c: LayerNormCache


class LayerNormLSTMCell(Cell):
    r"""The LSTM with layer normalisation of the products of input and state with their weights, and of the memory c.

    Forward; each LN is a `LayerNorm`. The first two are over all 4H sums at once, and need no bias beside b:

    .. math::
        [a_i, a_f, a_o, a_g] &= \mathrm{LN}_x(x_t W_x) + \mathrm{LN}_h(h_{t-1} W_h) + b \\
        i, f, o &= \sigma(a_i), \sigma(a_f), \sigma(a_o), \qquad g = \tanh(a_g) \\
        c_t &= f \odot c_{t-1} + i \odot g \\
        m &= \tanh\bigl(\mathrm{LN}_c(c_t)\bigr), \qquad h_t = o \odot m, \qquad y_t = h_t

    Backward, where :math:`dh_t` and :math:`dc_t` are the gradients from step :math:`t + 1`, and
    :math:`\mathrm{LN}^\top` is the backward of a norm:

    .. math::
        dh &= dy_t + dh_t, \qquad dm = dh \odot o, \qquad do = dh \odot m \\
        dc &= dc_t + \mathrm{LN}_c^\top \bigl(dm \odot (1 - m^2)\bigr) \\
        di &= dc \odot g, \qquad df = dc \odot c_{t-1}, \qquad dg = dc \odot i \\
        da_i &= di \odot i (1 - i), \qquad da_f = df \odot f (1 - f) \\
        da_o &= do \odot o (1 - o), \qquad da_g = dg \odot (1 - g^2) \\
        da_x &= \mathrm{LN}_x^\top(da), \qquad da_h = \mathrm{LN}_h^\top(da) \\
        dW_x &\mathrel{+}= x_t^\top da_x, \qquad dW_h \mathrel{+}= h_{t-1}^\top da_h \\
        db &\mathrel{+}= da \\
        dx_t &= da_x W_x^\top \\
        dh_{t-1} &= da_h W_h^\top, \qquad dc_{t-1} = dc \odot f

    Args:
        in_size: D, features of x.
        out_size: H, units.
        rng: draws the weights.
        eps: added to each variance in the norms.

    Parameters `w_x` (D, 4H), each gate Glorot; `w_h` (H, 4H), each gate orthogonal; `b` (4H,), 1 for the forget gate, 0
    for the others; the gates are in the order i, f, o, g. The norms have `norm_x.g` and `norm_h.g` (4H,), `norm_c.g`
    and `norm_c.b` (H,). State `(h, c)`, each (B, H), with c before its norm.

    Raises:
        ValueError: a size is below 1, or `eps` is not above 0 in float32, or not finite.
        TypeError: a size is not an integer, or `rng` is not a generator.

    References:
        Ba, Kiros and Hinton, *Layer Normalization*, 2016, equations 20 to 22; Hochreiter and Schmidhuber, *Long
        Short-Term Memory*, 1997.

    Example:
        >>> cell = LayerNormLSTMCell(3, 4, rng=np.random.default_rng(0))
        >>> ys, (h, c) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, h.shape, c.shape
        ((5, 2, 4), (2, 4), (2, 4))
    """

    gates = ("i", "f", "o", "g")

    def __init__(self, in_size: int, out_size: int, *, rng: Generator, eps: float = 1e-5) -> None:
        in_size = check_size("LayerNormLSTMCell", "in_size", in_size)
        out_size = check_size("LayerNormLSTMCell", "out_size", out_size)
        check_rng("LayerNormLSTMCell", rng)
        eps = check_eps("LayerNormLSTMCell", "eps", eps)
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size, out_size)
        self.eps = eps
        self.w_x = Parameter(initializers.blocks(initializers.glorot, (in_size, out_size), 4, rng=rng))
        self.w_h = Parameter(initializers.blocks(initializers.orthogonal, (out_size, out_size), 4, rng=rng))
        self.b = Parameter(initializers.zeros((4 * out_size,)))
        self.b.value[out_size : 2 * out_size] = 1
        self.norm_x = LayerNorm(4 * out_size, eps=eps, bias=False)
        self.norm_h = LayerNorm(4 * out_size, eps=eps, bias=False)
        self.norm_c = LayerNorm(out_size, eps=eps)

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, LayerNormLSTMCache]:
        h_prev, c_prev = state
        H = self.out_size
        a_x, norm_x = self.norm_x.forward(x @ self.w_x.value, training=training)
        a_h, norm_h = self.norm_h.forward(h_prev @ self.w_h.value, training=training)
        a = a_x + a_h + self.b.value
        xp = namespace(a)
        gates = sigmoid(a[:, : 3 * H])
        i, f, o = gates[:, :H], gates[:, H : 2 * H], gates[:, 2 * H :]
        g = xp.tanh(a[:, 3 * H :])
        c = f * c_prev + i * g
        a_m, norm_c = self.norm_c.forward(c, training=training)
        m = xp.tanh(a_m)
        h = o * m
        return h, (h, c), LayerNormLSTMCache(x, h_prev, c_prev, i, f, o, g, m, norm_x, norm_h, norm_c)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: LayerNormLSTMCache
    ) -> tuple[Float[Array, "B D"], State]:
        x, h_prev, c_prev, i, f, o, g, m, norm_x, norm_h, norm_c = cache
        dh, dc = dstate
        dh = dy + dh
        dm, do = dh * o, dh * m
        dc = dc + self.norm_c.backward(dm * (1 - m * m), norm_c)
        di, df, dg = dc * g, dc * c_prev, dc * i
        da_i, da_f = di * i * (1 - i), df * f * (1 - f)
        da_o, da_g = do * o * (1 - o), dg * (1 - g * g)
        da = namespace(g).concatenate([da_i, da_f, da_o, da_g], axis=1)
        da_x, da_h = self.norm_x.backward(da, norm_x), self.norm_h.backward(da, norm_h)
        self.w_x.grad += x.T @ da_x
        self.w_h.grad += h_prev.T @ da_h
        self.b.grad += da.sum(axis=0)
        return da_x @ self.w_x.value.T, (da_h @ self.w_h.value.T, dc * f)

    def inner_gradients(self, dy: Float[Array, "B H"], dstate: State, cache: LayerNormLSTMCache) -> dict[str, Array]:
        dh, dc = dstate
        dh = dy + dh
        dm = dh * cache.o
        dc = dc + self.norm_c.input_gradient(dm * (1 - cache.m * cache.m), cache.norm_c)
        gates = {"i": dc * cache.g, "f": dc * cache.c_prev, "o": dh * cache.m, "g": dc * cache.i}
        return {"h": dh, "c": dc, **gates, "m": dm}
