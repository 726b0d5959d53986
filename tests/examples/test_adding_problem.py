"""`examples/adding_problem.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as rnn
from running import EXAMPLES, by_seeds, run_example

SCRIPT = EXAMPLES / "adding_problem.py"
run = partial(run_example, "adding_problem")
SMALL = ("--steps", "10", "--hidden", "16", "--iterations", "600", "--every", "50")


def errors(output: str) -> list[float]:
    return [float(error) for error in re.findall(r"mean squared error (\d\.\d{4}), chance 0\.1667\n", output)]


@pytest.mark.parametrize(("cell", "name"), [("irnn", "RNNCell"), ("lstm", "LSTMCell"), ("gru", "GRUCell")])
def test_it_learns_to_add(tmp_path: Path, cell: str, name: str) -> None:
    done = run(tmp_path, *SMALL, "--cell", cell)
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, last = done.stdout.splitlines()
    assert first.startswith(f"Sequential({name}(2, 16")
    measured = errors(done.stdout)
    assert last == f"at most 0.005 after {50 * len(measured)} iterations"
    assert measured[-1] <= 0.005 < min(measured[:-1])


def test_it_says_when_it_has_not_learnt(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL[:-4], "--cell", "rnn", "--iterations", "50", "--every", "25")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\nstill above 0.005 after 50 iterations\n")
    assert len(errors(done.stdout)) == 2


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = by_seeds("adding_problem", tmp_path, *SMALL, "--iterations", 50)
    assert one == same != two


def test_one_value_of_each_half_is_marked_and_chance_is_the_variance_of_the_sum() -> None:
    script = runpy.run_path(str(SCRIPT))
    xs, sums = script["sequences"](np.random.default_rng(0), 7, 20_000)
    assert (xs.shape, xs.dtype, sums.shape, sums.dtype) == ((7, 20_000, 2), np.float32, (20_000, 1), np.float32)
    values, markers = xs[..., 0], xs[..., 1]
    np.testing.assert_array_equal(markers[:3].sum(axis=0), 1)
    np.testing.assert_array_equal(markers[3:].sum(axis=0), 1)
    assert markers.any(axis=1).all()  # at every step, some time
    np.testing.assert_allclose(sums[:, 0], np.where(markers == 1, values, 0).sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.mean((sums - 1) ** 2), script["CHANCE"], rtol=0.05)


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "--steps", "1")
    assert (done.returncode, done.stdout) == (2, "")
    *_, last = done.stderr.splitlines()  # after the usage
    assert last == "adding_problem.py: error: each half needs a step: --steps must be at least 2, not 1"


def test_rows_of_other_lengths_end_elsewhere() -> None:
    ends, rng, lengths = runpy.run_path(str(SCRIPT))["ends"], np.random.default_rng(0), np.array([5, 2, 4])
    cell = rnn.RNNCell(2, 3, rng=rng)
    ys, (h,) = cell(rng.random((5, 3, 2), np.float32), lengths=lengths)
    np.testing.assert_array_equal(ys[ends(lengths)], h)
    assert not ys[-1, 1:].any()  # what `ys[-1]` would be
