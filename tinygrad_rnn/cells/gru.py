"""The gated recurrent unit."""

from __future__ import annotations

from typing import Any

from ..core import initializers
from ..core.arguments import check_bool
from ..core.arrays import Array, Float, Generator, Shaped, namespace, sigmoid
from ..core.checks import check_choice, check_rng, check_size
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import State
from ..kernels import gru
from ..kernels.caches import GRUCache
from ..kernels.kernel import Kernel
from .base import Cell


class GRUCell(Cell):
    r"""The gated recurrent unit: gate z mixes the old state with a candidate n, and gate r scales the old state in n.

    Forward, with :math:`\sigma(a) = 1 / (1 + e^{-a})`; the columns of :math:`W_x`, :math:`W_h` and :math:`b` are three
    blocks: reset gate r, update gate z and candidate n:

    .. math::
        r_t &= \sigma(x_t W_{xr} + h_{t-1} W_{hr} + b_r) \\
        z_t &= \sigma(x_t W_{xz} + h_{t-1} W_{hz} + b_z) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}, \qquad y_t = h_t

    The candidate sees the old state after a reset, :math:`q_t = r_t \odot m_t`. The reset comes after the product with
    :math:`W_{hn}`, as in cuDNN and PyTorch:

    .. math::
        m_t &= h_{t-1} W_{hn} + b_h \\
        n_t &= \tanh(x_t W_{xn} + b_n + r_t \odot m_t)

    or before it, as in the paper:

    .. math::
        m_t &= h_{t-1} \\
        n_t &= \tanh(x_t W_{xn} + b_n + (r_t \odot m_t) W_{hn})

    Backward, where :math:`dh_t` is the gradient from step :math:`t + 1`, and :math:`a_t` are the arguments of the three
    functions above:

    .. math::
        \bar{dh}_t &= dy_t + dh_t \\
        dn_t &= \bar{dh}_t \odot (1 - z_t), \qquad dz_t = \bar{dh}_t \odot (h_{t-1} - n_t) \\
        dr_t &= dq_t \odot m_t, \qquad dm_t = dq_t \odot r_t \\
        da^n_t &= dn_t \odot (1 - n_t^2) \\
        da^z_t &= dz_t \odot z_t \odot (1 - z_t) \\
        da^r_t &= dr_t \odot r_t \odot (1 - r_t) \\
        da_t &= (da^r_t, da^z_t, da^n_t), \qquad dx_t = da_t W_x^\top \\
        dW_x &\mathrel{+}= x_t^\top da_t, \qquad db \mathrel{+}= da_t \\
        dW_{hr} &\mathrel{+}= h_{t-1}^\top da^r_t, \qquad dW_{hz} \mathrel{+}= h_{t-1}^\top da^z_t \\
        dh_{t-1} &= \bar{dh}_t \odot z_t + da^r_t W_{hr}^\top + da^z_t W_{hz}^\top

    with, for the reset after the product,

    .. math::
        dq_t &= da^n_t \\
        dh_{t-1} &\mathrel{+}= dm_t W_{hn}^\top \\
        dW_{hn} &\mathrel{+}= h_{t-1}^\top dm_t, \qquad db_h \mathrel{+}= dm_t

    and, for the reset before it,

    .. math::
        dq_t &= da^n_t W_{hn}^\top \\
        dh_{t-1} &\mathrel{+}= dm_t \\
        dW_{hn} &\mathrel{+}= q_t^\top da^n_t

    With the reset after the product, a kernel runs the whole sequence; with the reset before it, the cell runs step by
    step.

    Args:
        in_size: D, features of x.
        out_size: H, units.
        rng: draws the weights.
        reset: `"after"` or `"before"` the product.
        bias: whether there are biases.

    Parameters `w_x` (D, 3H), each block Glorot; `w_h` (H, 3H), each block orthogonal; `b` (3H,), 0; with the reset
    after the product also `b_h` (H,), 0. With `bias=False`, both are None. State `(h,)`, h (B, H).

    Raises:
        ValueError: a size is below 1, or `reset` is neither of these.
        TypeError: a size is not an integer, `rng` is not a generator, or `bias` is not a bool.

    References:
        Cho et al., *Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation*,
        2014. The reset after the product: Appleyard, Kočiský and Blunsom, *Optimizing Performance of Recurrent Neural
        Networks on GPUs*, 2016.

    Example:
        >>> cell = GRUCell(3, 4, rng=np.random.default_rng(0))
        >>> ys, (h,) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, h.shape
        ((5, 2, 4), (2, 4))
    """

    gates = ("r", "z", "n")

    def __init__(self, in_size: int, out_size: int, *, rng: Generator, reset: str = "after", bias: bool = True) -> None:
        in_size = check_size("GRUCell", "in_size", in_size)
        out_size = check_size("GRUCell", "out_size", out_size)
        check_rng("GRUCell", rng)
        check_choice("GRUCell", "reset", reset, "after", "before")
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size,)
        self.reset, self.bias = reset, check_bool("GRUCell", "bias", bias)
        self.w_x = Parameter(initializers.blocks(initializers.glorot, (in_size, out_size), 3, rng=rng))
        self.w_h = Parameter(initializers.blocks(initializers.orthogonal, (out_size, out_size), 3, rng=rng))
        self.b: Any = Parameter(initializers.zeros((3 * out_size,))) if bias else None  # Any: with a bias, none asks
        self.b_h: Any = Parameter(initializers.zeros((out_size,))) if bias and reset == "after" else None

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, GRUCache]:
        (h_prev,) = state
        H, w_h = self.out_size, self.w_h.value
        a = x @ self.w_x.value
        if self.b is not None:
            a += self.b.value
        xp = namespace(a)
        if self.reset == "after":
            from_h = h_prev @ w_h
            rz = sigmoid(a[:, : 2 * H] + from_h[:, : 2 * H])
            r, z = rz[:, :H], rz[:, H:]
            m = from_h[:, 2 * H :] if self.b_h is None else from_h[:, 2 * H :] + self.b_h.value
            n = xp.tanh(a[:, 2 * H :] + r * m)
        else:
            rz = sigmoid(a[:, : 2 * H] + h_prev @ w_h[:, : 2 * H])
            r, z = rz[:, :H], rz[:, H:]
            m = h_prev
            n = xp.tanh(a[:, 2 * H :] + (r * m) @ w_h[:, 2 * H :])
        h = (1 - z) * n + z * h_prev
        return h, (h,), GRUCache(x, h_prev, r, z, n, m)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: GRUCache
    ) -> tuple[Float[Array, "B D"], State]:
        x, h_prev, r, z, n, m = cache
        (dh,) = dstate
        H, xp = self.out_size, namespace(n)
        w_rz, w_n = self.w_h.value[:, : 2 * H], self.w_h.value[:, 2 * H :]
        dw_rz, dw_n = self.w_h.grad[:, : 2 * H], self.w_h.grad[:, 2 * H :]
        dh = dy + dh
        dn, dz = dh * (1 - z), dh * (h_prev - n)
        da_n = dn * (1 - n * n)
        dq = da_n if self.reset == "after" else da_n @ w_n.T
        dr, dm = dq * m, dq * r
        da_z = dz * z * (1 - z)
        da_r = dr * r * (1 - r)
        da_rz = xp.concatenate([da_r, da_z], axis=1)
        da = xp.concatenate([da_rz, da_n], axis=1)
        self.w_x.grad += x.T @ da
        if self.b is not None:
            self.b.grad += da.sum(axis=0)
        dw_rz += h_prev.T @ da_rz
        dh_prev = dh * z + da_rz @ w_rz.T
        if self.reset == "after":
            dw_n += h_prev.T @ dm
            if self.b_h is not None:
                self.b_h.grad += dm.sum(axis=0)
            dh_prev += dm @ w_n.T
        else:
            dw_n += (r * m).T @ da_n
            dh_prev += dm
        return da @ self.w_x.value.T, (dh_prev,)

    def inner_gradients(self, dy: Float[Array, "B H"], dstate: State, cache: GRUCache) -> dict[str, Array]:
        _, h_prev, r, z, n, m = cache
        (dh,) = dstate
        dh = dy + dh
        dn = dh * (1 - z)
        dq = dn * (1 - n * n)
        if self.reset == "before":
            dq = dq @ self.w_h.value[:, 2 * self.out_size :].T
        return {"h": dh, "r": dq * m, "z": dh * (h_prev - n), "n": dn, "m": dq * r}

    def kernel(self) -> Kernel | None:
        return gru.KERNEL if self.reset == "after" and self.has_steps(*STEPS) else None


STEPS = GRUCell.step_forward, GRUCell.step_backward
"""The steps that the kernel computes, with the reset after the product."""
