"""The linear recurrent unit."""

from __future__ import annotations

import math

from ..core import initializers
from ..core.arrays import Array, Float, Generator, Shaped, namespace
from ..core.checks import check_rng, check_size
from ..core.initializers import check_ring
from ..core.one_hot import Input
from ..core.parameter import Parameter
from ..core.states import Leaf, State, StateSpec
from ..kernels import lru
from ..kernels.kernel import Kernel
from ..kernels.lru import LRUCache
from .base import Cell


class LRUCell(Cell):
    r"""The linear recurrent unit: complex states that turn and fade, each at its own rate, and a linear output.

    Forward; h (B, N) is complex, and so are the matrices :math:`W_B` (D, N) and :math:`W_C` (N, H). :math:`W_D` (D, H)
    leads from x straight to y. They are B, C and D in the paper:

    .. math::
        \lambda &= \exp(-e^{\nu} + i\, e^{\theta}) \\
        v_t &= e^{\gamma} \odot (x_t W_B) \\
        h_t &= \lambda \odot h_{t-1} + v_t \\
        y_t &= \mathrm{Re}(h_t W_C) + x_t W_D

    The absolute value of a :math:`\lambda` is below 1 for every :math:`\nu`. The state is two real arrays, the real and
    the imaginary parts of h.

    Backward, where :math:`dh_t` is the gradient from step :math:`t + 1`, and :math:`g_t` the whole gradient w.r.t.
    :math:`h_t`. A bar is the complex conjugate. The gradient w.r.t. a complex number is the one w.r.t. its real part,
    plus i times the one w.r.t. its imaginary part:

    .. math::
        g_t &= dy_t\, \overline{W}_C^\top + dh_t \\
        d\lambda &\mathrel{+}= \overline{h}_{t-1} \odot g_t, \qquad
            d\gamma \mathrel{+}= \mathrm{Re}(\overline{v}_t \odot g_t) \\
        d\nu &= -e^{\nu} \odot \mathrm{Re}(\overline{\lambda} \odot d\lambda) \\
        d\theta &= e^{\theta} \odot \mathrm{Im}(\overline{\lambda} \odot d\lambda) \\
        dW_B &\mathrel{+}= x_t^\top (e^{\gamma} \odot g_t), \qquad dW_C \mathrel{+}= \overline{h}_t^\top dy_t \\
        dW_D &\mathrel{+}= x_t^\top dy_t \\
        dx_t &= \mathrm{Re}\bigl((e^{\gamma} \odot g_t) \overline{W}_B^\top\bigr) + dy_t W_D^\top \\
        dh_{t-1} &= \overline{\lambda} \odot g_t

    Args:
        in_size: D, features of x.
        out_size: H, features of y.
        units: N, complex units; H of them if it is None.
        rng: draws the weights.
        r_min: the least absolute value of a :math:`\lambda` at first, from 0 on.
        r_max: the largest, below 1. They are uniform in the ring between the two. Close to 1, the state lasts long.
        max_phase: the largest angle of a :math:`\lambda` at first, in radians, above 0 and up to 2π; the angles are
            uniform. Close to 0, all are close to being positive numbers.

    Parameters `nu`, `theta` and `gamma` (N,); at first, :math:`e^{\gamma} = \sqrt{1 - r^2}` for a :math:`\lambda` of
    absolute value r, so that a unit is as large as its inputs. `w_x` (D, 2N + H), the real part of :math:`W_B`, its
    imaginary part and :math:`W_D`, normal with variance 1 / D; `w_y` (2N, H), both parts of :math:`W_C`, normal with
    variance 1 / 2N. State `(re, im)`, each (B, N).

    Raises:
        ValueError: a size is below 1, or `r_min`, `r_max` or `max_phase` is outside its range.
        TypeError: a size is not an integer, another argument is not a number, or `rng` is not a generator.

    References:
        Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu and De, *Resurrecting Recurrent Neural Networks for Long
        Sequences*, 2023, arXiv 2303.06349. There, :math:`W_D` is diagonal.

    Example:
        >>> cell = LRUCell(3, 4, units=6, rng=np.random.default_rng(0))
        >>> ys, (re, im) = cell(np.zeros((5, 2, 3), np.float32))
        >>> ys.shape, re.shape, im.shape
        ((5, 2, 4), (2, 6), (2, 6))
    """

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        units: int | None = None,
        rng: Generator,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = 2 * math.pi,
    ) -> None:
        in_size = check_size("LRUCell", "in_size", in_size)
        out_size = check_size("LRUCell", "out_size", out_size)
        units = out_size if units is None else check_size("LRUCell", "units", units)
        check_rng("LRUCell", rng)
        self.in_size, self.out_size, self.state_sizes, self.units = in_size, out_size, (units, units), units
        ring = check_ring("LRUCell", r_min, r_max, max_phase)
        self.r_min, self.r_max, self.max_phase = r_min, r_max, max_phase = ring
        nu, theta, gamma = initializers.ring(units, rng=rng, r_min=r_min, r_max=r_max, max_phase=max_phase)
        self.nu, self.theta, self.gamma = Parameter(nu), Parameter(theta), Parameter(gamma)
        shapes = (in_size, 2 * units + out_size), (2 * units, out_size)
        self.w_x, self.w_y = (
            Parameter(initializers.normal(shape, rng=rng, std=1 / math.sqrt(shape[0]))) for shape in shapes
        )

    @property
    def state_spec(self) -> StateSpec:
        return Leaf("re", (self.units,)), Leaf("im", (self.units,))

    def step_forward(
        self, x: Shaped[Input, "B D"], state: State, *, training: bool = True
    ) -> tuple[Float[Array, "B H"], State, LRUCache]:
        re_prev, im_prev = state
        N, (re_factor, im_factor) = self.units, self._factors()
        sides = x @ self.w_x.value
        gamma = namespace(sides).exp(self.gamma.value)
        v_re, v_im = gamma * sides[:, :N], gamma * sides[:, N : 2 * N]
        re = re_factor * re_prev - im_factor * im_prev + v_re
        im = re_factor * im_prev + im_factor * re_prev + v_im
        y = re @ self.w_y.value[:N] - im @ self.w_y.value[N:] + sides[:, 2 * N :]
        return y, (re, im), LRUCache(x, re_prev, im_prev, v_re, v_im, re, im)

    def step_backward(
        self, dy: Float[Array, "B H"], dstate: State, cache: LRUCache
    ) -> tuple[Float[Array, "B D"], State]:
        x, _, _, v_re, v_im, re, im = cache
        dre, dim = dstate
        xp, N, (re_factor, im_factor) = namespace(re), self.units, self._factors()
        dre, dim = dre + dy @ self.w_y.value[:N].T, dim - dy @ self.w_y.value[N:].T
        self.w_y.grad[:N] += re.T @ dy
        self.w_y.grad[N:] -= im.T @ dy

        # w.r.t. the logarithm of lambda: the conjugate of lambda * h_{t-1}, times that w.r.t. h_t.
        turned_re, turned_im = re - v_re, im - v_im
        self.nu.grad -= xp.exp(self.nu.value) * (turned_re * dre + turned_im * dim).sum(axis=0)
        self.theta.grad += xp.exp(self.theta.value) * (turned_re * dim - turned_im * dre).sum(axis=0)
        self.gamma.grad += (v_re * dre + v_im * dim).sum(axis=0)
        gamma = xp.exp(self.gamma.value)
        dsides = xp.concatenate([gamma * dre, gamma * dim, dy], axis=1)
        self.w_x.grad += x.T @ dsides
        dstate = re_factor * dre + im_factor * dim, re_factor * dim - im_factor * dre
        return dsides @ self.w_x.value.T, dstate

    def inner_gradients(self, dy: Float[Array, "B H"], dstate: State, cache: LRUCache) -> dict[str, Array]:
        N, w_y, (dre, dim) = self.units, self.w_y.value, dstate
        return {"re": dre + dy @ w_y[:N].T, "im": dim - dy @ w_y[N:].T}

    def _factors(self) -> tuple[Array, Array]:
        """The real and the imaginary part of lambda (N,)."""
        xp = namespace(self.nu.value)
        size, phase = xp.exp(-xp.exp(self.nu.value)), xp.exp(self.theta.value)
        return size * xp.cos(phase), size * xp.sin(phase)

    def kernel(self) -> Kernel | None:
        return lru.KERNEL if self.has_steps(*STEPS) else None


STEPS = LRUCell.step_forward, LRUCell.step_backward
"""The steps that the kernel computes."""
