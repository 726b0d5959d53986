"""`examples/custom_cell.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import math
import re
from pathlib import Path

from running import run_example


def test_the_cell_is_checked_learns_and_is_saved(tmp_path: Path) -> None:
    done = run_example("custom_cell", tmp_path, "--plot", "losses.svg")
    assert done.returncode == 0, done.stderr  # where matplotlib may say that it builds its list of fonts
    gradients, contract, task, *trainings, loaded = done.stdout.splitlines()
    assert float(gradients.removeprefix("worst gradient error ")) < 1e-7
    assert contract == "clauses of the contract that hold: 21"
    assert task.endswith(f"by chance {math.log(4):.3f}")

    losses = {}
    for line in trainings:
        match = re.fullmatch(r"(\w+) +(\d\.\d{3}) -> (\d\.\d{3})", line)
        assert match, line
        losses[match[1]] = float(match[2]), float(match[3])
    assert list(losses) == ["RNNCell", "MinimalGatedCell"]
    assert all(abs(first - math.log(4)) < 0.2 for first, _ in losses.values())
    assert losses["MinimalGatedCell"][1] < 0.05

    assert loaded == "loaded Sequential(OneHot(4), MinimalGatedCell(4, 32), Linear(32, 4)), same outputs: True"
    assert [path.name for path in tmp_path.iterdir()] == ["losses.svg"]
