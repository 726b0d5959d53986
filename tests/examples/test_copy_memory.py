"""`examples/copy_memory.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import math
import re
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from running import EXAMPLES, by_seeds, run_example
from tinygrad_rnn import GRUCell, LSTMCell

SCRIPT = EXAMPLES / "copy_memory.py"
run = partial(run_example, "copy_memory")
SMALL = ("--delay", "5", "--hidden", "32", "--iterations", "400", "--every", "100")


def measured(output: str) -> list[tuple[float, float, float, float]]:
    """Of each line: the loss, as a part of chance, chance, and percent right."""
    pattern = r"iteration \d+: (\S+) nats a step, (\S+) of chance (\S+); (\d+) % of symbols right\n"
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in re.findall(pattern, output)]


@pytest.mark.parametrize(
    ("cell", "name"), [("gru", "GRUCell"), pytest.param("lstm", "LSTMCell", marks=pytest.mark.long)]
)
def test_it_learns_to_copy_better_than_without_memory(tmp_path: Path, cell: str, name: str) -> None:
    done = run(tmp_path, *SMALL, "--cell", cell)
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, last = done.stdout.splitlines()
    assert first.startswith(f"Sequential(OneHot(10), {name}(10, 32), Linear(32, 9)), ")
    assert last == "still above 0.1 of chance after 400 iterations"
    losses, parts, chances, right = zip(*measured(done.stdout), strict=True)
    assert set(chances) == {round(10 * math.log(8) / 25, 4)}
    np.testing.assert_allclose(parts, np.divide(losses, chances), atol=1e-3)
    assert len(parts) == 4
    assert parts[-1] < min(parts[:-1])
    assert parts[-1] < 0.9
    assert 2 * 100 / 8 < right[-1] < 60  # not yet all, as the loss says


def test_it_stops_where_the_goal_is_reached(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL, "--goal", "0.95")
    parts = [part for _, part, _, _ in measured(done.stdout)]
    assert done.stdout.endswith(f"\nat most 0.95 of chance after {100 * len(parts)} iterations\n")
    assert len(parts) < 4
    assert parts[-1] <= 0.95
    assert all(part > 0.95 for part in parts[:-1])


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = by_seeds("copy_memory", tmp_path, *SMALL[:-4], "--iterations", 5, "--every", 5)
    assert one == same != two
    assert len(measured(one)) == 1


@pytest.mark.parametrize("make", [GRUCell, LSTMCell])
def test_chrono_makes_the_first_memory_last(make: type[GRUCell | LSTMCell]) -> None:
    cell = make(10, 64, rng=np.random.default_rng(0))
    cell.w_x.value = np.zeros_like(cell.w_x.value)
    cell.w_h.value = np.zeros_like(cell.w_h.value)
    runpy.run_path(str(SCRIPT))["chrono"](cell, 120, np.random.default_rng(0))
    start = tuple(np.ones((1, size), np.float32) for size in cell.state_sizes)
    *_, (memory,) = cell(np.zeros((1, 1, 10), np.float32), start)[1]  # h of the GRU, c of the LSTM
    spans = 1 / (1 - memory)  # with all else 0, a step multiplies the memory by what the gate keeps
    assert 1 < spans.min() < 30
    assert 90 < spans.max() < 120
    assert 40 < spans.mean() < 80


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "--delay", "0")
    assert (done.returncode, done.stdout) == (2, "")
    *_, last = done.stderr.splitlines()  # after the usage
    assert last == "copy_memory.py: error: the marker needs a step: --delay must be at least 1, not 0"
