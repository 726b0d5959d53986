"""Variants of the same work, timed in turn, on one thread.

A script of this folder calls `compare`. Each round runs every variant once, A B A B ..., and each run is a process of
its own: it shares neither allocator nor threads with another, and a spell in which the machine is busy meets both sides
of a pair. What counts is the median over the rounds of `other / first`, with its smallest and largest value.

Tables are printed, and written to `results/` as Markdown and, with every single time, as JSON.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

Run = Callable[..., dict[str, Any]]
"""Of the numbers of a row, by name, to `seconds`, and if need be `losses`, which must agree, and `versions`."""

THREADS = 1
RESULTS = Path(__file__).parent / "results"
DIFFERENCE = operator.sub
RATIO = operator.truediv


def compare(
    title: str,
    variants: Mapping[str, Run],
    rows: Sequence[Mapping[str, int]] = ({},),
    *,
    rounds: int,
    by: Callable[[float, float], float] = RATIO,
) -> None:
    """Time the variants at each row, set each against the first, and print and write the tables."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    parser.add_argument("--run", nargs=2, metavar=("VARIANT", "ROW"), help="one run, for the process of a variant")
    options = parser.parse_args()
    if options.run:
        name, row = options.run
        print(json.dumps(variants[name](**json.loads(row))))
        return

    results = []
    versions = {"CPU": f"{_cpu()} ({os.cpu_count()} cores)", "threads": str(THREADS), "rounds": str(options.rounds)}
    versions |= {"Python": platform.python_version(), "NumPy": np.__version__, "BLAS of NumPy": _blas()}
    for row in rows:
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(options.rounds):
            runs = {name: _process(name, row) for name in variants}
            _same_losses(runs)
            for name, run in runs.items():
                seconds[name].append(run["seconds"])
                versions |= run.get("versions", {})
        results.append({"row": dict(row), "seconds": seconds})
        print(_table(title, results[-1:], by), flush=True)

    name = Path(sys.argv[0]).stem
    RESULTS.mkdir(exist_ok=True)
    facts = "\n".join(f"- {key}: {value}" for key, value in versions.items())
    (RESULTS / f"{name}.md").write_text(f"{_table(title, results, by)}\n{facts}\n", encoding="utf-8")
    (RESULTS / f"{name}.json").write_text(
        json.dumps({"title": title, "versions": versions, "results": results}, indent=1) + "\n", encoding="utf-8"
    )
    print(facts)


def _process(name: str, row: Mapping[str, int]) -> dict[str, Any]:
    """One run of a variant. The number of threads is set before it imports NumPy."""
    libraries = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(libraries, str(THREADS))
    command = [sys.executable, sys.argv[0], "--run", name, json.dumps(row)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    run: dict[str, Any] = json.loads(done.stdout)
    return run


def _same_losses(runs: Mapping[str, dict[str, Any]]) -> None:
    """Raise AssertionError unless the losses agree: else it is not the same work that is timed."""
    first, *others = [run.get("losses", []) for run in runs.values()]
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-3, err_msg=f"losses of the first steps of {list(runs)}")


def _table(title: str, results: Sequence[dict[str, Any]], by: Callable[[float, float], float]) -> str:
    """A Markdown table: medians in milliseconds, and each variant set against the first."""
    sizes, (first, *others) = list(results[0]["row"]), list(results[0]["seconds"])
    head = [*sizes, f"{first}, ms"]
    for name in others:
        head += [f"{name}, ms", "ratio (min to max)" if by is RATIO else "difference, ms (min to max)"]
    lines = [head, ["---:"] * len(head)]
    for result in results:
        base = result["seconds"][first]
        line = [str(size) for size in result["row"].values()] + [f"{1e3 * median(base):.3g}"]
        for name in others:
            seconds = result["seconds"][name]
            pairs = [by(b, a) * (1 if by is RATIO else 1e3) for a, b in zip(base, seconds, strict=True)]
            line += [f"{1e3 * median(seconds):.3g}", f"{median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"]
        lines.append(line)
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"# {title}\n\n{rows}"


def _blas() -> str:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
