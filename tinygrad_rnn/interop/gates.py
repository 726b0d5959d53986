"""The order of gates and the biases of each framework.

The gates of a cell lie side by side in its weights: along the last axis of ours, which are (in, out), and along the
first axis where weights are (out, in). Every framework has an order of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cells.base import Cell
from ..cells.gru import GRUCell
from ..cells.lstm import LSTMCell
from ..cells.rnn import RNNCell
from ..core.arrays import Array, NDArray
from ..core.device import device_of
from ..core.layer import runs
from ..core.parameter import Parameter

CELLS: dict[str, type[Cell]] = {"RNN": RNNCell, "LSTM": LSTMCell, "GRU": GRUCell}
"""The cells that other frameworks have, by the names that these share."""
_STEPS = {name: kind.step_forward for name, kind in CELLS.items()}
GATES = {"RNN": "n", "LSTM": "ifog", "GRU": "rzn"}
"""Our order. The candidate of an LSTM, g here, is c elsewhere; the candidate of a GRU, n, is h elsewhere."""
TORCH = {"RNN": "n", "LSTM": "ifgo", "GRU": "rzn"}
ONNX = {"RNN": "n", "LSTM": "iofg", "GRU": "zrn"}
KERAS = {"RNN": "n", "LSTM": "ifgo", "GRU": "zrn"}
PEEPHOLES = "ifo", "iof"
"""The order of ours, and that of ONNX."""


def cell_kind(layer: object) -> str | None:
    """The key in `CELLS` of a cell; None for all else, also a subclass, or a cell with a step of its own."""
    return next((name for name, kind in CELLS.items() if type(layer) is kind and runs(layer, _STEPS[name])), None)


def reorder(array: NDArray[Any], source: str, target: str, axis: int = -1) -> NDArray[Any]:
    """Take blocks of equal size, which lie along `axis` in the order `source`, into the order `target`.

    Example:
        >>> print(reorder(np.arange(8), "ifog", "ifgo"))
        [0 1 2 3 6 7 4 5]
    """
    blocks = dict(zip(source, np.split(array, len(source), axis), strict=True))
    return np.concatenate([blocks[gate] for gate in target], axis)


def join_biases(kind: str, from_x: Array, from_h: Array, *, reset: str = "after") -> dict[str, Array]:
    """Our biases from the two that a cell has elsewhere, one beside each product; gates in our order, (gates * H,).

    Where one of the two is 0, the sum is the other to the bit.
    """
    joined = np.where(from_h == 0, from_x, from_x + from_h)
    if kind != "GRU" or reset == "before":
        return {"b": joined}
    n = len(from_h) * 2 // 3  # the candidate has both biases, for the reset gate comes between them
    return {"b": np.concatenate([joined[:n], from_x[n:]]), "b_h": from_h[n:]}


def split_biases(cell: Any) -> tuple[Array, ...]:
    """The inverse of `join_biases`: all of `b` beside the product with x, and beside that with h `b_h`, else zeros.

    Of a cell without biases, none.
    """
    if cell.b is None:
        return ()
    b = of_both_gates(cell, cell.b)
    from_h = np.zeros_like(b)
    if getattr(cell, "b_h", None) is not None:
        from_h[-cell.out_size :] = host(cell.b_h)
    return b, from_h


def of_both_gates(cell: Any, parameter: Parameter) -> Array:
    """The value of a parameter; of a cell with coupled gates, with an input gate too, whose weights are those of -f.

    1 - sigmoid(a) is sigmoid(-a). So it is right for who takes 1 - f for i, who takes 1 - i for f, as ONNX Runtime
    does, and who knows of no coupling.
    """
    array, H = host(parameter), cell.out_size
    return np.concatenate([-array[..., :H], array], axis=-1) if getattr(cell, "coupled", False) else array


def of_forget_gate(array: Array, H: int) -> Array:
    """The inverse of `of_both_gates`, for coupled gates: what is not of i, with that of -i as that of f."""
    return np.concatenate([-array[..., :H], array[..., 2 * H :]], axis=-1)


def check_lstm(framework: str, cell: Any) -> None:
    """A cell must have none of the options of `LSTMCell` that this framework has not.

    Raises:
        ValueError: it has one.
    """
    names = {"peepholes": "peepholes", "coupled": "coupled gates"}
    found = " and ".join(words for name, words in names.items() if getattr(cell, name, False))
    if found:
        raise ValueError(f"{framework} has no LSTM with {found}; train one without")


def host(parameter: Parameter) -> Array:
    """The value of a parameter on the host."""
    value: Array = device_of(parameter.value).to_host(parameter.value)
    return value
