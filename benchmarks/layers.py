"""Forward and backward of recurrent layers, against PyTorch.

Run it with `python benchmarks/layers.py`, where the package and PyTorch are installed; `--rounds 3` is quicker, and
`--threads 1` leaves out the table of two threads.

The work: a sequence (T, B, D) from the zero state, and back from random gradients of all outputs and of the final
state to those of inputs and parameters. Both sides have the same weights, and entries of all outputs, states and
gradients must agree to 1e-3 of the largest.

"With lengths": each row ends at a random step, 1 to T. Ours is given the lengths; PyTorch packs the rows, which do not
come sorted, and unpacks them. Its limit counts the steps before the ends.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import cells
from harness import compare, sample, timing, torch_on


class Kind(NamedTuple):
    """What a row of the table runs."""

    cell: str
    depth: int = 1
    directions: int = 1
    lengths: bool = False


KINDS = {
    "RNN": Kind("RNN"),
    "GRU": Kind("GRU"),
    "LSTM": Kind("LSTM"),
    "LSTM, three layers": Kind("LSTM", depth=3),
    "LSTM, bidirectional": Kind("LSTM", directions=2),
    "LSTM, with lengths": Kind("LSTM", lengths=True),
}


class Work(NamedTuple):
    """What both sides are given; states have an entry for each cell."""

    weights: list[cells.Weights]
    xs: NDArray[np.float32]
    lengths: NDArray[np.int64] | None
    dys: NDArray[np.float32]
    dstates: list[NDArray[np.float32]]
    """Of h, and for an LSTM of c: (cells, B, H)."""


def work(kind: Kind, D: int, H: int, B: int, T: int) -> Work:
    rng = np.random.default_rng(0)
    weights = [cells.cell_weights(kind.cell, size, H, rng) for size in in_sizes(kind, D, H)]

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape, dtype=np.float32)

    dstates = [normal(len(weights), B, H) for _ in range(2 if kind.cell == "LSTM" else 1)]
    return Work(weights, normal(T, B, D), ends(kind, B, T), normal(T, B, kind.directions * H), dstates)


def in_sizes(kind: Kind, D: int, H: int) -> list[int]:
    """Of each cell, in PyTorch's order."""
    return [size for size in [D, *[kind.directions * H] * (kind.depth - 1)] for _ in range(kind.directions)]


def ends(kind: Kind, B: int, T: int) -> NDArray[np.int64] | None:
    return np.random.default_rng(1).integers(1, T + 1, B) if kind.lengths else None


def multiply_adds(layer: str, D: int, H: int, B: int, T: int) -> int:
    kind = KINDS[layer]
    lengths = ends(kind, B, T)
    tokens = T * B if lengths is None else int(lengths.sum())
    return tokens * sum(cells.multiply_adds(kind.cell, size, H) for size in in_sizes(kind, D, H))


def run_ours(threads: int, layer: str, D: int, H: int, B: int, T: int, compiled: bool = False) -> dict[str, Any]:
    from tinygrad_rnn import Bidirectional, Sequential, set_compiled

    set_compiled(compiled)
    kind = KINDS[layer]
    weights, xs, lengths, dys, dstates = work(kind, D, H, B, T)
    parts = [cells.our_cell(kind.cell, size, H, w) for size, w in zip(in_sizes(kind, D, H), weights, strict=True)]
    model = Bidirectional(*parts) if kind.directions == 2 else Sequential(*parts)
    dstate = tuple(zip(*dstates, strict=True))

    def step() -> tuple[Any, Any, Any]:
        model.zero_grad()
        ys, state, cache = model.forward(xs, lengths=lengths)
        dxs, _ = model.backward(dys, dstate, cache)
        return ys, state, dxs

    ys, state, dxs = step()
    outputs = {"ys": ys, "states": np.stack([np.stack(part) for part in zip(*state, strict=True)]), "dxs": dxs}
    outputs |= {f"{i}.d{name}": p.grad for i, part in enumerate(parts) for name, p in part.named_parameters()}
    sampled = {name: sample(array) for name, array in outputs.items()}
    return {**timing(step, threads), "outputs": sampled}


def run_torch(threads: int, layer: str, D: int, H: int, B: int, T: int) -> dict[str, Any]:
    torch, versions = torch_on(threads)
    rows, kind = torch.nn.utils.rnn, KINDS[layer]
    given = work(kind, D, H, B, T)
    xs, dys, *dstates = map(torch.from_numpy, (given.xs, given.dys, *given.dstates))
    lengths = None if given.lengths is None else torch.from_numpy(given.lengths)
    module = getattr(torch.nn, kind.cell)(D, H, kind.depth, bidirectional=kind.directions == 2)
    for parameters, own in zip(module.all_weights, given.weights, strict=True):
        cells.give_torch(torch, parameters, kind.cell, own)
    xs.requires_grad_()

    def step() -> tuple[Any, Any]:
        module.zero_grad()
        xs.grad = None
        inputs = xs if lengths is None else rows.pack_padded_sequence(xs, lengths, enforce_sorted=False)
        ys, state = module(inputs)
        if lengths is not None:
            ys, _ = rows.pad_packed_sequence(ys, total_length=T)
        state = state if kind.cell == "LSTM" else (state,)
        torch.autograd.backward([ys, *state], [dys, *dstates])
        return ys, state

    ys, state = step()
    outputs = {"ys": ys.detach(), "states": torch.stack(state).detach(), "dxs": xs.grad}
    sampled = {name: sample(array.numpy()) for name, array in outputs.items()}
    for i, (w_x, w_h, b, second) in enumerate(module.all_weights):
        for name, parameter in (("w_x", w_x), ("w_h", w_h), ("b", b)):
            sampled[f"{i}.d{name}"] = sample(cells.reordered(kind.cell, parameter.grad.numpy().T))
        if second.requires_grad:
            sampled[f"{i}.db_h"] = sample(second.grad.numpy()[-H:])
    return {**timing(step, threads), "outputs": sampled, "versions": versions}


if __name__ == "__main__":
    sizes = [(64, 128, 16, 64), (128, 256, 32, 64), (512, 512, 64, 128)]
    kinds = [(kind, *size) for size in sizes for kind in ("RNN", "GRU", "LSTM")]
    kinds += [(kind, *sizes[1]) for kind in list(KINDS)[3:]]
    compare(
        "Forward and backward of recurrent layers",
        {"tinygrad_rnn": run_ours, "compiled": lambda **row: run_ours(**row, compiled=True), "torch": run_torch},
        [dict(zip(("layer", "D", "H", "B", "T"), row, strict=True)) for row in kinds],
        ours=2,
        rounds=5,
        multiply_adds=multiply_adds,
    )
