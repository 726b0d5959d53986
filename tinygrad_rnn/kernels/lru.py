"""The linear recurrent unit over a whole sequence, forward and back: `kernels.plain.linear` of complex numbers.

Notation: T steps, B rows, D inputs, N complex units, H outputs. `hs` (T + 1, B, N) holds the states, `hs[0]` the one
before the sequence. A step has one product with the inputs, `w_x`, of which the first 2N columns go to the units and
the last H to the output, and one of the states, `w_y`; both are made for a block of steps at once. A gradient w.r.t. a
complex number is that w.r.t. its real part, plus i times that w.r.t. its imaginary part.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.arrays import Array, namespace
from ..core.one_hot import Input
from ..core.rows import Rows
from ..core.states import State
from .caches import check_call
from .kernel import Kernel
from .plain import linear
from .products import (
    add_gradient,
    back_over_rows,
    block_steps,
    blocks,
    input_gradient,
    input_side,
    no_input_gradient,
    of_rows,
    over_rows,
)
from .starts import before_steps
from .tables import with_tables


class LRUWeights(NamedTuple):
    """The weights, or their gradients."""

    nu: Array
    """(N,)."""
    theta: Array
    """(N,)."""
    gamma: Array
    """(N,)."""
    w_x: Array
    """(D, 2N + H)."""
    w_y: Array
    """(2N, H)."""


class LRUCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...); all but x are of N units."""

    x: Any
    re_prev: Array
    im_prev: Array
    v_re: Array
    v_im: Array
    re: Array
    im: Array


def eigenvalues(weights: LRUWeights) -> Array:
    """The factors (N,) of the states, complex: exp(-e^nu + i e^theta)."""
    xp = namespace(weights.nu)
    decay, phase = xp.exp(-xp.exp(weights.nu)), xp.exp(weights.theta)
    factors: Array = _complex(decay * xp.cos(phase), decay * xp.sin(phase))
    return factors


def _complex(re: Array, im: Array) -> Array:
    both: Array = namespace(re).empty(re.shape, np.result_type(re.dtype, np.complex64))
    both.real[...], both.imag[...] = re, im
    return both


def _parts(re: Array, im: Array) -> Array:
    """What `w_y` is multiplied with: the real parts, then the negative imaginary ones, (..., 2N)."""
    parts: Array = namespace(re).concatenate([re, -im], axis=-1)
    return parts


def forward(
    xs: Input, state: State, weights: LRUWeights, rows: Rows, begun: State | None
) -> tuple[Array, State, LRUCache]:
    """`xs` (T, B, D) and the state, two arrays (B, N), to the outputs (T, B, H), the last state and the cache.

    `begun` is the state where a document begins; None where `rows.starts` is.
    """
    (T, B, _), (re, im), (N2, H) = xs.shape, state, weights.w_y.shape
    xp, N, dtype = namespace(re), N2 // 2, re.dtype
    factors, gamma = eigenvalues(weights), xp.exp(weights.gamma)
    hs = xp.empty((T + 1, B, N), factors.dtype)
    hs[0] = _complex(re, im)
    h_prev, vs, ys = before_steps(hs, rows.starts), xp.empty_like(hs[1:]), xp.empty((T, B, H), dtype)
    start = None if begun is None else _complex(*begun)

    def run(part: slice) -> None:
        own_rows, own_start = rows.of_rows(part), None if start is None else start[part]
        own_hs, own_prev, own_vs, own_ys = (array[:, part] for array in (hs, h_prev, vs, ys))
        rows_here = own_ys.shape[1]
        project = input_side(xs[:, part], weights.w_x[None], xp.zeros((1, 1, N2 + H), dtype))
        for block in blocks(T, block_steps(T, rows_here, 2 * N2 + H, re)):
            sides = xp.empty((len(own_ys[block]), 1, rows_here, N2 + H), dtype)
            project(block, sides)
            v, y = own_vs[block], sides[:, 0, :, N2:]
            xp.multiply(sides[:, 0, :, :N], gamma, out=v.real)
            xp.multiply(sides[:, 0, :, N:N2], gamma, out=v.imag)
            a, states = xp.broadcast_to(factors, v.shape), own_hs[block.start : block.stop + 1]
            linear.forward_steps(a, v, states, own_prev[block], own_rows.of_steps(block), own_start)
            own_ys[block] = (_parts(states[1:].real, states[1:].imag).reshape(-1, N2) @ weights.w_y).reshape(y.shape)
            own_ys[block] += y

    over_rows(run, B, weights.w_x)
    last = hs[T]
    return ys, (last.real.copy(), last.imag.copy()), LRUCache(xs, h_prev.real, h_prev.imag, vs.real, vs.imag, hs[1:].real, hs[1:].imag)


def backward(
    dys: Array, dstate: State, cache: LRUCache, weights: LRUWeights, rows: Rows, gradients: LRUWeights
) -> tuple[Array | None, State, State | None]:
    """`dys` (T, B, H) and the gradient of the last state to `(dxs, dstate, dbegun)`; adds to `gradients`.

    `dys` is 0 where a row has ended. `dxs` is None for one-hot rows, and `dbegun` where `rows.starts` is.
    """
    (T, B, N), (N2, H) = cache.re.shape, weights.w_y.shape
    check_call(cache, cache.re, dstate, rows)
    if dys.shape != (T, B, H) or N2 != 2 * N:
        raise ValueError(
            f"LRUCache: these arrays are not of one call: re {cache.re.shape}, dys {dys.shape}, w_y "
            f"{weights.w_y.shape}; expected (T, B, N), (T, B, H) and (2N, H)"
        )
    xp, dh = namespace(dys), _complex(*dstate)
    factors, gamma = eigenvalues(weights), xp.exp(weights.gamma)
    dxs = no_input_gradient(cache.x, dys.dtype)
    dstart = None if rows.starts is None else xp.zeros_like(dh)

    def run(part: slice, *own_gradients: Array) -> tuple[Array]:
        totals, own_dys, own_dh = LRUWeights(*own_gradients), dys[:, part], dh[part].copy()
        steps, own_rows = LRUCache(*(values[:, part] for values in cache)), rows.of_rows(part)
        own_dstart = None if dstart is None else dstart[part]
        project_back, dfactors = input_gradient(of_rows(dxs, part), weights.w_x), xp.zeros_like(factors)
        for block in reversed(blocks(T, block_steps(T, own_dys.shape[1], 2 * N2 + H, dh))):
            dy, of_block = own_dys[block], LRUCache(*(values[block] for values in steps))
            x, re_prev, im_prev, v_re, v_im, re, im = of_block
            add_gradient(totals.w_y, _parts(re, im), dy)
            dparts = (dy.reshape(-1, H) @ weights.w_y.T).reshape(*dy.shape[:2], N2)
            dhs = _complex(dparts[..., :N], -dparts[..., N:])
            a = xp.broadcast_to(factors, dhs.shape)
            own_dh = linear.backward_steps(a, dhs, own_dh, own_rows.of_steps(block), own_dstart)
            dfactors += (_complex(re_prev, -im_prev) * dhs).sum(axis=(0, 1))
            totals.gamma[...] += (v_re * dhs.real + v_im * dhs.imag).sum(axis=(0, 1))
            dsides = xp.empty((*dy.shape[:2], N2 + H), dy.dtype)
            xp.multiply(dhs.real, gamma, out=dsides[..., :N])
            xp.multiply(dhs.imag, gamma, out=dsides[..., N:N2])
            dsides[..., N2:] = dy
            add_gradient(totals.w_x, x, dsides)
            project_back(block, dsides)
        dlog = xp.conj(factors) * dfactors  # w.r.t. the logarithm, -e^nu + i e^theta
        totals.nu[...] -= xp.exp(weights.nu) * dlog.real
        totals.theta[...] += xp.exp(weights.theta) * dlog.imag
        return (own_dh,)

    (dh_prev,) = back_over_rows(run, B, weights.w_x, gradients)
    dbegun = None if dstart is None else (dstart.real.copy(), dstart.imag.copy())
    return dxs, (dh_prev.real.copy(), dh_prev.imag.copy()), dbegun


KERNEL = with_tables(Kernel(LRUWeights, forward, backward, None))
"""The kernel of an `LRUCell`."""
