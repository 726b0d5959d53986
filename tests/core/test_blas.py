"""How many threads BLAS has before, inside and after a call: mostly in processes of their own, for it holds for all."""

from __future__ import annotations

import _ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from running import run_alone
from tinygrad_rnn.core import blas
from tinygrad_rnn.core.blas import _Before, _BeforeInThread, _Blas, with_one_blas_thread

CODE = """
import os
os.environ["OPENBLAS_NUM_THREADS"] = "2"  # where there is one core, too
import numpy as np
del os.environ["OPENBLAS_NUM_THREADS"]
from threadpoolctl import threadpool_info, threadpool_limits

def now():
    found, = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
    return found

threadpool_limits(2, user_api="blas")
import tinygrad_rnn as rnn
from tinygrad_rnn.core import blas
from tinygrad_rnn.core.blas import with_one_blas_thread
from tinygrad_rnn.kernels.threads import divide
inside = with_one_blas_thread(now)
rng = np.random.default_rng(0)
"""
has_openblas = "openblas" in np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
controlled = pytest.mark.skipif(not has_openblas, reason="nothing may control this BLAS")


def run(code: str) -> str:
    return run_alone(CODE + code)


@controlled
def test_neither_an_import_nor_an_object_changes_anything() -> None:
    objects = (
        "",
        "rnn.Parameter(np.zeros(1))",
        "rnn.Device('cpu').zeros(3, 'float32')",
        "rnn.set_threads(2)",
        "rnn.Sequential(rnn.OneHot(5), rnn.LSTMCell(5, 256, rng=rng), rnn.Linear(256, 5, rng=rng))",
    )
    found = run("\n".join(f"{what}\nprint(now(), blas._inside)" for what in objects))
    assert found.splitlines() == ["2 set()"] * len(objects)


@controlled
@pytest.mark.parametrize("count", [1, 2])
def test_after_each_call_blas_has_what_it_had(count: int) -> None:
    found = run(
        f"""
rnn.set_threads({count})
entered, enter = [], blas._enter
blas._enter = lambda me: (enter(me), entered.append(now()))
model = rnn.Sequential(rnn.OneHot(5), rnn.LSTMCell(5, 300, rng=rng), rnn.Linear(300, 400, rng=rng))
criterion, optimizer = rnn.SoftmaxCrossEntropy(), rnn.Adam(model, lr=0.1)
ids = rng.integers(0, 5, (7, 64))
ys, state, cache = model.forward(ids)
after = [now()]
loss, loss_cache = criterion.forward(ys, ids)
dys = criterion.backward(loss_cache)
after.append(now())
model.backward(dys, None, cache)
after.append(now())
optimizer.step()
after.append(now())
print(after, set(entered), divide(lambda part: now(), 2, 1), now())
"""
    )
    assert found == f"[2, 2, 2, 2] {{1}} {[1] * count} 2"


@controlled
def test_generation_puts_it_back_before_each_id() -> None:
    found = run(
        """
model = rnn.Sequential(rnn.OneHot(600), rnn.RNNCell(600, 800, rng=rng), rnn.Linear(800, 600, rng=rng))
entered, enter = [], blas._enter
blas._enter = lambda me: (enter(me), entered.append(now()))
ids = rnn.generate(model, [0], length=5, rng=rng)
between = [now() for _ in ids]
tokens = [now() for _ in rnn.generate_samples(model, [0], samples=2, length=3, rng=rng)]
print(set(between + tokens), len(between), len(entered) >= 8, set(entered))
rnn.greedy_search(model, [0], length=3)
rnn.beam_search(model, [0], width=2, length=3)
print(now())
"""
    )
    assert found == "{2} 5 True {1}\n2"


@controlled
def test_a_small_model_sets_nothing_as_it_generates() -> None:
    found = run(
        """
model = rnn.Sequential(rnn.OneHot(65), rnn.LSTMCell(65, 128, rng=rng), rnn.Linear(128, 65, rng=rng))
ids = rnn.generate(model, [0], length=50, rng=rng)
next(ids)
blas._find()
blas._enter = None
print(len(list(ids)), blas.undivided)
"""
    )
    assert found.split()[0] == "49"


@controlled
def test_what_is_found_is_the_blas_of_numpy() -> None:
    found = run(
        """
print(blas._blas, blas._find().get(), inside(), now())
threadpool_limits(1, user_api="blas")
print(blas._blas.get(), inside(), now())
"""
    )
    assert found == "None 2 1 2\n1 1 1"


@controlled
def test_several_threads_of_python_at_once() -> None:
    """The last to leave puts it back, whoever came first."""
    found = run(
        """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
sys.setswitchinterval(1e-6)
get = blas._find().get
look = with_one_blas_thread(get)
wrong = []

def often(k):
    for _ in range(3000):
        if look() != 1:
            wrong.append(k)

with ThreadPoolExecutor(4) as pool:
    for trial in range(20):
        list(pool.map(often, range(4)))
        wrong += [trial] * (get() != 2 or bool(blas._inside))
    first, second = Barrier(2), Barrier(2)

    @with_one_blas_thread
    def early():
        first.wait()
    @with_one_blas_thread
    def late():
        first.wait()
        second.wait()
        return get()

    inside = pool.submit(late)
    pool.submit(early).result()
    print(get(), end=" ")
    second.wait()
    print(inside.result(), get(), wrong)
"""
    )
    assert found == "1 1 2 []"


EVERYWHERE = """
import dis, sys
from itertools import count
get = blas._find().get
look = with_one_blas_thread(get)
checks = {"RESUME", "CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD"}  # after these Python looks for signals
names = {}

def at(place, happen, where):
    # Calls `look`, and `happen` before the operation number `place` of those that come after one of `where`.
    places, last = count(), {}

    def trace(frame, event, argument):
        if not frame.f_code.co_filename.endswith("blas.py"):
            return None
        frame.f_trace, frame.f_trace_opcodes, frame.f_trace_lines = trace, True, False
        if event == "opcode":
            code = frame.f_code
            if code not in names:
                names[code] = {operation.offset: operation.opname for operation in dis.get_instructions(code)}
            before = names[code].get(last.get(frame))
            last[frame] = frame.f_lasti
            if (where is None or before in where) and next(places) == place:
                happen()
        return trace

    sys._getframe().f_trace_opcodes = True  # or Python 3.12 would tell of none
    sys.settrace(trace)
    try:
        return look()
    finally:
        sys.settrace(None)
        at.ended = next(places) <= place
"""


@controlled
def test_a_signal_handler_may_compute_wherever_it_comes() -> None:
    """Before every single operation of what enters and leaves."""
    found = run(
        f"""{EVERYWHERE}
for place in count():
    seen = []
    found = at(place, lambda: seen.append(look()), None)
    assert (found, get(), blas._inside) == (1, 2, set()), place
    if at.ended:
        break
print(place > 50)
"""
    )
    assert found == "True"


@controlled
def test_an_interrupt_leaves_what_it_found() -> None:
    """Wherever Python looks for signals while a thread enters or leaves."""
    found = run(
        f"""{EVERYWHERE}
def interrupt():
    raise KeyboardInterrupt

interrupts = 0
for place in count():
    try:
        at(place, interrupt, checks)
    except KeyboardInterrupt:
        interrupts += 1
    assert (get(), blas._inside, blas._lock._is_owned()) == (2, set(), False), place
    if at.ended:
        break
print(interrupts > 10)
"""
    )
    assert found == "True"


@controlled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.parametrize("who", ["me", "another thread", "nobody"])
def test_the_child_of_a_fork_begins_outside(who: str) -> None:
    found = run(
        f"""
import signal, sys, warnings
from threading import Barrier, Thread
warnings.simplefilter("ignore")
inside()
entered, end = Barrier(2), Barrier(2)

@with_one_blas_thread
def stay():
    entered.wait()
    end.wait()

@with_one_blas_thread
def fork():
    child = os.fork()
    if not child:
        print("child", now(), inside(), now(), flush=True)
    return child

other = Thread(target=stay)
if {who!r} == "another thread":
    other.start()
    entered.wait()
child = fork() if {who!r} == "me" else fork.__wrapped__()
if child == 0:
    print("child", now(), inside(), now(), blas._inside, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
if other.is_alive():
    end.wait()
    other.join()
print(now(), inside(), now(), blas._inside)
"""
    )
    assert found.splitlines() == ["child 2 1 2", "child 2 1 2 set()", "2 1 2 set()"]


@controlled
def test_while_python_ends_nothing_is_set_and_nothing_waits() -> None:
    """Also where a thread that ended with it held the lock."""
    found = run(
        """
import sys
from threading import Thread

cell, xs = rnn.RNNCell(5, 500, rng=rng), np.ones((4, 1000, 5), "float32")

class Late:
    def __del__(self, write=os.write, ending=sys.is_finalizing, cell=cell, xs=xs):
        ys, state = cell(xs)
        write(1, f"{len(ys)} {ending()} ".encode())

rnn.set_threads(2)
cell(xs)
late = Late()
thread = Thread(target=blas._lock.acquire)  # for good
thread.start()
thread.join()
"""
    )
    assert found == "4 True"


class Fake:
    """A BLAS of two threads; with `by_thread`, of two in each thread of Python."""

    def __init__(self, by_thread: bool = False) -> None:
        self.threads: Any = threading.local() if by_thread else SimpleNamespace()
        before = _BeforeInThread() if by_thread else _Before()
        self.blas = _Blas(self.get, self.set, by_thread, before)

    def get(self) -> int:
        return getattr(self.threads, "count", 2)

    def set(self, count: int) -> None:
        self.threads.count = count


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[_Blas], None]]:
    monkeypatch.setattr(blas, "_inside", set())
    yield lambda found: monkeypatch.setattr(blas, "_blas", found)
    assert not blas._inside


@pytest.mark.parametrize("by_thread", [False, True])
def test_with_openmp_each_thread_has_its_own(by_thread: bool, use: Callable[[_Blas], None]) -> None:
    fake = Fake(by_thread)
    use(fake.blas)
    others: list[int] = []
    with ThreadPoolExecutor(1) as pool:

        @with_one_blas_thread
        def both() -> int:
            others.append(pool.submit(fake.get).result())
            others.append(pool.submit(with_one_blas_thread(fake.get)).result())
            others.append(pool.submit(fake.get).result())
            return fake.get()

        assert (fake.get(), both(), fake.get()) == (2, 1, 2)
    assert others == ([2, 1, 2] if by_thread else [1, 1, 1])


def test_a_nested_call_does_nothing(use: Callable[[_Blas], None]) -> None:
    fake = Fake()
    use(fake.blas)

    @with_one_blas_thread
    def outer() -> tuple[int, int, int]:
        return fake.get(), with_one_blas_thread(fake.get)(), fake.get()

    assert (outer(), fake.get()) == ((1, 1, 1), 2)


def test_an_error_passes(use: Callable[[_Blas], None]) -> None:
    fake = Fake()
    use(fake.blas)

    @with_one_blas_thread
    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert fake.get() == 2


def controller(fake: Fake, kind: str, path: str = "") -> Any:
    return SimpleNamespace(internal_api=kind, filepath=path, get_num_threads=fake.get, set_num_threads=fake.set)


def test_another_blas_is_set_by_threadpoolctl(use: Callable[[_Blas], None], monkeypatch: pytest.MonkeyPatch) -> None:
    scipys, numpys = Fake(), Fake()
    libraries = [controller(scipys, "mkl", "/scipy.libs/mkl"), controller(numpys, "blis", "/numpy.libs/blis")]
    monkeypatch.setattr(blas, "_openblas", lambda path: None)
    found = SimpleNamespace(select=lambda user_api: SimpleNamespace(lib_controllers=libraries))
    monkeypatch.setitem(sys.modules, "threadpoolctl", SimpleNamespace(ThreadpoolController=lambda: found))
    monkeypatch.setattr(blas, "undivided", 1)
    use(None)  # type: ignore[arg-type]  # not yet found
    config: Any = {}
    monkeypatch.setattr(np, "show_config", lambda mode: config)
    inside = with_one_blas_thread(lambda: (numpys.get(), scipys.get()))
    assert (inside(), numpys.get(), blas.undivided) == ((1, 2), 2, 1)

    use(None)  # type: ignore[arg-type]
    config = {"Build Dependencies": {"blas": {"name": "accelerate"}}}  # whose threads nothing controls
    assert (inside(), blas.undivided) == ((2, 2), sys.maxsize)


@controlled
def test_where_numpy_does_not_lead_to_openblas_threadpoolctl_does() -> None:
    """As on Windows."""
    from threadpoolctl import ThreadpoolController

    found, divides = blas._controlled(ThreadpoolController().select(user_api="blas").lib_controllers)
    expected = blas._find()
    assert expected is not None
    assert (found.get(), found.by_thread, divides) == (expected.get(), expected.by_thread, blas.undivided)


def test_in_the_midst_of_an_import_nothing_is_set(
    use: Callable[[_Blas], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a signal handler may find it; the next call looks again."""
    monkeypatch.setattr(blas, "_openblas", lambda path: None)
    monkeypatch.setitem(sys.modules, "threadpoolctl", SimpleNamespace())
    use(None)  # type: ignore[arg-type]
    assert with_one_blas_thread(lambda: blas._inside.copy())() == set()
    assert blas._blas is None


def test_a_library_that_is_no_openblas_is_none() -> None:
    assert blas._openblas("no such file") is None
    if hasattr(_ctypes, "__file__"):
        assert blas._openblas(_ctypes.__file__) is None
