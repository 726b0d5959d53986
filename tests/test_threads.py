"""In processes of their own: the number of threads holds for a whole one."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Event, Timer, get_ident
from types import SimpleNamespace
from weakref import WeakSet

import numpy as np
import pytest

from tinygrad_rnn import set_threads, threads
from tinygrad_rnn.threads import Helper

CODE = """
import os
import numpy as np
import tinygrad_rnn as rnn
from threadpoolctl import threadpool_info, threadpool_limits

def threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

threadpool_limits(2, user_api="blas")
{call}
print(set(threads()))
"""
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


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="BLAS has no second thread here")
@pytest.mark.parametrize(
    ("call", "environment", "expected"),
    [
        ("", {}, "{2}"),  # an import alone changes nothing
        (MODEL, {}, "{1}"),
        ("rnn.set_threads(2)", {}, "{2}"),
        (f"rnn.set_threads(2); {MODEL}", {}, "{2}"),
        (f"{MODEL}; rnn.set_threads(2); {MODEL}", {}, "{2}"),
        (f"{MODEL}; threadpool_limits(2); {MODEL}", {}, "{2}"),  # the default is set once
        (MODEL, {"OPENBLAS_NUM_THREADS": "2"}, "{2}"),
        (MODEL, {"OMP_NUM_THREADS": "2"}, "{2}"),
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
cells = [make(48, 112, rng=rng) for make in (rnn.LSTMCell, rnn.GRUCell, rnn.RNNCell)]
xs, dys = rng.standard_normal((64, 32, 48)).astype("float32"), rng.standard_normal((64, 32, 112)).astype("float32")
lengths = rng.integers(0, 65, 32)

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
"""


def test_a_kernel_computes_the_same_to_the_bit() -> None:
    """In threads of a user's, too, at once."""
    call = f"""
from concurrent.futures import ThreadPoolExecutor
{KERNEL}
rnn.set_threads(1)
expected = outcome()
rnn.set_threads(2)
for _ in range(5):
    for one, two in zip(expected, outcome(), strict=True):
        np.testing.assert_array_equal(one, two)
with ThreadPoolExecutor(4) as pool:
    for ys in pool.map(lambda _: cells[0](xs)[0], range(12)):
        np.testing.assert_array_equal(ys, expected[0])
"""
    assert threads_after(call, {}) == "{2}"  # of BLAS, as before


def helper(monkeypatch: pytest.MonkeyPatch, count: int = 2) -> Helper:
    """One in a process that has two threads, unless `count` says otherwise."""
    monkeypatch.setattr(threads, "_count", count)
    monkeypatch.setattr(threads, "_limit_blas", lambda count: None)
    return Helper()


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_given_is_done_in_order_by_the_end(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    with helper(monkeypatch, count) as aside:
        for i in range(20):
            aside.later(done.append, i)
    assert done == list(range(20))


@pytest.mark.parametrize("count", [1, 2])
def test_each_item_comes_with_its_result(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with helper(monkeypatch, count) as aside:
        assert list(aside.ahead(lambda n: n * n, iter(range(5)))) == [(n, n * n) for n in range(5)]
        assert list(aside.ahead(lambda n: n * n, [])) == []


def test_the_next_item_is_worked_on_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = [Event() for _ in range(3)]
    with helper(monkeypatch) as aside:
        for item, _ in aside.ahead(lambda i: begun[i].set(), range(3)):
            assert all(event.wait(10) for event in begun[: item + 2])
            assert not any(event.is_set() for event in begun[item + 2 :])


def test_what_the_helper_has_not_begun_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else this would wait for ever: the helper waits for the end of the loop."""
    end = Event()
    with helper(monkeypatch) as aside:
        aside.later(end.wait, 10)
        found = [get_ident() == by for _, by in aside.ahead(lambda i: get_ident(), range(3))]
        aside.later(int)
        aside.anyone(found.append, True)  # two are waiting, so here too
        assert found == [True] * 4
        end.set()


def test_few_pieces_wait_for_the_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each keeps its arrays in memory."""
    alive: WeakSet[Event] = WeakSet()
    with helper(monkeypatch) as aside:
        for _ in range(20):
            piece = Event()
            alive.add(piece)
            aside.later(piece.set)
            del piece
            assert len(alive) <= threads.BEHIND + 1


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("method", ["later", "anyone"])
def test_an_error_of_the_work_is_raised(method: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError), helper(monkeypatch, count) as aside:
        getattr(aside, method)(divmod, 1, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_of_the_work_ahead_is_raised(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError), helper(monkeypatch, count) as aside:
        list(aside.ahead(lambda i: 1 / i, [2, 1, 0]))


def test_an_error_of_the_loop_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError), helper(monkeypatch) as aside:  # noqa: PT012 # both belong in it
        aside.later(divmod, 1, 0)
        raise KeyError


def test_blas_has_one_thread_while_any_helper_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    first, second = helper(monkeypatch), helper(monkeypatch)
    monkeypatch.setattr(threads, "_limit_blas", counts.append)
    with first:
        with second:
            assert counts == [1]
        assert counts == [1]
    assert counts == [1, 2]
    with Helper(worth=False):
        assert counts == [1, 2, 1]  # without a helper too
    with first:
        set_threads(3)
        assert threads._count == 3
        assert counts[3:] == [2, 1]  # not while it is in use
    assert counts[-1] == 3


def test_a_helper_sees_what_the_caller_says_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    zero = np.zeros(1)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError), helper(monkeypatch) as aside:
        aside.later(np.divide, 1, zero)
    with np.errstate(divide="ignore"), helper(monkeypatch) as aside:
        aside.later(np.divide, 1, zero)


def test_an_end_of_the_loop_before_its_time_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, let, ended = Event(), Event(), Event()

    def work(i: int) -> None:
        if i:
            begun.set()
            let.wait(10)
            ended.set()

    def leave() -> None:
        with helper(monkeypatch) as aside:
            for _ in aside.ahead(work, range(3)):
                begun.wait(10)
                Timer(0.05, let.set).start()
                raise KeyError

    with pytest.raises(KeyError):
        leave()
    assert ended.is_set()


def test_blas_of_openmp_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """There a number of threads holds for the thread that sets it alone."""
    monkeypatch.setattr(threads, "_blas", (SimpleNamespace(threading_layer="openmp", set_num_threads=int),))
    monkeypatch.setattr(threads, "_count", 2)
    assert not Helper()._helps


def test_at_the_end_of_the_program_a_thread_goes_on_without_a_helper() -> None:
    call = f"""
from threading import Thread, main_thread
{KERNEL}
rnn.set_threads(2)
expected = outcome()

def late():
    main_thread().join()
    assert all((a == b).all() for a, b in zip(outcome(), expected))
    print("done")

Thread(target=late).start()
"""
    assert threads_after(call, {}).splitlines() == ["{2}", "done"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_process_has_a_helper_of_its_own() -> None:
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
    os._exit(int(any((a != b).any() for a, b in zip(outcome(), expected))))
assert os.waitpid(child, 0)[1] == 0
"""
    threads_after(call, {})


@pytest.mark.messages
@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError)])
def test_what_is_no_number_of_threads_is_refused(count: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"set_threads: count must be (an integer|at least 1), not"):
        set_threads(count)
