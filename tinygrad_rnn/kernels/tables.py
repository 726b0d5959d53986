"""The product of an embedding and the weights of the cell that follows it, made before the look-up.

With the table E (V, D), `E[ids] @ w_x` is `(E @ w_x)[ids]`: the cell on one-hot rows, whose weights are the projected
table E @ w_x (V, N). There is less to multiply where there are more ids than the vocabulary has, and no array (T, B, D)
is made. Going back, from dp (V, N), the gradient w.r.t. the projected table: dw_x = E.T @ dp and dE = dp @ w_x.T.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..core.arrays import device_name, namespace
from ..core.one_hot import OneHotRows, TableGradient, TableRows
from .kernel import Kernel


def with_tables(kernel: Kernel) -> Kernel:
    """`kernel`, which takes `TableRows` too; the gradient w.r.t. them is a `TableGradient` or an array (T, B, D)."""
    return kernel._replace(forward=partial(forward, kernel), backward=partial(backward, kernel))


def forward(kernel: Kernel, xs: Any, state: Any, weights: Any, rows: Any, begun: Any) -> Any:
    """As `kernel.forward`."""
    if not isinstance(xs, TableRows):
        return kernel.forward(xs, state, weights, rows, begun)
    if not _pays(xs):
        return kernel.forward(xs.dense(), state, weights, rows, begun)
    one_hot, projected = OneHotRows(xs.ids, len(xs.table)), weights._replace(w_x=xs.table @ weights.w_x)
    ys, state, cache = kernel.forward(one_hot, state, projected, rows, begun)
    return ys, state, cache._replace(x=xs)


def backward(kernel: Kernel, dys: Any, dstate: Any, cache: Any, weights: Any, rows: Any, gradients: Any) -> Any:
    """As `kernel.backward`."""
    if not isinstance(cache.x, TableRows):
        return kernel.backward(dys, dstate, cache, weights, rows, gradients)
    table, (w_x, dw_x) = cache.x.table, (weights.w_x, gradients.w_x)
    cache = cache._replace(x=OneHotRows(cache.x.ids, len(table)))
    dprojected = namespace(w_x).zeros((len(table), w_x.shape[1]), w_x.dtype)
    # From one-hot rows a kernel goes back without w_x.
    _, dstate, dbegun = kernel.backward(dys, dstate, cache, weights, rows, gradients._replace(w_x=dprojected))
    dw_x += table.T @ dprojected
    return TableGradient(dprojected @ w_x.T), dstate, dbegun


def _pays(xs: TableRows) -> bool:
    """From twice as many ids as the table has rows. On a GPU the rows of each id are added up by a dense product."""
    return 2 * len(xs.table) <= xs.ids.size and device_name(xs.ids) == "cpu"
