"""Layers and training steps on a GPU, beside PyTorch's cuDNN and beside the floor.

Run it with `python benchmarks/gpu.py` on a machine with a GPU, where the package is installed with CuPy, and PyTorch
for CUDA; where that is missing, its columns are empty. Times are those of the device, between two events, the least of
some rounds in which ours and PyTorch's take turns. `--cells LSTM --hidden 128 --batch 16 --steps 8 --rounds 1` is
quick. The table is printed, and with `--write` also written to `results/gpu.md`.

The floor is what no program can go below: the multiply-adds of the products at the rate that a large product has here,
or the numbers that must be read and written at the rate of a large copy, whichever takes longer. It leaves out that the
steps of a sequence wait for each other.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as rnn

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
CELLS: dict[str, Any] = {"RNN": rnn.RNNCell, "GRU": rnn.GRUCell, "LSTM": rnn.LSTMCell}
VOCABULARY = 256
WARM_UP = 2


def best(works: list[Callable[[], object] | None], cuda: Any, rounds: int) -> list[float | None]:
    """The least time of each work in milliseconds, in turn; None where there is none."""
    found: list[float | None] = [None] * len(works)
    for i in range(WARM_UP + rounds):
        for k, work in enumerate(works):
            if work is None:
                continue
            start, stop = cuda.Event(), cuda.Event()
            start.record()
            work()
            stop.record()
            stop.synchronize()
            taken = float(cuda.get_elapsed_time(start, stop))
            if i >= WARM_UP:
                found[k] = taken if found[k] is None else min(found[k] or taken, taken)
    return found


def rates(device: rnn.Device, side: int, rounds: int) -> tuple[float, float]:
    """Multiply-adds and bytes a millisecond, of a product of matrices and of a copy."""
    xp = device.xp
    a, b = (device.asarray(np.ones((side, side), np.float32)) for _ in range(2))
    out, other = xp.empty_like(a), xp.empty_like(a)
    product, copy = best([lambda: xp.dot(a, b, out=out), lambda: xp.copyto(other, a)], xp.cuda, rounds)
    return side**3 / max(product or 0.0, 1e-6), 2 * a.nbytes / max(copy or 0.0, 1e-6)


def floor(cell: str, T: int, B: int, H: int, outputs: int) -> tuple[float, float]:
    """Multiply-adds and bytes of a forward and a backward, whose products are twice those of the forward."""
    width = GATES[cell] * H
    weights, rows = 2 * H * width + H * outputs, T * B
    numbers = 3 * weights + 3 * rows * (2 * H + width) + 3 * rows * outputs
    return 3.0 * rows * weights, 4.0 * numbers


def ours_layer(device: rnn.Device, cell: str, T: int, B: int, H: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    layer = CELLS[cell](H, H, rng=rng).to(device)
    xs, dys = (device.asarray(rng.standard_normal((T, B, H)).astype(np.float32)) for _ in range(2))

    def work() -> None:
        _, _, cache = layer.forward(xs)
        layer.backward(dys, None, cache)

    return work


def ours_step(device: rnn.Device, cell: str, T: int, B: int, H: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    layers = rnn.Embedding(VOCABULARY, H, rng=rng), CELLS[cell](H, H, rng=rng), rnn.Linear(H, VOCABULARY, rng=rng)
    model = rnn.Sequential(*layers).to(device)
    criterion, optimizer = rnn.SoftmaxCrossEntropy(), rnn.Adam(model, 1e-3, clip=rnn.ClipNorm(1.0))
    xs, targets = (device.asarray(rng.integers(0, VOCABULARY, (T, B))) for _ in range(2))

    def work() -> None:
        logits, _, cache = model.forward(xs)
        _, loss_cache = criterion.forward(logits, targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()

    return work


def torch_work(what: str, cell: str, T: int, B: int, H: int) -> Callable[[], object] | None:
    """The same by PyTorch, on the stream that CuPy uses too; None where there is no PyTorch for this GPU."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    layer = getattr(torch.nn, cell)(H, H).cuda()
    if what == "layer":
        xs, dys = torch.randn(T, B, H, device="cuda", requires_grad=True), torch.randn(T, B, H, device="cuda")
        return lambda: layer(xs)[0].backward(dys)
    table, output = torch.nn.Embedding(VOCABULARY, H).cuda(), torch.nn.Linear(H, VOCABULARY).cuda()
    parameters = [p for part in (table, layer, output) for p in part.parameters()]
    optimizer, loss = torch.optim.Adam(parameters, 1e-3, fused=True), torch.nn.CrossEntropyLoss()
    ids, targets = (torch.randint(0, VOCABULARY, (T, B), device="cuda") for _ in range(2))

    def work() -> None:
        logits = output(layer(table(ids))[0])
        optimizer.zero_grad()
        loss(logits.reshape(-1, VOCABULARY), targets.reshape(-1)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return work


def shown(number: float | None) -> str:
    return "" if number is None else f"{number:.3f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=GATES, default=list(GATES))
    parser.add_argument("--hidden", nargs="+", type=int, default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--batch", nargs="+", type=int, default=[16, 64, 256])
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--side", type=int, default=8192, help="of the matrices that measure the rates")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args(arguments)
    device = rnn.Device("cuda")
    multiplied, moved = rates(device, args.side, args.rounds)
    lines = [
        f"{2 * multiplied / 1e9:.2f} TFLOP/s in float32, {moved / 1e6:.1f} GB/s, T = {args.steps}; milliseconds",
        "",
        "| | cell | H | B | ours | PyTorch | PyTorch / ours | floor |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for what, ours in (("layer", ours_layer), ("step", ours_step)):
        for cell, H, B in ((c, h, b) for c in args.cells for h in args.hidden for b in args.batch):
            works = [ours(device, cell, args.steps, B, H), torch_work(what, cell, args.steps, B, H)]
            mine, theirs = best(works, device.xp.cuda, args.rounds)
            products, numbers = floor(cell, args.steps, B, H, VOCABULARY if what == "step" else 0)
            ratio = None if theirs is None or mine is None else theirs / mine
            least = max(products / multiplied, numbers / moved)
            columns = shown(mine), shown(theirs), shown(ratio), shown(least)
            lines.append(f"| {what} | {cell} | {H} | {B} | {' | '.join(columns)} |")
            print(lines[-1], flush=True)
    if args.write:
        path = Path(__file__).parent / "results" / "gpu.md"
        path.write_text("\n".join(["# On a GPU", "", *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
