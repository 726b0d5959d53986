"""The simple recurrent unit."""

from __future__ import annotations

from ..core import initializers
from ..core.arrays import Array, Float, Generator, Shaped, namespace, sigmoid
from ..core.checks import check_rng, check_size
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import Leaf, State, StateSpec
from ..kernels import sru
from ..kernels.kernel import Kernel
from ..kernels.sru import SRUCache
from .base import Cell


class SRUCell(Cell):
    r"""The simple recurrent unit: gates that see the input and their own unit's old value, and a highway.

    Forward; the sum :math:`a_t` (B, 4H) has four parts, in the order f, r, u, p: forget gate, reset gate, candidate,
    and highway, which goes around the unit. v has two parts, for f and r:

    .. math::
        a_t &= x_t W_x + b, \qquad u_t = a^u_t, \qquad p_t = a^p_t \\
        f_t &= \sigma(a^f_t + v^f \odot c_{t-1}) \\
        r_t &= \sigma(a^r_t + v^r \odot c_{t-1}) \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot u_t \\
        y_t &= r_t \odot \tanh(c_t) + (1 - r_t) \odot p_t

    Backward, where :math:`dc_t` is the gradient from step :math:`t + 1`:

    .. math::
        \bar{dc}_t &= dc_t + dy_t \odot r_t \odot (1 - \tanh^2(c_t)) \\
        df_t &= \bar{dc}_t \odot (c_{t-1} - u_t), \qquad dr_t = dy_t \odot (\tanh(c_t) - p_t) \\
        da^f_t &= df_t \odot f_t \odot (1 - f_t), \qquad da^r_t = dr_t \odot r_t \odot (1 - r_t) \\
        da^u_t &= \bar{dc}_t \odot (1 - f_t), \qquad da^p_t = dy_t \odot (1 - r_t) \\
        dW_x &\mathrel{+}= x_t^\top da_t, \qquad db \mathrel{+}= da_t \\
        dv^f &\mathrel{+}= c_{t-1} \odot da^f_t, \qquad dv^r \mathrel{+}= c_{t-1} \odot da^r_t \\
        dx_t &= da_t W_x^\top \\
        dc_{t-1} &= \bar{dc}_t \odot f_t + da^f_t \odot v^f + da^r_t \odot v^r

    Args:
        in_size: D, features of x.
        out_size: H, units.
        rng: draws the weights.

    Parameters `w_x` (D, 4H), each block Glorot; `v` (2H,), uniform from -1 to 1; `b` (4H,), 0. State `(c,)`, c (B, H).

    Raises:
        ValueError: a size is below 1.
        TypeError: a size is not an integer, or `rng` is not a generator.

    References:
        Lei, Zhang, Wang, Dai and Artzi, *Simple Recurrent Units for Highly Parallelizable Recurrence*, 2018. There,
        :math:`c_t` has no tanh (it had in the first version), and where D is H, x itself stands for p.

    Example:
        >>> cell = SRUCell(3, 4, rng=np.random.default_rng(0))
        >>> ys, (c,) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, c.shape
        ((5, 2, 4), (2, 4))
    """

    gates = ("f", "r", "u", "p")

    def __init__(self, in_size: int, out_size: int, *, rng: Generator) -> None:
        in_size = check_size("SRUCell", "in_size", in_size)
        out_size = check_size("SRUCell", "out_size", out_size)
        check_rng("SRUCell", rng)
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size,)
        self.w_x = Parameter(initializers.blocks(initializers.glorot, (in_size, out_size), 4, rng=rng))
        self.v = Parameter(initializers.uniform((2 * out_size,), rng=rng, limit=1.0))
        self.b = Parameter(initializers.zeros((4 * out_size,)))

    @property
    def state_spec(self) -> StateSpec:
        return (Leaf("c", (self.out_size,)),)

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, SRUCache]:
        (c_prev,) = state
        H, v = self.out_size, self.v.value
        a = x @ self.w_x.value + self.b.value
        f = sigmoid(a[:, :H] + v[:H] * c_prev)
        r = sigmoid(a[:, H : 2 * H] + v[H:] * c_prev)
        u, p = a[:, 2 * H : 3 * H], a[:, 3 * H :]
        c = f * c_prev + (1 - f) * u
        y = r * namespace(c).tanh(c) + (1 - r) * p
        return y, (c,), SRUCache(x, c_prev, f, r, u, p)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: SRUCache
    ) -> tuple[Float[Array, "B D"], State]:
        x, c_prev, f, r, u, p = cache
        (dc,) = dstate
        H, v, xp = self.out_size, self.v.value, namespace(f)
        tanh_c = xp.tanh(f * c_prev + (1 - f) * u)
        dc = dc + dy * r * (1 - tanh_c * tanh_c)
        df, dr = dc * (c_prev - u), dy * (tanh_c - p)
        da_f, da_r = df * f * (1 - f), dr * r * (1 - r)
        du, dp = dc * (1 - f), dy * (1 - r)
        da = xp.concatenate([da_f, da_r, du, dp], axis=1)
        self.w_x.grad += x.T @ da
        self.b.grad += da.sum(axis=0)
        self.v.grad[:H] += (c_prev * da_f).sum(axis=0)
        self.v.grad[H:] += (c_prev * da_r).sum(axis=0)
        return da @ self.w_x.value.T, (dc * f + da_f * v[:H] + da_r * v[H:],)

    def inner_gradients(self, dy: Float[Array, "B H"], dstate: State, cache: SRUCache) -> dict[str, Array]:
        _, c_prev, f, r, u, p = cache
        (dc,) = dstate
        tanh_c = namespace(f).tanh(f * c_prev + (1 - f) * u)
        dc = dc + dy * r * (1 - tanh_c * tanh_c)
        df, dr = dc * (c_prev - u), dy * (tanh_c - p)
        return {"c": dc, "f": df, "r": dr, "u": dc * (1 - f), "p": dy * (1 - r)}

    def kernel(self) -> Kernel | None:
        return sru.KERNEL if self.has_steps(*STEPS) else None


STEPS = SRUCell.step_forward, SRUCell.step_backward
"""The steps that the kernel computes."""
