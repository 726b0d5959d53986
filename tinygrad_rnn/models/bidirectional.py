"""Two recurrent layers, one reading forward and one backward."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from ..core.arrays import Array, namespace
from ..core.checks import check_choice
from ..core.roles import Recurrent
from ..core.rows import Rows
from ..core.states import State, StateSpec

MERGES = ("concat", "sum", "mul", "mean")


class BidirectionalCache(NamedTuple):
    """The cache of `Bidirectional`."""

    forward: Any
    """The cache of the layer that reads forward."""
    backward: Any
    """The cache of the layer that reads backward."""
    reversal: Any
    """The index that reverses a sequence, each row within its length; it is its own inverse."""
    ys_forward: Array | None
    """(T, B, H), the output of the first layer; None unless the outputs are multiplied."""
    ys_backward: Array | None
    """(T, B, H), the output of the second layer in the order of the input; None unless the outputs are multiplied."""


class Bidirectional(Recurrent):
    r"""Two recurrent layers over one sequence, one reading forward and one backward; their outputs are merged.

    Forward, with :math:`n` the length of a row, and :math:`F` and :math:`G` the steps of the two layers. Each row is
    reversed within its length, so that the second layer starts at the row's own end and not in the padding:

    .. math::
        (f_t, s_t) &= F(x_t, s_{t-1}) \quad \text{for t from 1 to n} \\
        (g_t, r_t) &= G(x_t, r_{t+1}) \quad \text{for t from n to 1} \\
        y_t &= [f_t, g_t], \quad f_t + g_t, \quad f_t \odot g_t \quad \text{or} \quad \tfrac{1}{2} (f_t + g_t)

    Backward, :math:`df` and :math:`dg` each go through their own layer, and the two gradients w.r.t. x are added:

    .. math::
        [df_t, dg_t] &= dy_t \quad \text{for concat,} \qquad df_t = dg_t = dy_t \quad \text{for sum,} \\
        df_t &= dy_t \odot g_t, \quad dg_t = dy_t \odot f_t \quad \text{for mul,} \qquad
        df_t = dg_t = \tfrac{1}{2} dy_t \quad \text{for mean}

    An output depends on all inputs, so `causal` is False, and there is no `step`.

    Args:
        forward_cell: any `Recurrent`, a cell or a `Sequential`.
        backward_cell: another one that takes the same input. Its class may differ; for `"concat"`, its width too.
        merge: `"concat"` (features side by side), `"sum"`, `"mul"` or `"mean"`.

    The state is a pair, the state of `forward_cell` and that of `backward_cell`. The given state of `backward_cell` is
    the one after the last step, where it starts to read; its final state is the one at the first step. So only the
    state of `forward_cell` can be carried from one chunk of a sequence to the next: give whole sequences.

    Raises:
        TypeError: a layer is not `Recurrent`.
        ValueError: the layers take different inputs; for `"concat"` one has no `out_size`; for any other merge their
            widths differ; or `merge` is none of these.

    References:
        Schuster and Paliwal, *Bidirectional Recurrent Neural Networks*, 1997.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> both = Bidirectional(RNNCell(3, 4, rng=rng), RNNCell(3, 4, rng=rng))
        >>> ys, (after, before) = both(np.ones((5, 2, 3), np.float32), lengths=np.array([5, 2]))
        >>> ys.shape, bool((ys[4, 0, :4] == after[0][0]).all()), bool((ys[0, 0, 4:] == before[0][0]).all())
        ((5, 2, 8), True, True)
    """

    causal = False

    def __init__(self, forward_cell: Recurrent, backward_cell: Recurrent, *, merge: str = "concat") -> None:
        for cell in (forward_cell, backward_cell):
            if not isinstance(cell, Recurrent):
                raise TypeError(f"Bidirectional takes two Recurrent layers, not {cell!r}")
        check_choice("Bidirectional", "merge", merge, *MERGES)
        both = f"Bidirectional: {forward_cell!r} and {backward_cell!r} do not fit"
        if forward_cell.takes_ids != backward_cell.takes_ids:
            raise ValueError(f"{both}: one takes ids, the other vectors")
        ins, outs = (forward_cell.in_size, backward_cell.in_size), (forward_cell.out_size, backward_cell.out_size)
        if None not in ins and ins[0] != ins[1]:
            raise ValueError(f"{both}: one takes {ins[0]} features, the other {ins[1]}")
        if merge != "concat" and outs[0] != outs[1]:
            raise ValueError(f'{both}: merge="{merge}" needs layers of equal out_size, not {outs[0]} and {outs[1]}')
        if merge == "concat" and None in outs:
            raise ValueError(
                f'{both}: merge="concat" needs the out_size of each, but these are {outs[0]} and {outs[1]}'
            )
        self.forward_cell, self.backward_cell, self.merge = forward_cell, backward_cell, merge
        self.takes_ids, self.in_size = forward_cell.takes_ids, ins[0] or ins[1]
        self.out_size = sum(size or 0 for size in outs) if merge == "concat" else outs[0]

    @property
    def state_spec(self) -> StateSpec:
        return self.forward_cell.state_spec, self.backward_cell.state_spec

    def unroll_forward(self, xs: Any, state: State, *, rows: Rows, training: bool) -> tuple[Any, State, Any]:
        reversal, turned = rows.reversal(), rows.reversed()
        f, after, forward = self.forward_cell.unroll_forward(xs, state[0], rows=rows, training=training)
        g, before, backward = self.backward_cell.unroll_forward(xs[reversal], state[1], rows=turned, training=training)
        f, g = rows.clear(f), rows.clear(g[reversal])
        if self.merge == "mul":
            return f * g, (after, before), BidirectionalCache(forward, backward, reversal, f, g)
        ys = namespace(f).concatenate((f, g), axis=-1) if self.merge == "concat" else f + g
        if self.merge == "mean":
            ys *= 0.5
        return ys, (after, before), BidirectionalCache(forward, backward, reversal, None, None)

    def unroll_backward(self, dys: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        forward, backward, reversal, f, g = cache
        df = dg = dys
        if self.merge == "concat":
            width = self.forward_cell.out_size
            df, dg = dys[..., :width], dys[..., width:]
        elif self.merge == "mul":
            df, dg = dys * g, dys * f
        elif self.merge == "mean":
            df = dg = 0.5 * dys
        dxs, dstate_forward = self.forward_cell.unroll_backward(df, dstate[0], forward)
        dxs_reversed, dstate_backward = self.backward_cell.unroll_backward(dg[reversal], dstate[1], backward)
        if dxs is not None:  # ids and one-hot rows have no gradient
            dxs = dxs + dxs_reversed[reversal]
        return dxs, (dstate_forward, dstate_backward)

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> NoReturn:
        raise ValueError(f"{self!r} has no step: it reads backward from the end. Give it whole sequences")

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> NoReturn:
        raise ValueError(f"{self!r} has no step to go back through. Give it whole sequences")
