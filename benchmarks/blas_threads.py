"""How many threads BLAS has before, inside and after a call of this package, and what it costs to set them.

Run it with `python benchmarks/blas_threads.py`, where the package is installed, on Linux or macOS. It prints two tables
and writes nothing. Of several threads of Python, "inside" is what each of them saw, in the midst of the others.
"""

from __future__ import annotations

import os
import signal
import sys
import timeit
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from harness import markdown, software


def blas_threads() -> int:
    """What threadpoolctl finds, by itself."""
    return max(int(found["num_threads"]) for found in threadpool_info() if found["user_api"] == "blas")


threadpool_limits(2, user_api="blas")  # whatever the machine has, and an environment variable says
_before = blas_threads()

import tinygrad_rnn as rnn  # noqa: E402  # what its import does is measured
from tinygrad_rnn.core import blas  # noqa: E402
from tinygrad_rnn.core.blas import with_one_blas_thread  # noqa: E402
from tinygrad_rnn.kernels.threads import divide  # noqa: E402

inside = with_one_blas_thread(blas_threads)


def states() -> list[Sequence[object]]:
    """Rows: what happens, and the threads of BLAS before it, inside and after."""
    rows: list[Sequence[object]] = [("import tinygrad_rnn", _before, "", blas_threads())]

    def add(what: str, happen: Callable[[], object]) -> None:
        before, seen = blas_threads(), happen()
        rows.append((what, before, seen, blas_threads()))

    rng = np.random.default_rng(0)
    add("Parameter(np.zeros(1))", lambda: str(rnn.Parameter(np.zeros(1)))[:0])
    model = rnn.Sequential(rnn.OneHot(600), rnn.LSTMCell(600, 256, rng=rng), rnn.Linear(256, 600, rng=rng))
    add("a model is made", lambda: "")
    add("a call", inside)
    for count in (1, 2):
        rnn.set_threads(count)
        add(f"set_threads({count}), and divided work", lambda: divide(lambda part: blas_threads(), 2, 1))
    add("forward for training", lambda: str(model.forward(np.zeros((9, 64), int)))[:0])
    ids = rnn.generate(model, [0], length=5, rng=rng)
    add("between the ids of `generate`", lambda: {blas_threads() for _ in ids})
    add("4 threads of Python, 500 calls each", several)
    add("an interrupt", interrupted)
    signal.signal(signal.SIGALRM, lambda *given: seen_by_handler.append(inside()))
    add("a signal, whose handler computes, in a call", signalled)
    if hasattr(os, "fork"):
        warnings.simplefilter("ignore")  # Python 3.12 warns of a fork where there are threads
        add("a child of a fork outside of a call", lambda: forked(fork))
        add("a child of a fork in a call: at once; in a call of its own; after it", lambda: forked(fork_inside))
        add("the same, while another thread of Python computes", lambda: forked(fork_beside))
    return rows


seen_by_handler: list[int] = []


def several() -> set[int]:
    switches = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    look = with_one_blas_thread(blas._blas.get if blas._blas else blas_threads)
    with ThreadPoolExecutor(4) as pool:
        found = {count for counts in pool.map(lambda _: [look() for _ in range(500)], range(4)) for count in counts}
    sys.setswitchinterval(switches)
    return found


def interrupted() -> str:
    @with_one_blas_thread
    def compute() -> None:
        signal.raise_signal(signal.SIGINT)

    try:
        compute()
    except KeyboardInterrupt:
        return ""
    raise AssertionError


@with_one_blas_thread
def signalled() -> list[int]:
    signal.raise_signal(signal.SIGALRM)
    return [*seen_by_handler, blas_threads()]


def fork() -> int:
    child = os.fork()
    if child == 0:
        with os.fdopen(writer, "w") as pipe:
            pipe.write(f"{blas_threads()}; {inside()}; {blas_threads()}")
        os._exit(0)
    return child


fork_inside = with_one_blas_thread(fork)
reader = writer = 0


def fork_beside() -> int:
    ended: list[bool] = []

    @with_one_blas_thread
    def compute() -> None:
        while not ended:
            divide(lambda part: np.dot(np.ones((64, 64)), np.ones((64, 64))), 2, 1)

    other = Thread(target=compute)
    other.start()
    child = fork()
    ended.append(True)
    other.join()
    return child


def forked(way: Callable[[], int]) -> str:
    """What the child says."""
    global reader, writer
    reader, writer = os.pipe()
    child = way()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


def costs() -> list[Sequence[object]]:
    """Rows: what is done, and microseconds, the least of several rounds."""
    nothing = with_one_blas_thread(lambda: None)

    def time(call: Callable[[], object], number: int = 1000) -> float:
        return min(timeit.repeat(call, number=number, repeat=99)) / number * 1e6

    def limit() -> None:
        with threadpool_limits(1, user_api="blas"):
            pass

    plain, rows = time(lambda: None), []
    for count in (2, 1):
        threadpool_limits(count, user_api="blas")
        rows.append((f"enter and leave, BLAS having {count}", time(nothing) - plain))
    threadpool_limits(2, user_api="blas")
    rows.append(("the same, nested", with_one_blas_thread(lambda: time(nothing))() - plain))
    rows.append(("threadpool_limits(1)", time(limit, 10)))
    rnn.set_threads(1)
    rows.append(("work in one part", time(lambda: divide(lambda part: None, 2, 1)) - plain))
    rnn.set_threads(2)
    rows.append(("work of nothing in two parts", time(lambda: divide(lambda part: None, 2, 1), 100) - plain))
    return [(what, f"{spent:.2f}") for what, spent in rows]


def main() -> None:
    for head, rows in (
        (("what", "before", "inside", "after"), states()),
        (("what", "µs"), costs()),
    ):
        lines = [[str(cell) for cell in row] for row in rows]
        print(markdown([head, ["---"] * len(head), *lines]))
    print("\n".join(f"- {key}: {value}" for key, value in software().items()))


if __name__ == "__main__":
    main()
