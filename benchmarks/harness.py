"""Variants of the same work, timed in turn, on the same number of threads.

A script of this folder calls `compare`. Each round runs every variant once, A B A B ..., and each run is a process of
its own: it shares neither allocator nor threads with another, and a spell in which the machine is busy meets both sides
of a pair. What counts is the median over the rounds of `other / ours`, with its smallest and largest value.

A processor that is shared changes its speed by half from one run to the next. So each run on one thread times a small
product of matrices in between, again and again, and its times are counted in those: a table gives them in milliseconds
at the speed that the middle one of the runs of its row had. On more threads, one of them does not tell what the others
get, and the times are as they were taken.

Where a script says how many multiply-adds the matrix products of a row make, each round measures the rate of NumPy's
BLAS on a large product, too, again in a process of its own: "limit" is the time that the products alone would take.

Tables are printed, and written to `results/` as Markdown and, with every single time, as JSON. One file holds all
numbers of threads; `threads` is a column of its table. Rows of a number of threads that a run leaves out stay as they
were, if the machine and the versions are the same.
"""

from __future__ import annotations

import argparse
import importlib
import json
import operator
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[..., dict[str, Any] | None]
"""Of `threads` and what a row holds, by name, to what `timing` gives, or `seconds` alone; and if need be `outputs`,
lists of numbers by name, which must agree, and `versions`; None where the variant has nothing to say of this row."""

RESULTS = Path(__file__).parent / "results"
DIFFERENCE = operator.sub
RATIO = operator.truediv
TOLERANCE = 1e-3
CLOCKS = "of the CPU on one thread, counted in small products meanwhile; on more, time that passes"  # timing
LIMIT = "limit"  # the name of the run that measures it
SIDE = 1024  # of the matrices whose product it takes
UNIT_SIDE, UNIT_TIMES = 64, 40  # of those in which times are counted, so small that one thread computes it; some 0.4 ms
BETWEEN = 0.01  # seconds of the work, at least, before the unit is timed anew


def compare(
    title: str,
    variants: Mapping[str, Run],
    rows: Sequence[Mapping[str, Any]] = ({},),
    *,
    rounds: int,
    threads: Sequence[int] = (1, 2),
    ours: int = 1,
    by: Callable[[float, float], float] = RATIO,
    multiply_adds: Callable[..., int] | None = None,
    clock: str = CLOCKS,
) -> None:
    """Time the variants at each row, set each against the first ones, which are `ours`, print and write the tables."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    parser.add_argument("--threads", type=int, nargs="+", default=threads, help=f"default {threads}")
    parser.add_argument("--run", nargs=2, metavar=("VARIANT", "ROW"), help="one run, for the process of a variant")
    options = parser.parse_args()
    if options.run:
        name, row = options.run
        print(json.dumps((limit if name == LIMIT else variants[name])(**json.loads(row))))
        return

    results, versions = _earlier(options.threads)
    versions["time"] = clock
    for count, row in product(options.threads, rows):
        result, found = _measure(variants, count, row, options.rounds, multiply_adds)
        results = sorted([*results, result], key=lambda done: int(done["row"]["threads"]))
        versions |= {_on("rounds", count): str(options.rounds), **found}
        if multiply_adds:
            rates = [rate for done in results if done["row"]["threads"] == count for rate in done["GFLOP/s"]]
            product_of = f", from the product of two {SIDE} x {SIDE} float32 matrices by NumPy"
            versions[_on("limit", count) + product_of] = f"{median(rates):.0f} GFLOP/s"
        print(_table([result], ours, by), flush=True)
        text = f"# {title}\n\n{_table(results, ours, by)}"
        write_results(text, {"title": title, "results": results}, versions)
    print("\n".join(_facts(versions)))


def _earlier(threads: Sequence[int]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What the file has of other numbers of threads, of this machine and software; and the versions of all."""
    path, versions = RESULTS / f"{Path(sys.argv[0]).stem}.json", software()
    if not path.exists():
        return [], versions
    found = json.loads(path.read_text(encoding="utf-8"))
    if not versions.items() <= found["versions"].items():
        return [], versions
    return [done for done in found["results"] if done["row"]["threads"] not in threads], found["versions"]


def _measure(
    variants: Mapping[str, Run],
    threads: int,
    row: Mapping[str, Any],
    rounds: int,
    multiply_adds: Callable[..., int] | None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """All times of a row, and the versions of what ran."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    units: dict[str, list[float]] = {name: [] for name in (*variants, LIMIT)}
    rates: list[float] = []
    versions: dict[str, str] = {}
    for _ in range(rounds):
        runs = {name: run for name in variants if (run := _process(name, threads, row)) is not None}
        _same_outputs(runs)
        for name, run in runs.items():
            seconds[name].append(run["seconds"])
            units[name].append(run.get("unit", 1.0))
            versions |= run.get("versions", {})
        if multiply_adds:
            run = _process(LIMIT, threads, {})
            rates.append(2e-9 * SIDE**3 / run["seconds"])
            units[LIMIT].append(run["unit"])
    common = median(unit for found in units.values() for unit in found)
    seconds = {name: [s * common / u for s, u in zip(seconds[name], units[name], strict=True)] for name in variants}
    rates = [rate * unit / common for rate, unit in zip(rates, units[LIMIT], strict=True)]
    result: dict[str, Any] = {"row": {"threads": threads, **row}, "seconds": seconds}
    if multiply_adds:
        result |= {"GFLOP/s": rates, "limit": [2e-9 * multiply_adds(**row) / rate for rate in rates]}
    return result, versions


def timing(
    work: Callable[[], Any], threads: int, *, per: int = 1, least: int = 5, total: float = 1.0
) -> dict[str, float]:
    """The median time of the work, as `seconds`; on one thread also that of a small product meanwhile, as `unit`.

    The work is done for `total` seconds and at least `least` times; its time is divided by `per`. On one thread it is
    CPU time, which on an idle machine is the time that passes, and on a busy one leaves out that of others. On more it
    is the time that passes: the CPU time of threads adds up.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    small = _product(UNIT_SIDE)

    def time_of(function: Callable[[], Any]) -> float:
        start = clock()
        function()
        return clock() - start

    times: list[float] = []
    counts: list[float] = []  # the same, in units
    spent, due = 0.0, 0.0
    while len(times) < least or spent < total:
        if spent >= due:
            unit, due = time_of(lambda: [small() for _ in range(UNIT_TIMES)]), spent + BETWEEN
        times.append(time_of(work))
        counts.append(times[-1] / unit)
        spent += times[-1]
    return {"seconds": median(times) / per, "unit": median(times) / median(counts) if threads == 1 else 1.0}


def limit(threads: int) -> dict[str, float]:
    """The time of a product of two large float32 matrices."""
    return timing(_product(SIDE), threads, total=0.3)


def _product(side: int) -> Callable[[], Any]:
    """Of two float32 matrices; it was computed once."""
    a = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    out = np.empty_like(a)
    np.dot(a, a, out=out)
    return lambda: np.dot(a, a, out=out)


def torch_on(threads: int) -> tuple[Any, dict[str, str]]:
    """PyTorch, imported here alone, so that it needs no types; and its version."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    has = [name for name in ("mkl", "mkldnn") if getattr(torch.backends, name).is_available()]
    return torch, {"PyTorch": f"{torch.__version__}, with {' and '.join(has) or 'neither mkl nor mkldnn'}"}


def sample(array: NDArray[Any]) -> list[float]:
    """Some 100 entries of an output, the same ones on both sides."""
    places = np.random.default_rng(0).integers(0, array.size, 100)
    return [float(number) for number in array.reshape(-1)[places]]


def _process(name: str, threads: int, row: Mapping[str, Any]) -> Any:
    """One run of a variant. The number of threads is set before it imports NumPy.

    It is that of BLAS, as `limit` needs it, and that of this package, in whose calls BLAS has one thread.
    """
    libraries = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(libraries, str(threads))
    command = [sys.executable, sys.argv[0], "--run", name, json.dumps({"threads": threads, **row})]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _same_outputs(runs: Mapping[str, dict[str, Any]]) -> None:
    """Raise AssertionError unless the outputs agree: else it is not the same work that is timed."""
    first, *others = runs.values()
    for other in others:
        assert first.get("outputs", {}).keys() == other.get("outputs", {}).keys()
        for name, numbers in first.get("outputs", {}).items():
            bound = TOLERANCE * float(np.abs(numbers).max())
            message = f"{name} of {list(runs)}"
            np.testing.assert_allclose(other["outputs"][name], numbers, rtol=0, atol=bound, err_msg=message)


def _table(results: Sequence[dict[str, Any]], ours: int, by: Callable[[float, float], float]) -> str:
    """A Markdown table: medians in milliseconds, and each of the other variants set against each of ours."""
    sizes, names = list(results[0]["row"]), list(results[0]["seconds"])
    mine, others = names[:ours], names[ours:]
    limited = "limit" in results[0]
    head = [*sizes, *["limit, ms"] * limited, *(f"{name}, ms" for name in mine)]
    sign, unit = ("/", "") if by is RATIO else ("-", ", ms")
    for name in others:
        head += [f"{name}, ms", *(f"{name} {sign} {own}{unit} (min to max)" for own in mine)]
    lines = [head, ["---:"] * len(head)]
    for result in results:
        seconds = result["seconds"]
        line = [str(size) for size in result["row"].values()]
        shown = [*([result["limit"]] if limited else []), *(seconds[own] for own in mine)]
        line += [milliseconds(times) for times in shown]
        for name in others:
            done = seconds[name]
            line += (
                [milliseconds(done), *(_against(seconds[own], done, by) for own in mine)] if done else [""] * (1 + ours)
            )
        lines.append(line)
    return markdown(lines)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table, of its cells."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def milliseconds(seconds: Sequence[float]) -> str:
    """The median in milliseconds, of three digits."""
    number = 1e3 * median(seconds)
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _against(base: Sequence[float], seconds: Sequence[float], by: Callable[[float, float], float]) -> str:
    """The median over the rounds, and the range."""
    pairs = [by(b, a) * (1 if by is RATIO else 1e3) for a, b in zip(base, seconds, strict=True)]
    return f"{median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"


def write_results(text: str, numbers: Mapping[str, Any], versions: Mapping[str, str]) -> None:
    """Write the files of the script that runs: the text and the versions, and all numbers with the versions."""
    path = RESULTS / Path(sys.argv[0]).stem
    RESULTS.mkdir(exist_ok=True)
    facts = "\n".join(_facts(versions))
    path.with_suffix(".md").write_text(f"{text}\n{facts}\n", encoding="utf-8")
    content = json.dumps({**numbers, "versions": versions}, indent=1)
    path.with_suffix(".json").write_text(content + "\n", encoding="utf-8")


def _facts(versions: Mapping[str, str]) -> list[str]:
    return [f"- {key}: {value}" for key, value in versions.items()]


def _on(what: str, threads: int) -> str:
    return f"{what} on {threads} thread{'s' * (threads > 1)}"


def software() -> dict[str, str]:
    """The machine, and the versions of what runs everywhere."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found = {"CPU": f"{_cpu()} ({os.cpu_count()} cores)", "Python": platform.python_version()}
    return {**found, "NumPy": np.__version__, "BLAS of NumPy": f"{blas['name']} {blas['version']}"}


def _cpu() -> str:
    """Its name, and its family and model where they are told: of a rented machine one name may stand for several."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    numbers = [f", {name} {facts[key]}" for key, name in (("cpu family", "family"), ("model", "model")) if key in facts]
    return facts.get("model name", platform.machine()) + "".join(numbers)
