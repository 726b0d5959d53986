"""An embedding and the cell after it as one cell of one-hot rows.

With the table E (V, D), `E[ids] @ w_x` is `(E @ w_x)[ids]`: the cell on one-hot rows, with the projected table E @ w_x
(V, N) for its w_x. So where there are more ids than the vocabulary has, there is less to multiply, and no array
(T, B, D) is made. Going back, from dp (V, N), the gradient of the projected table: dw_x = E.T @ dp, dE = dp @ w_x.T.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from ..cells.base import Cell
from ..core.arrays import Integers, device_name, namespace
from ..core.one_hot import OneHotRows
from ..core.parameter import Parameter
from ..core.states import State
from ..layers.embedding import Embedding


class FoldedCache(NamedTuple):
    """What stands for the cache of the embedding; that of the cell, on one-hot rows, comes after it as ever."""

    ids: Integers


def can_fold(layers: Any, ids: Integers) -> bool:
    """Whether the first two layers are an embedding and a cell with a kernel, and to fold them pays.

    It pays from twice as many ids as the vocabulary has. On a GPU it would not: there the rows of each id are added up
    by a dense product. A user's layers may compute something else.
    """
    if (
        len(layers) < 2
        or type(layers[0]) is not Embedding
        or not (isinstance(layers[1], Cell) and layers[1].has_kernel)
    ):
        return False
    return 2 * layers[0].vocab_size <= ids.size and device_name(ids) == "cpu"


def forward(
    embedding: Any, cell: Any, ids: Integers, state: State | None, lengths: Integers | None, training: bool
) -> tuple[Any, State, tuple[FoldedCache, Any]]:
    """As the two layers one after the other: ids (T, B) to the outputs, the state and the two caches."""
    embedding.check_ids(ids)
    folded = _folded(cell, embedding.w.value @ cell.w_x.value)
    rows = OneHotRows(ids, embedding.vocab_size)
    ys, after, cache = folded.forward(rows, state, lengths=lengths, training=training)
    return ys, after, (FoldedCache(ids), cache)


def backward(embedding: Any, cell: Any, dys: Any, dstate: Any, cache: Any) -> State:
    """Adds to the gradients of both layers, and gives that by the state; ids have none."""
    table, w_x = embedding.w, cell.w_x
    # Going back, one-hot rows take of w_x the shape of its gradient alone.
    folded = _folded(cell, namespace(w_x.value).empty((table.shape[0], w_x.shape[1]), w_x.value.dtype))
    dbefore: State = folded.backward(dys, dstate, cache)[1]
    w_x.grad += table.value.T @ folded.w_x.grad
    table.grad += folded.w_x.grad @ w_x.value.T
    return dbefore


def _folded(cell: Any, w_x: Any) -> Any:
    """The cell with `w_x` (V, N) for its input: a copy that shares all other parameters."""
    folded = copy.copy(cell)
    folded.in_size, folded.w_x = w_x.shape[0], Parameter(w_x)
    return folded
