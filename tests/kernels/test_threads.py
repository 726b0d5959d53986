"""In processes of their own: the number of threads holds for a whole one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from threading import Barrier, get_ident
from time import sleep

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tinygrad_rnn import set_threads
from tinygrad_rnn.kernels import threads
from tinygrad_rnn.kernels.threads import divide, divide_blocks
from tinygrad_rnn.testing import StrictDevice

CODE = """
import os
import numpy as np
import tinygrad_rnn as rnn
from threadpoolctl import threadpool_info, threadpool_limits

def threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

threadpool_limits(2, user_api="blas")
{call}
from tinygrad_rnn.kernels.threads import divide
parts = divide(lambda part: part, 100, 1)
print(set(threads()), len(parts))
"""
BLAS = [library for library in threadpool_info() if library["user_api"] == "blas"]
ONE = "{1}" if BLAS else "set()"
"""How many threads BLAS has where a model was made."""
MODEL = "rnn.Linear(2, 3, rng=np.random.default_rng(0))"


def threads_after(call: str, environment: dict[str, str]) -> str:
    """How many threads BLAS has in a process that began with two."""
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return subprocess.run(
        [sys.executable, "-c", CODE.format(call=call)],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.mark.skipif(not BLAS, reason="this NumPy has a BLAS that does not tell its threads, as Apple's")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="BLAS has no second thread here")
@pytest.mark.parametrize(
    ("call", "environment", "expected"),
    [
        ("", {}, "{2} 1"),  # an import alone changes nothing
        (MODEL, {}, "{1} 1"),
        ("rnn.set_threads(2)", {}, "{1} 2"),
        (f"rnn.set_threads(2); {MODEL}", {}, "{1} 2"),
        (f"{MODEL}; rnn.set_threads(2); {MODEL}", {}, "{1} 2"),
        (f"{MODEL}; threadpool_limits(2); {MODEL}", {}, "{2} 1"),  # BLAS is set once
        (MODEL, {"OPENBLAS_NUM_THREADS": "2"}, "{1} 2"),
        (MODEL, {"OMP_NUM_THREADS": "3"}, "{1} 3"),
        (MODEL, {"OMP_NUM_THREADS": "2,1"}, "{1} 1"),
    ],
)
def test_one_thread_unless_more_are_asked_for(call: str, environment: dict[str, str], expected: str) -> None:
    assert threads_after(call, environment) == expected


def test_the_results_are_the_same_to_rounding() -> None:
    call = """
rng = np.random.default_rng(0)
model = rnn.Sequential(rnn.RNNCell(300, 512, rng=rng), rnn.Linear(512, 200, rng=rng))
xs = rng.standard_normal((5, 64, 300)).astype("float32")
results = []
for count in (1, 2):
    rnn.set_threads(count)
    model.zero_grad()
    ys, _, cache = model.forward(xs)
    model.backward(ys, None, cache)
    results.append((ys, model.flat_grad.copy()))
for one, two in zip(*results):
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-5 * abs(one).max())
"""
    threads_after(call, {})


KERNEL = """
rng = np.random.default_rng(0)
cells = [make(48, 128, rng=rng) for make in (rnn.LSTMCell, rnn.GRUCell, rnn.RNNCell)]
xs, dys = rng.standard_normal((9, 200, 48)).astype("float32"), rng.standard_normal((9, 200, 128)).astype("float32")
lengths = rng.integers(0, 10, 200)

def outcome():
    found = []
    for cell in cells:
        cell.zero_grad()
        for given in (None, lengths):
            ys, state, cache = cell.forward(xs, lengths=given)
            dxs, dstate = cell.backward(dys, None, cache)
            found += [ys, *state, dxs, *dstate]
        found.append(cell.flat_grad.copy())
    return found

def same(found, expected):
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-5 * abs(two).max())
"""


def test_kernels_compute_the_same_with_more_threads() -> None:
    """In threads of a user's, too, at once."""
    call = f"""
from concurrent.futures import ThreadPoolExecutor
{KERNEL}
rnn.set_threads(1)
expected = outcome()
for count in (2, 3, 2):
    rnn.set_threads(count)
    same(outcome(), expected)
with ThreadPoolExecutor(4) as pool:
    for ys in pool.map(lambda _: cells[0](xs)[0], range(12)):
        same([ys], expected[:1])
"""
    assert threads_after(call, {}) == f"{ONE} 2"


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_count", 2)
    monkeypatch.setattr(threads, "_pool", None)


@pytest.mark.parametrize(
    ("count", "rows", "least", "parts"),
    [
        (1, 8, 1, [(0, 8)]),
        (2, 8, 1, [(0, 4), (4, 8)]),
        (3, 8, 1, [(0, 2), (2, 5), (5, 8)]),
        (4, 8, 3, [(0, 4), (4, 8)]),
        (2, 8, 5, [(0, 8)]),
        (2, 1, 1, [(0, 1)]),
        (2, 0, 0, [(0, 0)]),
    ],
)
@pytest.mark.usefixtures("two_threads")
def test_which_rows_each_thread_has(
    count: int, rows: int, least: int, parts: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_count", count)
    assert divide(lambda part: (part.start, part.stop), rows, least) == parts


@pytest.mark.usefixtures("two_threads")
def test_the_parts_are_worked_on_at_once() -> None:
    both = Barrier(2)
    by = divide(lambda part: (both.wait(10), get_ident())[1], 2, 1)
    assert by[0] == get_ident() != by[1]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_a_part_is_raised_when_all_have_ended(failing: int) -> None:
    ended = []

    def work(part: slice) -> None:
        if part.start == failing:
            raise KeyError
        sleep(0.05)
        ended.append(part)

    with pytest.raises(KeyError):
        divide(work, 2, 1)
    assert len(ended) == 1


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("rows", "width"), [(1000, 1), (0, 1), (7, 300), (50, 30), (5, 0)])
def test_blocks_are_all_the_rows(count: int, rows: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, a block in one thread, and no more than a cache has room for."""
    monkeypatch.setattr(threads, "_count", count)
    monkeypatch.setattr(threads, "BLOCK", 100)
    done, who = np.zeros(rows, int), set()

    def work(block: slice) -> None:
        assert 0 < block.stop - block.start <= max(100 // max(width, 1), 1)
        done[block] += 1
        who.add(get_ident())

    array = np.zeros((rows, width))
    divide_blocks(work, array)
    assert (done == 1).all()
    assert len(who) <= count
    whole: list[slice] = []
    divide_blocks(whole.append, StrictDevice().asarray(array))
    assert whole == [slice(0, rows)]


@pytest.mark.usefixtures("two_threads")
def test_a_part_that_waits_for_a_thread_in_vain_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, the pool has put it in line already, and says so after that."""
    line: list[Callable[[], None]] = []

    class Pool:
        def submit(self, run: Callable[[], None]) -> None:
            line.append(run)
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_pool", Pool())
    done: list[slice] = []
    divide(done.append, 4, 1)
    for run in line:
        run()
    assert done == [slice(0, 2), slice(2, 4)]


@pytest.mark.usefixtures("two_threads")
def test_all_threads_see_what_the_caller_says_of_errors() -> None:
    zero = np.zeros(2)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        divide(lambda part: part.start and 1 / zero[part], 2, 1)
    with np.errstate(divide="ignore"):
        assert divide(lambda part: 1 / zero[part], 2, 1) == [np.inf, np.inf]


def test_a_thread_that_outlives_the_main_one_computes_alone() -> None:
    call = f"""
from threading import Thread, main_thread
{KERNEL}
rnn.set_threads(2)
expected = outcome()

def late():
    main_thread().join()
    same(outcome(), expected)
    print("done")

Thread(target=late).start()
"""
    assert threads_after(call, {}).splitlines() == [f"{ONE} 2", "done"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_process_has_threads_of_its_own() -> None:
    call = f"""
import sys, warnings
{KERNEL}
rnn.set_threads(2)
expected = outcome()
sys.stdout.flush()
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    import faulthandler
    faulthandler.dump_traceback_later(30, exit=True)
    same(outcome(), expected)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    threads_after(call, {})


@pytest.mark.messages
@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError)])
def test_what_is_no_number_of_threads_is_refused(count: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"set_threads: count must be (an integer|at least 1), not"):
        set_threads(count)
