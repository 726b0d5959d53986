"""The linear recurrent unit over a whole sequence, forward and back.

Notation: T steps, B rows, D inputs, N complex units, H outputs. `hs` (T + 1, B, N) holds the states, `hs[0]` the one
before the sequence. A step has one product with the inputs, `w_x`, of which the first 2N columns go to the units and
the last H to the output, and one of the states, `w_y`; both are made for a block of steps at once. A gradient w.r.t. a
complex number is that w.r.t. its real part, plus i times that w.r.t. its imaginary part.

From step to step, the state is in double precision, and so are the factors: one of size 0.999 remembers a thousand
steps, and would multiply its rounding error by as much. In float32, an output was wrong by 7e-6 after 16,384 steps.
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
from .starts import before_steps, begin_step_backward
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


def eigenvalues(nu: Array, theta: Array) -> Array:
    """The factors (N,) of the states, complex128: exp(-e^nu + i e^theta)."""
    xp, nu, theta = namespace(nu), nu.astype("float64"), theta.astype("float64")
    decay, phase = xp.exp(-xp.exp(nu)), xp.exp(theta)
    return _complex(decay * xp.cos(phase), decay * xp.sin(phase))


def _complex(re: Array, im: Array) -> Array:
    both: Array = namespace(re).empty(re.shape, np.result_type(re.dtype, np.complex64))
    both.real[...], both.imag[...] = re, im
    return both


def _parts(re: Array, im: Array) -> Array:
    """What `w_y` is multiplied with: the real parts, then the negative imaginary ones, (..., 2N)."""
    parts: Array = namespace(re).concatenate([re, -im], axis=-1)
    return parts


def _forward_steps(
    factors: Array, vs: Array, h: Array, hs: Array, h_prev: Array, rows: Rows, begun: Array | None
) -> None:
    """Set `hs` (steps, B, N) from `h` (B, N), complex128, which becomes the last state.

    `h_prev` is set where it is no view of the states.
    """
    xp, (_, active, starts) = namespace(h), rows
    for t in range(len(vs)):
        if starts is not None and begun is not None:
            xp.copyto(h, begun, where=starts[t][:, None])
            h_prev[t] = h
        if active is None:
            h *= factors
            h += vs[t]
        else:
            xp.copyto(h, h * factors + vs[t], where=active[t][:, None])  # past its end a row keeps its state
        hs[t] = h


def _backward_steps(factors: Array, dhs: Array, dh: Array, rows: Rows, dbegun: Array | None) -> None:
    """As `backward_steps` of `kernels.plain.linear`, with `dh` (B, N), complex128, in place."""
    xp, (_, active, starts) = namespace(dh), rows
    back = xp.conj(factors)
    for t in reversed(range(len(dhs))):
        if active is None:
            dh += dhs[t]
            dhs[t] = dh
            dh *= back
        else:
            running = active[t][:, None]  # through a row that has ended, dh goes straight
            whole = xp.where(running, dh + dhs[t], 0)
            dhs[t] = whole
            xp.copyto(dh, whole * back, where=running)
        if starts is not None and dbegun is not None:
            begin_step_backward(dh, dbegun, starts[t])


def forward(
    xs: Input, state: State, weights: LRUWeights, rows: Rows, begun: State | None
) -> tuple[Array, State, LRUCache]:
    """`xs` (T, B, D) and the state, two arrays (B, N), to the outputs (T, B, H), the last state and the cache.

    `begun` is the state where a document begins; None where `rows.starts` is.
    """
    (T, B, _), (re, im), (N2, H) = xs.shape, state, weights.w_y.shape
    xp, N, dtype = namespace(re), N2 // 2, re.dtype
    factors, gamma = eigenvalues(weights.nu, weights.theta), xp.exp(weights.gamma)
    first = _complex(re, im)
    hs = xp.empty((T + 1, B, N), first.dtype)
    hs[0] = first
    h_prev, vs, ys = before_steps(hs, rows.starts), xp.empty_like(hs[1:]), xp.empty((T, B, H), dtype)
    start = None if begun is None else _complex(*begun)

    def run(part: slice) -> None:
        own_rows, own_start = rows.of_rows(part), None if start is None else start[part]
        own_hs, own_prev, own_vs, own_ys = (array[:, part] for array in (hs, h_prev, vs, ys))
        rows_here, h = own_ys.shape[1], first[part].astype("complex128")
        project = input_side(xs[:, part], weights.w_x[None], None)
        for block in _blocks(own_ys, N):
            sides = xp.empty((len(own_ys[block]), 1, rows_here, N2 + H), dtype)
            project(block, sides)
            v, y = own_vs[block], sides[:, 0, :, N2:]
            xp.multiply(sides[:, 0, :, :N], gamma, out=v.real)
            xp.multiply(sides[:, 0, :, N:N2], gamma, out=v.imag)
            states = own_hs[1:][block]
            _forward_steps(factors, v, h, states, own_prev[block], own_rows.of_steps(block), own_start)
            own_ys[block] = (_parts(states.real, states.imag).reshape(-1, N2) @ weights.w_y).reshape(y.shape)
            own_ys[block] += y

    over_rows(run, B, weights.w_x)
    last = hs[T]
    return (
        ys,
        (last.real.copy(), last.imag.copy()),
        LRUCache(xs, h_prev.real, h_prev.imag, vs.real, vs.imag, hs[1:].real, hs[1:].imag),
    )


def backward(
    dys: Array, dstate: State, cache: LRUCache, weights: LRUWeights, rows: Rows, gradients: LRUWeights
) -> tuple[Array | None, State, State | None]:
    """`dys` (T, B, H) and the gradient of the last state to `(dxs, dstate, dbegun)`; adds to `gradients`.

    `dys` is 0 where a row has ended. `dxs` is None for one-hot rows, and `dbegun` where `rows.starts` is.
    """
    (_, B, N), (N2, H) = cache.re.shape, weights.w_y.shape
    check_call(cache, dys, dstate, rows, width=H)
    xp, dh = namespace(dys), _complex(*dstate).astype("complex128")
    factors, gamma = eigenvalues(weights.nu, weights.theta), xp.exp(weights.gamma)
    dxs = no_input_gradient(cache.x, dys.dtype)
    dstart = None if rows.starts is None else xp.zeros(dh.shape, dh.dtype)

    def run(part: slice, *own_gradients: Array) -> tuple[Array]:
        totals, own_dys, own_dh = LRUWeights(*own_gradients), dys[:, part], dh[part].copy()
        steps, own_rows = LRUCache(*(values[:, part] for values in cache)), rows.of_rows(part)
        own_dstart = None if dstart is None else dstart[part]
        project_back, dfactors = input_gradient(of_rows(dxs, part), weights.w_x), xp.zeros_like(factors)
        for block in reversed(_blocks(own_dys, N)):
            dy, of_block = own_dys[block], LRUCache(*(values[block] for values in steps))
            x, re_prev, im_prev, v_re, v_im, re, im = of_block
            add_gradient(totals.w_y, _parts(re, im), dy)
            dparts = (dy.reshape(-1, H) @ weights.w_y.T).reshape(*dy.shape[:2], N2)
            dhs = _complex(dparts[..., :N], -dparts[..., N:])
            _backward_steps(factors, dhs, own_dh, own_rows.of_steps(block), own_dstart)
            dfactors += (_complex(re_prev, -im_prev) * dhs).sum(axis=(0, 1))
            totals.gamma[...] += (v_re * dhs.real + v_im * dhs.imag).sum(axis=(0, 1))
            dsides = xp.empty((*dy.shape[:2], N2 + H), dy.dtype)
            xp.multiply(dhs.real, gamma, out=dsides[..., :N])
            xp.multiply(dhs.imag, gamma, out=dsides[..., N:N2])
            dsides[..., N2:] = dy
            add_gradient(totals.w_x, x, dsides)
            project_back(block, dsides)
        dlog = xp.conj(factors) * dfactors  # w.r.t. the logarithm, -e^nu + i e^theta
        totals.nu[...] -= (xp.exp(weights.nu) * dlog.real).astype(dys.dtype)
        totals.theta[...] += (xp.exp(weights.theta) * dlog.imag).astype(dys.dtype)
        return (own_dh,)

    (dh_prev,) = back_over_rows(run, B, weights.w_x, gradients)
    dbegun = None if dstart is None else tuple(part.astype(dys.dtype) for part in (dstart.real, dstart.imag))
    return dxs, (dh_prev.real.astype(dys.dtype), dh_prev.imag.astype(dys.dtype)), dbegun


def _blocks(outputs: Array, N: int) -> list[slice]:
    """The steps of `outputs` (T, B, H) in blocks, each with a row of two complex states and what goes into one."""
    T, B, H = outputs.shape
    return blocks(T, block_steps(T, B, 4 * N + H, outputs))


KERNEL = with_tables(Kernel(LRUWeights, forward, backward, None))
"""The kernel of an `LRUCell`."""
