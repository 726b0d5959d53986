"""Recurrent networks against `torch.nn.RNN` and its like: one to three layers, one and two directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_rnn import Bidirectional, Cell, GRUCell, LSTMCell, RNNCell, Sequential

from .conftest import Compare


class Peer(NamedTuple):
    """A cell, and the module of `torch.nn` that computes the same."""

    make: Callable[[int, int, np.random.Generator], Cell]
    module: str
    options: Mapping[str, Any] = {}
    gates: tuple[int, ...] = (0,)
    """Our gates in PyTorch's order, by their places in ours."""


CELLS = {
    "RNNCell tanh": Peer(lambda D, H, rng: RNNCell(D, H, rng=rng), "RNN"),
    "RNNCell relu": Peer(
        lambda D, H, rng: RNNCell(D, H, rng=rng, nonlinearity="relu"), "RNN", {"nonlinearity": "relu"}
    ),
    "LSTMCell": Peer(lambda D, H, rng: LSTMCell(D, H, rng=rng), "LSTM", gates=(0, 1, 3, 2)),
    "GRUCell": Peer(lambda D, H, rng: GRUCell(D, H, rng=rng), "GRU", gates=(0, 1, 2)),
}
"""A new cell is one line here."""


def as_theirs(torch: Any, gates: tuple[int, ...], w_x: Any, w_h: Any, b: Any, b_h: Any = None) -> list[Any]:
    """PyTorch's parameters of a cell, computed from ours, so that it finds the gradients by ours, too.

    It keeps transposed weights, and two offsets, which it adds up: the second is 0 here, but for the last gate of a
    GRU, which resets it.
    """
    H = w_h.shape[0]

    def reorder(array: Any) -> Any:
        parts = array.split(H, -1)
        return torch.cat([parts[gate] for gate in gates], -1)

    second = 0 * b if b_h is None else torch.cat([0 * b[:-H], b_h])
    return [reorder(w_x).T, reorder(w_h).T, reorder(b), second]


def nested(states: list[Any], directions: int) -> tuple[Any, ...]:
    """The states of the cells as that of the `Sequential`: a pair for each `Bidirectional`."""
    return tuple(states) if directions == 1 else tuple(zip(states[::2], states[1::2], strict=True))


def flat(state: tuple[Any, ...], directions: int) -> list[Any]:
    """The other way round."""
    return list(state) if directions == 1 else [part for pair in state for part in pair]


def stacked(states: Any) -> dict[str, Any]:
    """The states of cells, each (h,) or (h, c), as PyTorch holds them: `h` (cells, B, H), and `c`."""
    return {name: np.stack(parts) for name, parts in zip("hc", zip(*states, strict=True), strict=False)}


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", CELLS)
def test_sequence(torch: Any, compare: Compare, name: str, layers: int, directions: int, padded: bool) -> None:
    for seed in range(8):
        rng = np.random.default_rng([seed, layers, directions, padded])
        check(torch, compare, name, layers, directions, padded, rng)


def check(
    torch: Any, compare: Compare, name: str, layers: int, directions: int, padded: bool, rng: np.random.Generator
) -> None:
    peer = CELLS[name]
    T, B, D, H = (int(rng.integers(1, most + 1)) for most in (25, 8, 10, 12))
    sizes = [D, *[directions * H] * (layers - 1)]
    cells = [peer.make(size, H, rng) for size in sizes for _ in range(directions)]  # in PyTorch's order
    model = Sequential(*(cells if directions == 1 else map(Bidirectional, cells[::2], cells[1::2])))
    for parameter in model.to(dtype="float64").parameters():
        parameter.value = rng.standard_normal(parameter.shape) / np.sqrt(H)
    lengths = rng.integers(1, T + 1, B) if padded else None  # PyTorch has no empty rows
    xs, dys = rng.standard_normal((T, B, D)), rng.standard_normal((T, B, directions * H))
    state, dstate = (
        [tuple(rng.standard_normal((B, size)) for size in cell.state_sizes) for cell in cells] for _ in range(2)
    )

    ys, after, cache = model.forward(xs, nested(state, directions), lengths=lengths)
    dxs, dbefore = model.backward(dys, nested(dstate, directions), cache)

    def leaf(array: Any) -> Any:
        return torch.tensor(array, requires_grad=True)

    options = {"bidirectional": directions == 2, "dtype": torch.float64, **peer.options}
    module = getattr(torch.nn, peer.module)(D, H, layers, **options)
    parameters = [{key: leaf(p.value) for key, p in cell.named_parameters()} for cell in cells]
    values = [value for own in parameters for value in as_theirs(torch, peer.gates, **own)]
    for p, value in zip(module.parameters(), values, strict=True):
        p.data.copy_(value)

    inputs, begin = leaf(xs), {key: leaf(array) for key, array in stacked(state).items()}
    outputs, end = run(torch, module, inputs, tuple(begin.values()), lengths)
    upstream = [torch.tensor(array) for array in (dys, *stacked(dstate).values())]
    torch.autograd.backward([outputs, *end], upstream)
    torch.autograd.backward(values, [p.grad for p in module.parameters()])

    line = f"`{name}`, {'one direction' if directions == 1 else 'two directions'}"
    compare(
        f"{line}: outputs, final states",
        {"ys": ys, **stacked(flat(after, directions))},
        {"ys": outputs, **dict(zip(begin, end, strict=True))},
    )
    compare(
        f"{line}: gradients of inputs, initial states",
        {"xs": dxs, **stacked(flat(dbefore, directions))},
        {"xs": inputs.grad, **{key: array.grad for key, array in begin.items()}},
    )
    compare(
        f"{line}: gradients of parameters",
        {f"{i}.{key}": p.grad for i, cell in enumerate(cells) for key, p in cell.named_parameters()},
        {f"{i}.{key}": p.grad for i, own in enumerate(parameters) for key, p in own.items()},
    )


def run(torch: Any, module: Any, xs: Any, state: tuple[Any, ...], lengths: Any) -> tuple[Any, tuple[Any, ...]]:
    """The outputs (T, B, H), and the state after them, (h,) or (h, c), of a module of PyTorch."""
    rows = torch.nn.utils.rnn
    if lengths is not None:
        steps, xs = len(xs), rows.pack_padded_sequence(xs, torch.tensor(lengths), enforce_sorted=False)
    ys, after = module(xs, state if len(state) > 1 else state[0])
    if lengths is not None:
        ys, _ = rows.pad_packed_sequence(ys, total_length=steps)
    return ys, after if len(state) > 1 else (after,)
