"""Two processes on MPI against one, and against two threads; what shards cost; and how large a step must be.

Run it with `python benchmarks/distributed.py`, where the package is installed with the extras `mpi` and `numba`, on a
machine with two idle cores.

A step of a character model, as in `training_step.py`: B = 64 rows of T = 64 steps, an embedding of 64, a layer of H
units, 65 logits, Adam, gradients clipped by their norm. Each variant is a job of its own; they take turns, round by
round. Times are those that pass. Of a job of several processes, the slowest one counts.

- "loop", "loop, 2 threads": the loop of the README, without shards.
- "1 worker", "2 workers": `distributed.Workers`, of 8 shards.
- "exchange": the same message alone, after a barrier, many times over.

What shards cost is measured in processor time, in one process, where a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import tinygrad_rnn as rnn
from harness import markdown, software, write_results
from tinygrad_rnn.distributed.links import HostLink
from tinygrad_rnn.distributed.tree import sum_between

CELLS: dict[str, Any] = {"RNN": rnn.RNNCell, "GRU": rnn.GRUCell, "LSTM": rnn.LSTMCell}
VARIANTS = {"loop": (0, 1), "loop, 2 threads": (0, 2), "1 worker": (1, 1), "2 workers": (2, 1)}
"""How many workers, and how many threads each has."""
V, D, B, T = 65, 64, 64, 64
SHARDS = (0, 1, 2, 4, 8, 16)
SECONDS = 2.0  # of a job, after three steps that do not count
LINKS = {"1 Gbit/s": 0.125e9, "10 Gbit/s": 1.25e9, "25 Gbit/s": 3.1e9, "100 Gbit/s": 12.5e9, "400 Gbit/s": 50e9}
"""Bytes a second in each direction, of usual links between machines."""


class Training:
    """A model, and what its steps need; without `workers`, by the loop of the README."""

    def __init__(self, cell: str, H: int, dropout: float, workers: Any) -> None:
        rng = np.random.default_rng(0)
        layers = [rnn.Embedding(V, D, rng=rng), CELLS[cell](D, H, rng=rng), rnn.Dropout(dropout, rng=rng)]
        self.model = rnn.Sequential(*layers, rnn.Linear(H, V, rng=rng))
        self.criterion, self.optimizer = rnn.SoftmaxCrossEntropy(), rnn.Adam(self.model, 1e-3, clip=rnn.ClipNorm(1.0))
        stream = rnn.TokenStream(rng.integers(0, V, B * T * 50), batch=B, steps=T)
        self.workers, self.state = workers, None
        self.source: Any = stream if workers is None else workers.batches(stream)

    def step(self, k: int, clock: Callable[[], float]) -> float:
        """The seconds that step k takes."""
        start = clock()
        batch = self.source[k % len(self.source)]
        self.model.zero_grad()
        if self.workers is None:
            loss, _, self.state = rnn.gradients(self.model, self.criterion, batch, self.state)
        else:
            loss, self.state = self.workers.gradients(self.model, self.criterion, batch, self.state)
        float(loss)
        self.optimizer.step()
        return clock() - start


def job(cell: str, H: int, workers: int, threads: int, compiled: bool, dropout: float) -> dict[str, Any]:
    """One process of one variant: milliseconds of its steps, of its exchange, and its memory."""
    rnn.set_threads(threads)
    rnn.set_compiled(compiled)
    together = rnn.distributed.Workers() if workers else None
    training = Training(cell, H, dropout, together)
    times = [training.step(k, time.perf_counter) for k in range(3)]
    count = max(5, int(SECONDS / times[-1]))
    if together is not None:
        count = together.from_first(lambda: count)  # all take as many steps
    times = [training.step(k, time.perf_counter) for k in range(count)]
    vector = training.model.flat_value
    found = {"rank": together.rank if together else 0, "ms": 1e3 * median(times), "parameters": len(vector)}
    return found | {"MiB": peak(), "exchange": exchange(vector, together) if workers > 1 else 0.0}


def cost_of_shards(steps: int = 9) -> list[dict[str, Any]]:
    """The processor time of one worker, divided by that of the loop, for some numbers of shards, which take turns."""
    rnn.set_threads(1)
    rows = []
    for compiled in (False, True):
        rnn.set_compiled(compiled)
        for cell, H in (("GRU", 256), ("LSTM", 256), ("GRU", 512), ("LSTM", 512)):
            kinds = {shards: rnn.distributed.Workers(shards=shards) if shards else None for shards in SHARDS}
            trainings = {shards: Training(cell, H, 0.0, workers) for shards, workers in kinds.items()}
            times: dict[int, list[float]] = {shards: [] for shards in SHARDS}
            for k in range(steps):
                for shards, training in trainings.items():
                    times[shards].append(training.step(k, time.process_time))
            loop, *others = (1e3 * median(found[2:]) for found in times.values())
            row: dict[str, Any] = {"cell": cell, "H": H, "compiled": compiled, "loop, ms": round(loop, 1)}
            row |= {"parameters": len(trainings[0].model.flat_value)}
            rows.append(row | {f"{n} shards": round(ms / loop, 2) for n, ms in zip(SHARDS[1:], others, strict=True)})
            print(rows[-1], flush=True)
    return rows


def peak() -> float:
    """The largest memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exchange(vector: Any, together: Any, times: int = 50) -> float:
    """Milliseconds that a sum of such a vector takes."""
    communicator, vector = together._communicator, vector.copy()
    passed = []
    for _ in range(times):
        communicator.Barrier()
        start = time.perf_counter()
        sum_between(vector, together.rank, together.size, HostLink(communicator))
        passed.append(time.perf_counter() - start)
        vector *= 0.5
    return 1e3 * median(passed)


def start(variant: str, options: dict[str, Any]) -> dict[str, Any]:
    """A job of a variant; of several workers, what the first one says."""
    workers, threads = VARIANTS[variant]
    words = [__file__, "--job", json.dumps({**options, "workers": workers, "threads": threads})]
    python = [sys.executable]
    if workers > 1:
        beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or "mpiexec"
        python = [beside, "-n", str(workers), sys.executable, "-m", "mpi4py"]
    done = subprocess.run([*python, *words], check=True, capture_output=True, text=True, timeout=300)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(rounds: int, options: dict[str, Any]) -> dict[str, Any]:
    """A row of the table, and its numbers."""
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant, runs in found.items():
            runs.append(start(variant, options))
    ms = {variant: [run["ms"] for run in runs] for variant, runs in found.items()}
    two = found["2 workers"]
    row: dict[str, Any] = {"cell": options["cell"], "H": options["H"], "compiled": options["compiled"]}
    row |= {"dropout": options["dropout"], "parameters": two[0]["parameters"]}
    row |= {f"{variant}, ms": round(median(times), 1) for variant, times in ms.items()}
    row |= {
        "shards cost": against(ms["1 worker"], ms["loop"]),
        "2 workers / 1": against(ms["1 worker"], ms["2 workers"]),
    }
    row |= {
        "/ 2 threads": against(ms["loop, 2 threads"], ms["2 workers"]),
        "/ loop": against(ms["loop"], ms["2 workers"]),
    }
    share = median(run["exchange"] / run["ms"] for run in two)
    row |= {"exchange, ms": round(median(run["exchange"] for run in two), 2), "of a step": f"{100 * share:.1f} %"}
    row |= {f"MiB, {name}": round(max(run["MiB"] for run in found[name])) for name in ("loop", "1 worker", "2 workers")}
    return row


def against(first: list[float], second: list[float]) -> str:
    """How many times as long the first one takes: the median of the rounds, and the range."""
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def links(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From the step of one worker with 8 shards, what share of it the exchange is, and with which link it is a tenth.

    A worker keeps the rows of the measured batch, B; the batch of all is as large as there are workers. Each sends and
    receives 2 (1 - 1 / W) of the vector, in 2 log2 W rounds, of which each takes 5 µs beside.
    """
    found = []
    for row in rows:
        size, step = 4 * row["parameters"], row["loop, ms"] * row["8 shards"] / 1e3
        line: dict[str, Any] = {key: row[key] for key in ("cell", "H", "compiled")}
        line |= {"MB a step": round(size / 1e6, 2), "step, ms": round(1e3 * step, 1)}
        for name, bandwidth in LINKS.items():
            shares = [seconds_of(size, workers, bandwidth) / step for workers in (2, 16, 1024, 4096)]
            line[name] = " / ".join(f"{100 * share:.2g}" for share in shares)
        line["Gbit/s for a tenth, of 4096"] = round(8e-9 * bandwidth_for(size, 4096, step / 10), 2)
        found.append(line)
    return found


def seconds_of(size: int, workers: int, bandwidth: float, latency: float = 5e-6) -> float:
    """How long the exchange of `size` bytes takes."""
    return 2 * (1 - 1 / workers) * size / bandwidth + 2 * math.log2(workers) * latency


def bandwidth_for(size: int, workers: int, seconds: float, latency: float = 5e-6) -> float:
    """The bytes a second with which it takes so long."""
    return 2 * (1 - 1 / workers) * size / (seconds - 2 * math.log2(workers) * latency)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--cells", nargs="+", default=["GRU", "LSTM"], help="default GRU LSTM")
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512], help="hidden sizes, default 256 512")
    parser.add_argument("--job", help="what one process does, for the variants")
    options = parser.parse_args()
    if options.job:
        found = job(**json.loads(options.job))
        if found.pop("rank") == 0:
            print(json.dumps(found), flush=True)
        return
    rows = []
    for compiled in (False, True):
        for H in options.sizes:
            for cell in options.cells:
                rows.append(measure(options.rounds, {"cell": cell, "H": H, "compiled": compiled, "dropout": 0.0}))
                print(rows[-1], flush=True)
    rows.append(measure(options.rounds, {"cell": "GRU", "H": options.sizes[0], "compiled": False, "dropout": 0.5}))
    publish(rows, cost_of_shards(), options.rounds)


def publish(rows: list[dict[str, Any]], shards: list[dict[str, Any]], rounds: int) -> None:
    """Print the tables, and write them."""
    tables = {
        "One worker, and two": rows,
        "What shards cost": shards,
        "The exchange on usual links, in % of a step, with 2 / 16 / 1,024 / 4,096 workers": links(shards),
    }
    text = f"# Times of workers\n\nB = {B}, T = {T}, D = {D}, V = {V}, 8 shards, float32.\n"
    for title, lines in tables.items():
        head = [list(lines[0]), ["---:"] * len(lines[0])]
        text += f"\n## {title}\n\n{markdown([*head, *([str(cell) for cell in line.values()] for line in lines)])}"
    print(text)
    write_results(text, {"results": tables}, {**software(), "rounds": str(rounds)})


if __name__ == "__main__":
    main()
