"""The minimal LSTM."""

from __future__ import annotations

from ..core import initializers
from ..core.arrays import Array, Float, Generator, Shaped, namespace
from ..core.checks import check_choice, check_rng, check_size
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import State
from ..kernels.candidates import CANDIDATES, candidate, through_candidate
from ..kernels.kernel import Kernel
from ..kernels.min_lstm import KERNELS, MinLSTMCache, share
from .base import Cell


class MinLSTMCell(Cell):
    r"""The minimal LSTM: an input and a forget gate, whose ratio matters, and a candidate, computed from x alone.

    Forward; the sum :math:`a_t` (B, 3H) has three parts, in the order f, i, n: forget gate, input gate and candidate;
    k is the share of the input gate:

    .. math::
        a_t &= x_t W_x + b \\
        f_t, i_t &= \sigma(a^f_t), \sigma(a^i_t), \qquad n_t = G(a^n_t) \\
        k_t &= \frac{i_t}{f_t + i_t} \\
        k_t &= \sigma\bigl(\log(1 + e^{-a^f_t}) - \log(1 + e^{-a^i_t})\bigr) \\
        h_t &= (1 - k_t) \odot h_{t-1} + k_t \odot n_t, \qquad y_t = h_t

    The code computes the second form of k, because the sum of two closed gates can be 0 in float32. G is as in
    `MinGRUCell`. Like it, this cell cannot count modulo two.

    Backward, where :math:`dh_t` is the gradient from step :math:`t + 1`, and :math:`d\ell_t` that w.r.t.
    :math:`\log(i_t / f_t)`:

    .. math::
        \bar{dh}_t &= dy_t + dh_t \\
        dk_t &= \bar{dh}_t \odot (n_t - h_{t-1}), \qquad dn_t = \bar{dh}_t \odot k_t \\
        d\ell_t &= dk_t \odot k_t \odot (1 - k_t) \\
        da^f_t &= -d\ell_t \odot (1 - f_t), \qquad da^i_t = d\ell_t \odot (1 - i_t) \\
        da^n_t &= dn_t \odot G'(a^n_t) \\
        dW_x &\mathrel{+}= x_t^\top da_t, \qquad db \mathrel{+}= da_t \\
        dx_t &= da_t W_x^\top, \qquad dh_{t-1} = \bar{dh}_t \odot (1 - k_t)

    Args:
        in_size: D, features of x.
        out_size: H, units.
        rng: draws the weights.
        candidate: G, `"linear"`, `"tanh"` or `"positive"`.

    Parameters `w_x` (D, 3H), each block Glorot; `b` (3H,), 0. State `(h,)`, h (B, H).

    Raises:
        ValueError: a size is below 1, or `candidate` is none of these.
        TypeError: a size is not an integer, or `rng` is not a generator.

    References:
        Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, *Were RNNs All We Needed?*, 2024, arXiv 2410.01201.

    Example:
        >>> cell = MinLSTMCell(3, 4, rng=np.random.default_rng(0))
        >>> ys, (h,) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, h.shape
        ((5, 2, 4), (2, 4))
    """

    gates = ("f", "i", "n")

    def __init__(self, in_size: int, out_size: int, *, rng: Generator, candidate: str = "linear") -> None:
        in_size = check_size("MinLSTMCell", "in_size", in_size)
        out_size = check_size("MinLSTMCell", "out_size", out_size)
        check_rng("MinLSTMCell", rng)
        check_choice("MinLSTMCell", "candidate", candidate, *CANDIDATES)
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size,)
        self.candidate = candidate
        self.w_x = Parameter(initializers.blocks(initializers.glorot, (in_size, out_size), 3, rng=rng))
        self.b = Parameter(initializers.zeros((3 * out_size,)))

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, MinLSTMCache]:
        (h_prev,) = state
        H = self.out_size
        a = x @ self.w_x.value + self.b.value
        f, i, k = share(a[:, :H], a[:, H : 2 * H])
        n = candidate(self.candidate, a[:, 2 * H :])
        h = (1 - k) * h_prev + k * n
        return h, (h,), MinLSTMCache(x, h_prev, f, i, n, k)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: MinLSTMCache
    ) -> tuple[Float[Array, "B D"], State]:
        x, h_prev, f, i, n, k = cache
        (dh,) = dstate
        dh = dy + dh
        dk, dn = dh * (n - h_prev), dh * k
        dl = dk * k * (1 - k)
        da_f, da_i = -dl * (1 - f), dl * (1 - i)
        da_n = through_candidate(self.candidate, dn, n)
        da = namespace(n).concatenate([da_f, da_i, da_n], axis=1)
        self.w_x.grad += x.T @ da
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (dh * (1 - k),)

    def inner_gradients(self, dy: Float[Array, "B H"], dstate: State, cache: MinLSTMCache) -> dict[str, Array]:
        (dh,) = dstate
        dh = dy + dh
        return {"h": dh, "n": dh * cache.k, "k": dh * (cache.n - cache.h_prev)}

    def kernel(self) -> Kernel | None:
        return KERNELS[self.candidate] if self.has_steps(*STEPS) else None


STEPS = MinLSTMCell.step_forward, MinLSTMCell.step_backward
"""The steps that the kernel computes."""
