"""The minimal GRU."""

from __future__ import annotations

from ..core import initializers
from ..core.arrays import Array, Float, Generator, Shaped, namespace, sigmoid
from ..core.checks import check_choice, check_rng, check_size
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import State
from ..kernels.candidates import CANDIDATES, candidate, through_candidate
from ..kernels.kernel import Kernel
from ..kernels.min_gru import KERNELS, MinGRUCache
from .base import Cell


class MinGRUCell(Cell):
    r"""The minimal GRU: one gate and a candidate, both computed from x alone, so that the recurrence is linear.

    Forward; the sum :math:`a_t` (B, 2H) has two parts, in the order z, n: update gate and candidate:

    .. math::
        a_t &= x_t W_x + b \\
        z_t &= \sigma(a^z_t), \qquad n_t = G(a^n_t) \\
        h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot n_t, \qquad y_t = h_t

    G is the identity, tanh, or the positive function of the paper, which is :math:`a + \tfrac{1}{2}` where
    :math:`a \ge 0`, and :math:`\sigma(a)` elsewhere. Only the last line depends on the step before, so the products are
    computed for whole blocks of steps. But such a layer cannot count modulo two, because its factors :math:`1 - z` are
    never negative.

    Backward, where :math:`dh_t` is the gradient from step :math:`t + 1`, and :math:`G'` for the three functions is 1;
    :math:`1 - n^2`; and :math:`n (1 - n)` below :math:`n = \tfrac{1}{2}`, else 1:

    .. math::
        \bar{dh}_t &= dy_t + dh_t \\
        dz_t &= \bar{dh}_t \odot (n_t - h_{t-1}), \qquad dn_t = \bar{dh}_t \odot z_t \\
        da^z_t &= dz_t \odot z_t \odot (1 - z_t), \qquad da^n_t = dn_t \odot G'(a^n_t) \\
        dW_x &\mathrel{+}= x_t^\top da_t, \qquad db \mathrel{+}= da_t \\
        dx_t &= da_t W_x^\top, \qquad dh_{t-1} = \bar{dh}_t \odot (1 - z_t)

    Args:
        in_size: D, features of x.
        out_size: H, units.
        rng: draws the weights.
        candidate: G, `"linear"`, `"tanh"` or `"positive"`.

    Parameters `w_x` (D, 2H), each block Glorot; `b` (2H,), 0. State `(h,)`, h (B, H).

    Raises:
        ValueError: a size is below 1, or `candidate` is none of these.
        TypeError: a size is not an integer, or `rng` is not a generator.

    References:
        Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, *Were RNNs All We Needed?*, 2024, arXiv 2410.01201.

    Example:
        >>> cell = MinGRUCell(3, 4, rng=np.random.default_rng(0))
        >>> ys, (h,) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, h.shape
        ((5, 2, 4), (2, 4))
    """

    gates = ("z", "n")

    def __init__(self, in_size: int, out_size: int, *, rng: Generator, candidate: str = "linear") -> None:
        in_size = check_size("MinGRUCell", "in_size", in_size)
        out_size = check_size("MinGRUCell", "out_size", out_size)
        check_rng("MinGRUCell", rng)
        check_choice("MinGRUCell", "candidate", candidate, *CANDIDATES)
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size,)
        self.candidate = candidate
        self.w_x = Parameter(initializers.blocks(initializers.glorot, (in_size, out_size), 2, rng=rng))
        self.b = Parameter(initializers.zeros((2 * out_size,)))

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, MinGRUCache]:
        (h_prev,) = state
        H = self.out_size
        a = x @ self.w_x.value + self.b.value
        z = sigmoid(a[:, :H])
        n = candidate(self.candidate, a[:, H:])
        h = (1 - z) * h_prev + z * n
        return h, (h,), MinGRUCache(x, h_prev, z, n)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: MinGRUCache
    ) -> tuple[Float[Array, "B D"], State]:
        x, h_prev, z, n = cache
        (dh,) = dstate
        dh = dy + dh
        dz, dn = dh * (n - h_prev), dh * z
        da_z = dz * z * (1 - z)
        da_n = through_candidate(self.candidate, dn, n)
        da = namespace(n).concatenate([da_z, da_n], axis=1)
        self.w_x.grad += x.T @ da
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (dh * (1 - z),)

    def inner_gradients(self, dy: Float[Array, "B H"], dstate: State, cache: MinGRUCache) -> dict[str, Array]:
        (dh,) = dstate
        dh = dy + dh
        return {"h": dh, "z": dh * (cache.n - cache.h_prev), "n": dh * cache.z}

    def kernel(self) -> Kernel | None:
        return KERNELS[self.candidate] if self.has_steps(*STEPS) else None


STEPS = MinGRUCell.step_forward, MinGRUCell.step_backward
"""The steps that the kernel computes."""
