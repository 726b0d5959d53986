"""Mostly in processes of their own: the number of threads holds for a whole one. Each must end within a minute."""

from __future__ import annotations

import gc
import os
import signal
import weakref
from threading import Barrier, Event, Thread, get_ident
from time import sleep

import numpy as np
import pytest

from running import run_alone
from tinygrad_rnn import set_threads
from tinygrad_rnn.kernels import threads
from tinygrad_rnn.kernels.threads import divide, divide_blocks
from tinygrad_rnn.testing import StrictDevice

CODE = """
import os
import numpy as np
import tinygrad_rnn as rnn

def print_parts():
    from tinygrad_rnn.kernels.threads import divide
    print(len(divide(lambda part: part, 100, 1)))

{call}
print_parts()
"""
MODEL = "rnn.Linear(2, 3, rng=np.random.default_rng(0))"


def threads_after(call: str, environment: dict[str, str]) -> str:
    """How many parts are made, after what `call` prints."""
    return run_alone(CODE.format(call=call), **environment)


@pytest.mark.parametrize(
    ("environment", "calls"),
    [
        ({}, {"": "1", MODEL: "1", "rnn.set_threads(2)": "2", f"rnn.set_threads(3); {MODEL}": "3"}),
        ({}, {"rnn.set_threads(2)": "2", MODEL: "2"}),
        ({"OPENBLAS_NUM_THREADS": "2"}, {MODEL: "2", "rnn.set_threads(1)": "1"}),
        ({"OMP_NUM_THREADS": "3"}, {MODEL: "3"}),
        ({"OMP_NUM_THREADS": "2,1"}, {MODEL: "1"}),
    ],
)
def test_one_thread_unless_more_are_asked_for(environment: dict[str, str], calls: dict[str, str]) -> None:
    """One call after the other, in one process."""
    found = threads_after("\nprint_parts()\n".join(calls), environment)
    assert found.split() == list(calls.values())


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
xs, dys = rng.standard_normal((4, 200, 48)).astype("float32"), rng.standard_normal((4, 200, 128)).astype("float32")
lengths = rng.integers(0, 5, 200)

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
    assert threads_after(call, {}) == "2"


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_count", 2)
    monkeypatch.setattr(threads, "_pool", threads._Pool())


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
def test_an_error_of_a_part_is_raised_when_all_that_began_have_ended(failing: int) -> None:
    both, ended = Barrier(2), []

    def work(part: slice) -> None:
        both.wait(10)
        if part.start == failing:
            raise KeyError
        sleep(0.05)
        ended.append(part)

    with pytest.raises(KeyError):
        divide(work, 2, 1)
    assert len(ended) == 1


@pytest.mark.usefixtures("two_threads")
def test_an_error_keeps_nothing() -> None:
    array = np.zeros(2)
    kept, both = weakref.ref(array), Barrier(2)

    def work(part: slice, array: np.ndarray = array) -> None:
        both.wait(10)
        if part.start:
            raise KeyError

    gc.disable()
    try:
        with pytest.raises(KeyError):
            divide(work, 2, 1)
        del array, work
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures("two_threads")
def test_what_no_thread_has_begun_the_caller_does() -> None:
    """Once, whatever the thread does later."""
    busy, go = Barrier(2), Event()
    first = Thread(target=divide, args=(lambda part: part.start and (busy.wait(10), go.wait(10)), 2, 1))
    first.start()
    busy.wait(10)  # the thread of the pool has begun
    done: list[tuple[slice, int]] = []
    divide(lambda part: done.append((part, get_ident())), 4, 1)
    go.set()
    first.join()
    sleep(0.05)
    assert done == [(slice(0, 2), get_ident()), (slice(2, 4), get_ident())]


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
    done[:] = 0
    part = slice(rows // 7, rows - rows // 3)
    divide_blocks(work, array, part)
    assert (done[part] == 1).all()
    assert done.sum() == part.stop - part.start
    divide_blocks(whole.append, StrictDevice().asarray(array), part)
    assert whole[1:] == [part]


@pytest.mark.usefixtures("two_threads")
def test_where_no_thread_can_be_had_the_caller_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **more: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "Thread", refuse)
    done: list[slice] = []
    divide(done.append, 4, 1)
    assert done == [slice(0, 2), slice(2, 4)]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.usefixtures("two_threads")
def test_divided_work_may_divide(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as it likes, with fewer threads than parts."""
    monkeypatch.setattr(threads, "_count", count)

    def work(part: slice, depth: int = 3) -> int:
        sleep(0.001)  # so that threads of the pool get some
        return sum(divide(lambda part: work(part, depth - 1), 6, 1)) if depth else 1

    assert divide(work, 6, 1) == [count**3] * count


@pytest.mark.usefixtures("two_threads")
def test_all_threads_see_what_the_caller_says_of_errors() -> None:
    zero = np.zeros(2)
    both = Barrier(2)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        divide(lambda part: (both.wait(10), part.start and 1 / zero[part]), 2, 1)
    with np.errstate(divide="ignore"):
        assert divide(lambda part: (both.wait(10), 1 / zero[part])[1], 2, 1) == [np.inf, np.inf]


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
    assert threads_after(call, {}).splitlines() == ["2", "done"]


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


SIGNALS = """
import random, signal, sys
import numpy as np
import tinygrad_rnn as rnn
from tinygrad_rnn.kernels.threads import divide
rnn.set_threads(2)
random.seed(0)
calls, done, over = 4000, [], False

def arm():
    if not over:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(2e-5, 4e-4))

def compute():
    return divide(lambda part: part.start + len(done[:0]), 2, 1)

signal.signal(signal.SIGALRM, handle := lambda *given: (react(), arm()))
"""
has_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such timer here")


@has_timer
def test_a_signal_handler_may_compute_while_threads_do() -> None:
    """Wherever the signal comes."""
    found = run_alone(
        f"""{SIGNALS}
react = lambda: done.append(compute())
arm()
assert all(compute() == [0, 1] for _ in range(calls))
over = True
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(done) > 10, all(found == [0, 1] for found in done))
"""
    )
    assert found == "True True"


@has_timer
def test_an_interrupt_is_raised_when_no_thread_works_any_more() -> None:
    """Wherever it comes; and the next call is as if there had been none."""
    found = run_alone(
        f"""{SIGNALS}
from tinygrad_rnn.core import blas
from threading import get_ident
working, interrupts, main = set(), 0, get_ident()

def react():
    raise KeyboardInterrupt

def work(part):
    for _ in range(10):
        if get_ident() != main:
            working.add(part.start)
        sum(range(300))
        working.discard(part.start)
    return part.start

for _ in range(calls):
    working.clear()
    try:
        arm()
        found = divide(work, 2, 1)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupts += 1
        assert not working
    assert not blas._inside
print(interrupts > 10, compute())
"""
    )
    assert found == "True [0, 1]"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_while_another_thread_computes(pytestconfig: pytest.Config) -> None:
    forks = 8 if pytestconfig.getoption("--long") else 3
    found = run_alone(
        f"""
import os, signal, sys, warnings
from threading import Event, Thread
import numpy as np
import tinygrad_rnn as rnn
{KERNEL}
warnings.simplefilter("ignore")
rnn.set_threads(2)
expected, end, codes = outcome(), Event(), set()

def compute():
    while not end.is_set():
        outcome()

others = [Thread(target=compute) for _ in range(2)]
for other in others:
    other.start()
for _ in range({forks}):
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends it
        same(outcome(), expected)
        os._exit(0)
    codes.add(os.waitpid(child, 0)[1])
end.set()
for other in others:
    other.join()
same(outcome(), expected)
print(codes)
"""
    )
    assert found == "{0}"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_child_that_goes_on_with_a_call_of_its_parent_is_told() -> None:
    found = run_alone(
        """
import os, signal, sys, warnings
from threading import Barrier
from time import sleep
import tinygrad_rnn as rnn
from tinygrad_rnn.kernels.threads import divide
warnings.simplefilter("ignore")
rnn.set_threads(2)
both, child = Barrier(2), None

def fork(*given):
    global child
    child = os.fork()

def work(part):
    both.wait(10)
    if part.start:
        sleep(0.5)
    else:
        signal.raise_signal(signal.SIGTERM)
    return part.start

signal.signal(signal.SIGTERM, fork)
try:
    print(divide(work, 2, 1), os.waitpid(child, 0)[1])
except RuntimeError as error:
    signal.alarm(30)
    print(child, str(error)[:22], divide(lambda part: part.start, 2, 1), flush=True)
    os._exit(0)
"""
    )
    assert sorted(found.splitlines()) == ["0 the process was forked [0, 1]", "[0, 1] 0"]


AT_THE_END = """
import os, sys
import numpy as np
import tinygrad_rnn as rnn
from tinygrad_rnn.kernels.threads import divide
rnn.set_threads(2)
cell = rnn.RNNCell(5, 300, rng=np.random.default_rng(0))
xs = np.ones((3, 400, 5), "float32")

def compute(write=os.write, cell=cell, xs=xs):
    ys, state = cell(xs)
    write(1, b"%d " % len(ys))

class Late:
    def __del__(self, compute=compute):
        compute()
"""


@pytest.mark.parametrize("before", ["", "compute()"])
@pytest.mark.parametrize(
    ("when", "count"),
    [
        ("import atexit; atexit.register(compute)", 1),
        ("late = Late()", 1),
        ("import atexit; atexit.register(compute); late = Late()", 2),
        ("from threading import Thread, main_thread as m; Thread(target=lambda: (m().join(), compute())).start()", 1),
    ],
)
def test_while_python_ends_the_caller_does_what_no_thread_can(when: str, count: int, before: str) -> None:
    """Also where it is the first that is divided."""
    assert run_alone(f"{AT_THE_END}\n{before}\n{when}").split() == ["3"] * (count + bool(before))


def test_python_ends_while_a_daemon_computes(pytestconfig: pytest.Config) -> None:
    """Some times, for the thread may be anywhere."""
    for _ in range(10 if pytestconfig.getoption("--long") else 4):
        run_alone(
            f"""{AT_THE_END}
from threading import Thread
from time import sleep

def forever(divide=divide):
    while True:
        divide(lambda part: None, 2, 1)

Thread(target=forever, daemon=True).start()
late = Late()
sleep(0.01)
"""
        )


def test_threads_of_another_number_end() -> None:
    found = run_alone(
        """
import threading
from time import monotonic, sleep
import tinygrad_rnn as rnn
from tinygrad_rnn.kernels.threads import divide
for count in (3, 2, 5, 2, 1):
    rnn.set_threads(count)
    divide(lambda part: sleep(0.01), count, 1)
    end = monotonic() + 20
    while threading.active_count() != count and monotonic() < end:
        sleep(0.01)
    print(threading.active_count(), end=" ")
"""
    )
    assert found == "3 2 5 2 1"


@pytest.mark.messages
@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError)])
def test_what_is_no_number_of_threads_is_refused(count: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"set_threads: count must be (an integer|at least 1), not"):
        set_threads(count)
