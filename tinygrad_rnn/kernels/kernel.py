"""What a kernel is: a cell over a whole sequence at once, on arrays alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Kernel(NamedTuple):
    """The fast path of a cell: it computes what the steps of the cell compute."""

    weights: Callable[..., Any]
    """A `NamedTuple` of the weights; its fields are named like the parameters of the cell."""
    forward: Callable[..., Any]
    """`(xs, state, weights, rows, begun)` to `(ys, state, cache)`.

    `begun` is the state where a document begins, of B rows; None where `rows.starts` is. The cache is that of the
    cell's step, with a time axis.
    """
    backward: Callable[..., Any]
    """`(dys, dstate, cache, weights, rows, gradients)` to `(dxs, dstate, dbegun)`; adds to `gradients`.

    `dys` is 0 where a row has ended. `dbegun` is the gradient w.r.t. `begun`; None where `rows.starts` is.
    """
    step: Callable[..., Any] | None
    """Where code is compiled, `(x, state, weights)` to the next state, at inference.

    None where `step_forward` of the cell is as fast, as it is where nothing is compiled.
    """
