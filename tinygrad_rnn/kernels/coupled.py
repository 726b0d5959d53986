"""The LSTM whose input gate is 1 less its forget gate, by the kernel of the LSTM with both.

1 - sigmoid(a) is sigmoid(-a). So the input gate of the other LSTM gets the weights of the forget gate with their signs
changed, and their gradient is that of the forget gate less that of the input gate. It costs what four gates cost, not
three; the weights and the memory of an optimizer are those of three. Every backend has it thereby.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..core.arrays import Array, namespace
from .kernel import Kernel
from .products import zeros_like


def with_coupled_gates(kernel: Kernel) -> Kernel:
    """A kernel like `kernel`, of gates i, f, o, g, for weights whose blocks are those of f, o and g.

    It has no step at inference: to make the weights of i would take as long as the step of the cell.
    """
    return kernel._replace(forward=partial(forward, kernel), backward=partial(backward, kernel), step=None)


def forward(kernel: Kernel, xs: Any, state: Any, weights: Any, rows: Any, begun: Any) -> Any:
    """As `kernel.forward`."""
    return kernel.forward(xs, state, _of_both(weights), rows, begun)


def backward(kernel: Kernel, dys: Any, dstate: Any, cache: Any, weights: Any, rows: Any, gradients: Any) -> Any:
    """As `kernel.backward`."""
    whole = type(gradients)(*map(zeros_like, _of_both(gradients)))
    result = kernel.backward(dys, dstate, cache, _of_both(weights), rows, whole)
    H = weights.w_h.shape[0]
    for dw, of_both in zip(gradients, whole, strict=True):
        if dw is not None:
            dw += of_both[..., H:]
            dw[..., :H] -= of_both[..., :H]
    return result


def _of_both(weights: Any) -> Any:
    """Weights, each (..., N) with the columns of f first, with those of i before them: (..., H + N)."""
    H = weights.w_h.shape[0]
    return type(weights)(*(None if w is None else _with_input_gate(w, H) for w in weights))


def _with_input_gate(w: Array, H: int) -> Array:
    whole: Array = namespace(w).concatenate([-w[..., :H], w], axis=-1)
    return whole
