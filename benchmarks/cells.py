"""The cells on both sides: the same weights, drawn in our layout and written to ours and to PyTorch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]

GATES = {"RNN": (0,), "GRU": (0, 1, 2), "LSTM": (0, 1, 3, 2)}
"""Our gates in PyTorch's order, by their places in ours; and, as none moves but two that change places, vice versa."""


def draw(rng: np.random.Generator, limit: float, **shapes: tuple[int, ...]) -> Weights:
    """Uniform to ±`limit`."""
    return {name: rng.uniform(-limit, limit, shape).astype(np.float32) for name, shape in shapes.items()}


def cell_weights(cell: str, D: int, H: int, rng: np.random.Generator) -> Weights:
    """As large as PyTorch draws them, uniform to ±1/√H, by our names in our layout: (in, out)."""
    gates = len(GATES[cell])
    shapes = {"w_x": (D, gates * H), "w_h": (H, gates * H), "b": (gates * H,)}
    return draw(rng, H**-0.5, **shapes, **({"b_h": (H,)} if cell == "GRU" else {}))


def multiply_adds(cell: str, D: int, H: int) -> int:
    """Those of a token in the products, one forward and two back. D is 0 for one-hot rows, which are looked up."""
    return 3 * len(GATES[cell]) * H * (D + H)


def give(layer: Any, weights: Weights) -> Any:
    """Write the weights to a layer of ours, and return it."""
    for name, parameter in layer.named_parameters():
        parameter.value = weights[name]
    return layer


def our_cell(cell: str, D: int, H: int, weights: Weights) -> Any:
    import tinygrad_rnn

    return give(getattr(tinygrad_rnn, f"{cell}Cell")(D, H, rng=np.random.default_rng(0)), weights)


def reordered(cell: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The gates, blocks of the last axis, in the order of the other side."""
    blocks = np.split(array, len(GATES[cell]), axis=-1)
    return np.concatenate([blocks[gate] for gate in GATES[cell]], axis=-1)


def give_torch(torch: Any, parameters: Sequence[Any], cell: str, weights: Weights) -> None:
    """Write the weights to the four parameters that PyTorch has for a cell.

    Of its two offsets, which it adds up, the second is 0 and not trained, as it adds nothing to the model: but for the
    last gate of a GRU, so there the gradients of the other two are cleared, which takes some microseconds.
    """
    H = weights["w_h"].shape[0]
    second = np.zeros_like(weights["b"])
    if "b_h" in weights:
        second[-H:] = weights["b_h"]
    values = [reordered(cell, weights[name]).T for name in ("w_x", "w_h", "b")]
    for parameter, value in zip(parameters, [*values, second], strict=True):
        parameter.data.copy_(torch.from_numpy(np.ascontiguousarray(value)))

    def clear(parameter: Any) -> None:
        parameter.grad[:-H] = 0

    if cell == "GRU":
        parameters[3].register_post_accumulate_grad_hook(clear)
    else:
        parameters[3].requires_grad_(False)
