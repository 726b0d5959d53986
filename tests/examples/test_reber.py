"""`examples/reber.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import math
import re
import runpy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from running import EXAMPLES, by_seeds, run_example
from tinygrad_rnn.datasets import ReberGrammar

SCRIPT = EXAMPLES / "reber.py"
run = partial(run_example, "reber")


def measured(output: str) -> list[tuple[float, float, float]]:
    """Of each line: nats above the optimum, percent of the sets of symbols, and of the last but one."""
    pattern = (
        r"iteration \d+: (\S+) nats a symbol above the optimum 0\.4411; exactly the legal symbols (\S+) %, "
        r"the last but one (\S+) %\n"
    )
    return [(float(a), float(b), float(c)) for a, b, c in re.findall(pattern, output)]


@pytest.mark.parametrize(
    ("cell", "name"), [("rnn", "RNNCell"), pytest.param("gru", "GRUCell", marks=pytest.mark.long), ("lstm", "LSTMCell")]
)
def test_it_learns_the_grammar_but_not_yet_what_is_around_it(tmp_path: Path, cell: str, name: str) -> None:
    done = run(tmp_path, "--cell", cell, "--iterations", "200")
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, last = done.stdout.splitlines()
    assert first.startswith(f"Sequential(OneHot(7), {name}(7, 8), Linear(8, 7)), ")
    assert last == "not all right after 200 iterations"
    (early, *_), (excess, sets, kept) = measured(done.stdout)
    assert excess < 0.2 < early
    assert 85 < sets < 95  # all but the last but one, which is one of 11 in the mean
    assert 40 < kept < 60


def test_it_stops_where_all_is_right(tmp_path: Path) -> None:
    done = run(tmp_path, "--hidden", "16", "--seed", "1", "--every", "50")
    *before, (excess, sets, kept) = measured(done.stdout)
    assert done.stdout.endswith(f"\nall right in 1000 fresh strings after {50 * (len(before) + 1)} iterations\n")
    assert excess < 0.05
    assert sets == kept == 100
    assert len(before) < 20


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = by_seeds("reber", tmp_path, "--iterations", 5, "--every", 5)
    assert one == same != two
    assert len(measured(one)) == 1


def test_what_is_measured() -> None:
    grammar = ReberGrammar(embedded=True)
    strings = [grammar.tokenizer.encode(text).astype("int64") for text in ("BTBTXSETE", "BPBTXXVVEPE")]
    given = np.full((10, 2, 7), np.nan)  # as after the end of the first string, which must not matter
    for b, string in enumerate(strings):
        given[: len(string) - 1, b] = grammar.probabilities(string)[:-1]

    def model(ids: Any, *, lengths: Any) -> tuple[Any, None]:
        assert (ids.shape, lengths.tolist()) == ((10, 2), [8, 10])
        return np.log(np.maximum(given, 1e-300)), None

    measure = runpy.run_path(str(SCRIPT))["measure"]
    np.testing.assert_allclose(measure(model, grammar, strings, 0.25), (0, 1, 1), atol=1e-12)

    T, P = 1, 2
    given[[6, 8], [0, 1]] = 0
    given[[6, 8], [0, 1], T], given[[6, 8], [0, 1], P] = 0.6, 0.4  # it forgot whether T or P, and tends to T
    forgot = -math.log(0.6 * 0.4)
    np.testing.assert_allclose(measure(model, grammar, strings, 0.25), (forgot / 18, 16 / 18, 1 / 2))

    given[0, 0, T], given[0, 0, P] = 0.8, 0.2  # where each has 1/2
    unsure = -math.log(2 * 0.8) / 2 - math.log(2 * 0.2) / 2
    np.testing.assert_allclose(measure(model, grammar, strings, 0.25), ((forgot + unsure) / 18, 15 / 18, 1 / 2))
    np.testing.assert_allclose(measure(model, grammar, strings, 0.1), ((forgot + unsure) / 18, 16 / 18, 1 / 2))


@pytest.mark.parametrize("threshold", ["0", "0.5"])
def test_a_mistake_is_one_line(tmp_path: Path, threshold: str) -> None:
    done = run(tmp_path, "--threshold", threshold)
    assert (done.returncode, done.stdout) == (2, "")
    *_, last = done.stderr.splitlines()  # after the usage
    message = f"a legal symbol has 1/2 or 1: --threshold must be between 0 and 1/2, not {float(threshold)}"
    assert last == f"reber.py: error: {message}"
