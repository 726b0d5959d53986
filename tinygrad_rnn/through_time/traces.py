"""RTRL of cells whose units do not see each other's states: a trace for each parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..cells.base import Cell
from ..cells.ind_rnn import IndRNNCell
from ..cells.lru import LRUCell
from ..cells.min_gru import MinGRUCell
from ..cells.min_lstm import MinLSTMCell
from ..cells.sru import SRUCell
from ..core.arrays import namespace, select
from ..core.one_hot import OneHotRows
from ..core.roles import Recurrent
from ..kernels.candidates import through_candidate
from ..kernels.lru import eigenvalues
from ..models.sequential import Sequential
from .forward_mode import ForwardMode
from .numbers import Numbers


class Traces(ForwardMode):
    r"""The exact gradient of a cell without a product with the state, by one trace for each parameter.

    If no unit sees the state of another, the influence of `RTRL` is 0, except that of each parameter on its own unit.
    This part has the size of the parameters, and follows the recurrence of the cell itself, with
    :math:`a_t = \partial h_t / \partial h_{t-1}`, a number for each unit:

    .. math::
        e_t = a_t \odot e_{t-1} + \frac{\partial h_t}{\partial w}, \qquad
        \frac{dL_t}{dw} = \frac{\partial L_t}{\partial w} + \frac{\partial L_t}{\partial h_{t-1}} \odot e_{t-1}

    So this is `RTRL`, exact over all batches, with a memory of P numbers a row, and a few operations on each of them in
    a step. With 128 units and 64 steps it takes ten times as long as `BPTT`; `RTRL` takes a hundred times with 32. The
    derivatives are written out for each cell. The traces of an `LRUCell` are complex.

    The model is one `MinGRUCell`, `MinLSTMCell`, `IndRNNCell`, `SRUCell` or `LRUCell`; before it there may be layers
    without parameters, after it any without a state. In a stack a trace would see only its own cell, and be biased: use
    `RTRL`, which is exact there.

    The carry is `(state, (traces,))`, each trace (B, ...) with the shape of its parameter.

    Raises:
        TypeError: in a call, the model is another, or a layer below the cell has parameters.

    References:
        Zucchet, Meier, Schug, Mujika and Sacramento, *Online learning of long-range dependencies*, 2023. For gated
        cells without recurrent weights: Irie, Gopalakrishnan and Schmidhuber, *Exploring the Promise and Limits of
        Real-Time Recurrent Learning*, 2024.

    Example:
        >>> from tinygrad_rnn.through_time import Traces
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), MinGRUCell(5, 4, rng=rng), Linear(4, 5, rng=rng))
        >>> ids, carry = rng.integers(0, 5, (10, 2)), None
        >>> for t in range(9):  # one step a batch
        ...     batch = Batch(ids[t : t + 1], ids[t + 1 : t + 2])
        ...     loss, ys, carry = Traces()(model, SoftmaxCrossEntropy(), batch, carry)
        >>> state, ((of_w_x, of_b),) = carry
        >>> of_w_x.shape, of_b.shape
        ((2, 5, 8), (2, 8))
    """

    def check_core(self, core: Recurrent, output: int | None) -> None:
        cell = _cell_of(core)
        kind = type(cell)
        if kind not in KINDS or not cell.has_steps(kind.step_forward, kind.step_backward):
            names = ", ".join(known.__name__ for known in KINDS)
            raise TypeError(f"{self!r}: {cell!r} is none of {names}, whose traces are known: use RTRL()")
        below: Any = core.layers[:-1] if isinstance(core, Sequential) else []
        for layer in below:
            if layer.parameters() or isinstance(layer, Recurrent):
                raise TypeError(
                    f"{self!r}: {layer!r}, below {cell!r}, reaches all of its units, and one trace for each parameter "
                    "does not hold that. In place of an Embedding take OneHot; or use RTRL()"
                )

    def initial(self, numbers: Numbers) -> Any:
        return None  # no parameter has reached the state

    def first(self, numbers: Numbers, initial: Any) -> tuple[Any, ...]:
        cell = _cell_of(numbers.core)
        return (tuple(numbers.zeros(numbers.batch, *shape) for shape in KINDS[type(cell)].shapes(cell)),)

    def begin(self, memory: tuple[Any, ...], flags: Any, initial: Any) -> tuple[Any, ...]:
        return (tuple(select(~flags, trace, 0) for trace in memory[0]),)

    def credit(self, numbers: Numbers, memory: tuple[Any, ...], dbefore: Any) -> Any:
        cell = _cell_of(numbers.core)
        found = KINDS[type(cell)].gradients(cell, memory[0], dbefore)
        parts = [found.get(name, p.grad).reshape(-1) for name, p in cell.named_parameters()]  # else they are 0 here
        return numbers.xp.concatenate(parts)

    def advance(self, numbers: Numbers, memory: tuple[Any, ...], cache: Any) -> tuple[Any, ...]:
        cell = _cell_of(numbers.core)
        return (KINDS[type(cell)].advance(cell, memory[0], cache if cell is numbers.core else cache[-1]),)


def _cell_of(core: Any) -> Any:
    """The last layer of the core, which has a state."""
    return core.layers[-1] if isinstance(core, Sequential) else core


class Slopes(NamedTuple):
    """Of one step, the derivatives of the state of each unit."""

    factor: Any
    """(B, H), w.r.t. the last state of the unit."""
    sums: list[Any]
    """(B, H) each, w.r.t. the sums x @ w_x + b, block by block; 0 is a number."""
    own: list[Any]
    """(B, H) each, w.r.t. the unit's numbers in another parameter, block by block."""


def _min_gru(cell: Any, cache: Any) -> Slopes:
    _, h_prev, z, n = cache
    return Slopes(1 - z, [(n - h_prev) * z * (1 - z), through_candidate(cell.candidate, z, n)], [])


def _min_lstm(cell: Any, cache: Any) -> Slopes:
    _, h_prev, f, i, n, k = cache
    dl = (n - h_prev) * k * (1 - k)
    return Slopes(1 - k, [-dl * (1 - f), dl * (1 - i), through_candidate(cell.candidate, k, n)], [])


def _ind_rnn(cell: Any, cache: Any) -> Slopes:
    _, h_prev, h = cache
    slope = 1 - h * h if cell.nonlinearity == "tanh" else (h > 0).astype(h.dtype)
    return Slopes(slope * cell.u.value, [slope], [h_prev * slope])


def _sru(cell: Any, cache: Any) -> Slopes:
    _, c_prev, f, _, u, _ = cache
    da_f, none = (c_prev - u) * f * (1 - f), 0 * f
    return Slopes(f + da_f * cell.v.value[: cell.out_size], [da_f, none, 1 - f, none], [c_prev * da_f, none])


class UnitTraces(NamedTuple):
    """Of a cell with one number of state a unit."""

    slopes: Callable[[Any, Any], Slopes]
    """`(cell, cache)` to its `Slopes`."""
    names: tuple[str, ...] = ("w_x", "b")
    """Those of its parameters that have traces."""

    def shapes(self, cell: Any) -> list[tuple[int, ...]]:
        """The shapes of the traces, without the batch."""
        return [getattr(cell, name).shape for name in self.names]

    def advance(self, cell: Any, traces: tuple[Any, ...], cache: Any) -> tuple[Any, ...]:
        """The traces after a step."""
        factor, sums, own = self.slopes(cell, cache)
        xp = namespace(factor)
        da = xp.concatenate(sums, axis=1)
        direct = [_dense(cache.x, factor)[:, :, None] * da[:, None], da]
        if own:
            direct.append(xp.concatenate(own, axis=1))
        return tuple(_of_blocks(factor, trace) * trace + d for trace, d in zip(traces, direct, strict=True))

    def gradients(self, cell: Any, traces: tuple[Any, ...], dh: Any) -> dict[str, Any]:
        """The gradients of the parameters by their names, from that w.r.t. the state (B, H)."""
        each = zip(self.names, traces, strict=True)
        return {name: (_of_blocks(dh, trace) * trace).sum(axis=0) for name, trace in each}


def _of_blocks(units: Any, trace: Any) -> Any:
    """Numbers of units (B, H), repeated for each block of the columns of a trace (B, ..., G*H)."""
    repeated = namespace(units).tile(units, (1, trace.shape[-1] // units.shape[1]))
    return repeated[:, None] if trace.ndim == 3 else repeated


class LRUTraces:
    """Of an `LRUCell`: by lambda, by gamma and by the complex B, of each the real and the imaginary part."""

    def shapes(self, cell: Any) -> list[tuple[int, ...]]:
        """As in `UnitTraces`."""
        N = cell.units
        return [(N,), (N,), (N,), (N,), (cell.in_size, N), (cell.in_size, N)]

    def advance(self, cell: Any, traces: tuple[Any, ...], cache: Any) -> tuple[Any, ...]:
        """As in `UnitTraces`."""
        x, re_prev, im_prev, v_re, v_im, _, _ = cache
        factor, gamma = eigenvalues(cell.nu.value, cell.theta.value), namespace(v_re).exp(cell.gamma.value)
        by_b = gamma * _dense(x, re_prev)[:, :, None]
        parts: list[Any] = []
        for k, (re, im) in enumerate(((re_prev, im_prev), (v_re, v_im), (by_b, 0))):
            trace = factor * (traces[2 * k] + 1j * traces[2 * k + 1])
            parts += [(trace.real + re).astype(re_prev.dtype), (trace.imag + im).astype(re_prev.dtype)]
        return tuple(parts)

    def gradients(self, cell: Any, traces: tuple[Any, ...], dh: Any) -> dict[str, Any]:
        """As in `UnitTraces`: that of a complex number is that of the state times the conjugate of the trace."""
        xp, N, factor = namespace(dh), cell.units, eigenvalues(cell.nu.value, cell.theta.value)
        dh = dh[:, :N] + 1j * dh[:, N:]
        dfactor, dgamma, db = (
            (each * (re - 1j * im)).sum(axis=0)
            for each, re, im in zip((dh, dh, dh[:, None]), traces[::2], traces[1::2], strict=True)
        )
        dlog = xp.conj(factor) * dfactor
        dw_x = xp.zeros(cell.w_x.shape, dgamma.real.dtype)
        dw_x[:, :N], dw_x[:, N : 2 * N] = db.real, db.imag
        return {
            "nu": -xp.exp(cell.nu.value) * dlog.real,
            "theta": xp.exp(cell.theta.value) * dlog.imag,
            "gamma": dgamma.real,
            "w_x": dw_x,
        }


def _dense(x: Any, like: Any) -> Any:
    """Inputs (B, D), of one-hot rows too."""
    return x @ namespace(like).eye(x.size, dtype=like.dtype) if isinstance(x, OneHotRows) else x


KINDS: dict[type[Cell], UnitTraces | LRUTraces] = {
    MinGRUCell: UnitTraces(_min_gru),
    MinLSTMCell: UnitTraces(_min_lstm),
    IndRNNCell: UnitTraces(_ind_rnn, ("w_x", "b", "u")),
    SRUCell: UnitTraces(_sru, ("w_x", "b", "v")),
    LRUCell: LRUTraces(),
}
"""The cells whose traces are known."""
