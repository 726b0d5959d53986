"""What a training step costs in memory and, by the sizes of its input, in time; and how large the package is.

Run it with `python benchmarks/cost.py`, where the package is installed, on Linux. One BLAS thread.

- Memory of a step: the peak of what NumPy holds during the second step of a character model, its text left out, against
  what a backward needs: the parameters, their gradients and Adam's two vectors, the logits, and of arrays (T, B, H) 2
  for the RNN, 5 for the GRU and 7 for the LSTM. "Cache" is what the cell itself keeps from forward to backward, in such
  arrays, and with the state before the first step; the gradient by its outputs is one more.
- Growth: resident memory of the process after 1,000 and after 10,000 steps, each on another text.
- Size: of the files of the package, without what Python compiles from them.
- Time: forward and backward of a cell, at growing T and B.
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import tinygrad_rnn as rnn
from harness import markdown, milliseconds, software, write_results

CELLS: dict[str, Any] = {"RNN": rnn.RNNCell, "GRU": rnn.GRUCell, "LSTM": rnn.LSTMCell}
NEEDED = {"RNN": 2, "GRU": 5, "LSTM": 7}
"""Arrays (T, B, H)."""
V = 65
ITEM = 4  # bytes of a float32
MIB = 2**20

Numbers = list[dict[str, Any]]
"""The rows of a table: numbers by column."""


def training(front: Any, H: int) -> Callable[[Any, Any], Any]:
    """A training step of a model: `front`, which ends in H features, and a linear layer to V logits."""
    model = rnn.Sequential(front, rnn.Linear(H, V, rng=np.random.default_rng(0)))
    criterion = rnn.SoftmaxCrossEntropy()
    optimizer = rnn.Adam(model, 0.001, clip=rnn.ClipNorm(1.0))

    def step(xs: Any, targets: Any) -> Any:
        logits, _, cache = model.forward(xs)
        _, loss_cache = criterion.forward(logits, targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
        optimizer.step()
        return model

    return step


def memory(cell: str, D: int, H: int, B: int, T: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    xs, targets = rng.integers(0, V, (2, T, B))
    tracemalloc.start()
    layer = rnn.Sequential(rnn.Embedding(V, D, rng=rng), CELLS[cell](D, H, rng=rng))
    step = training(layer, H)
    step(xs, targets)
    tracemalloc.reset_peak()
    parameters = sum(p.size for p in step(xs, targets).parameters())
    peak = tracemalloc.get_traced_memory()[1]
    before = tracemalloc.get_traced_memory()[0]
    kept = layer.forward(xs)
    cached = tracemalloc.get_traced_memory()[0] - before
    del kept
    tracemalloc.stop()
    needed = ITEM * (4 * parameters + T * B * V + NEEDED[cell] * T * B * H)
    sizes = {"cell": cell, "D": D, "H": H, "B": B, "T": T}
    arrays = {"cache, arrays": round(cached / (ITEM * T * B * H), 2), "needed, arrays": NEEDED[cell]}
    total = {"needed, MiB": round(needed / MIB, 1), "peak, MiB": round(peak / MIB, 1)}
    return sizes | arrays | total | {"peak / needed": round(peak / needed, 2)}


def growth(steps: Sequence[int] = (1_000, 10_000), T: int = 16, B: int = 4, H: int = 32) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    step = training(rnn.Sequential(rnn.OneHot(V), rnn.LSTMCell(V, H, rng=rng)), H)
    resident = {}
    for i in range(1, max(steps) + 1):
        ids = rng.integers(0, V, (T + 1, B))
        step(ids[:-1], ids[1:])
        if i in steps:
            resident[f"after {i:,} steps, KiB"] = resident_bytes() // 1024
    return resident


def resident_bytes() -> int:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def size() -> dict[str, Any]:
    folder = Path(rnn.__file__).parent
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def times(sizes: Sequence[tuple[int, int]], rounds: int, D: int = 128, H: int = 128) -> Numbers:
    """Milliseconds of forward and backward at each (T, B), the median of rounds in which all sizes take turns."""
    rng = np.random.default_rng(0)
    cells = {name: make(D, H, rng=rng) for name, make in CELLS.items()}
    seconds: dict[tuple[int, int], dict[str, list[float]]] = {key: {name: [] for name in cells} for key in sizes}
    for _ in range(rounds):
        for T, B in sizes:
            xs, dys = (rng.standard_normal((T, B, width), dtype=np.float32) for width in (D, H))
            for name, cell in cells.items():
                seconds[T, B][name].append(step_seconds(cell, xs, dys))
    rows: Numbers = []
    for (T, B), found in seconds.items():
        row: dict[str, Any] = {"D": D, "H": H, "T": T, "B": B}
        row |= {f"{name}, ms": float(milliseconds(passed)) for name, passed in found.items()}
        row |= {f"{name}, µs a token": round(1e6 * median(passed) / (T * B), 2) for name, passed in found.items()}
        rows.append(row)
    return rows


def step_seconds(cell: Any, xs: Any, dys: Any, repeats: int = 5) -> float:
    """CPU time of forward and backward, the median of some."""
    passed = []
    for _ in range(repeats):
        start = time.process_time()
        _, _, cache = cell.forward(xs)
        cell.backward(dys, None, cache)
        passed.append(time.process_time() - start)
    return median(passed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="of the times, default 7")
    rounds = parser.parse_args().rounds
    dimensions = (128, 256, 32, 64), (512, 512, 64, 128)
    tables = {
        "Growth over many steps, (H, B, T) = (32, 4, 16)": [growth()],
        "Peak memory of a training step": [memory(cell, *sizes) for sizes in dimensions for cell in CELLS],
        "Size of the package": [size()],
        "Time against T": times([(T, 32) for T in (16, 32, 64, 128, 256)], rounds),
        "Time against B": times([(64, B) for B in (1, 4, 16, 64, 256)], rounds),
    }
    text = "# Memory, size, and time by size\n"
    for title, rows in tables.items():
        lines = [list(rows[0]), ["---:"] * len(rows[0]), *([f"{cell}" for cell in row.values()] for row in rows)]
        text += f"\n## {title}\n\n{markdown(lines)}"
    print(text)
    write_results(text, {"results": tables}, {**software(), "threads": "1", "rounds of the times": str(rounds)})


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
