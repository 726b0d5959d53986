"""In processes of their own: the number of threads holds for a whole one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tinygrad_rnn import set_threads

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


@pytest.mark.messages
@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError)])
def test_what_is_no_number_of_threads_is_refused(count: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"set_threads: count must be (an integer|at least 1), not"):
        set_threads(count)
