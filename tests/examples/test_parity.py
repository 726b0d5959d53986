"""`examples/parity.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from running import EXAMPLES, by_seeds, run_each, run_example
from tinygrad_rnn.testing import check_contract, check_gradients

SCRIPT = EXAMPLES / "parity.py"
run = partial(run_example, "parity")
LENGTHS = ["3", "10", "40", "128", "256"]


def table(output: str) -> dict[str, list[float]]:
    """Of each cell, how many strings of each length are right."""
    title, head, *lines = output.splitlines()
    assert title == "right of 1,000 strings, by their length:"
    assert head.split() == LENGTHS
    rows = {line.split()[0]: [float(x) for x in re.findall(r"\d\.\d{3}", line)] for line in lines}
    assert all(len(row) == len(LENGTHS) for row in rows.values())
    return rows


def test_a_product_with_the_state_counts_modulo_two_and_positive_factors_do_not(tmp_path: Path) -> None:
    small = ("--hidden", 24, "--iterations", 150, "--batch", 32, "--lr", 0.05)
    done = run(tmp_path, "--cells", "LSTM", "sLSTM", "minGRU", "LRU", *small, "--plot", "parity.svg")
    assert done.returncode == 0, done.stderr  # where matplotlib may say that it builds its list of fonts
    rows = table(done.stdout)
    assert list(rows) == ["LSTM", "sLSTM", "minGRU", "LRU"]
    assert min(rows["LSTM"] + rows["sLSTM"]) > 0.98
    for name in ("minGRU", "LRU"):
        assert all(0.4 < value < 0.6 for value in rows[name][1:])
    picture = (tmp_path / "parity.svg").read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in picture for name in rows)
    assert [path.name for path in tmp_path.iterdir()] == ["parity.svg"]


@pytest.mark.long
def test_the_figures_of_its_page(tmp_path: Path) -> None:
    for seed in range(3):
        rows = table(run(tmp_path, "--seed", seed).stdout)
        for name in ("RNN", "LSTM", "sLSTM"):
            assert min(rows[name]) > 0.995
        for name in ("minGRU", "LRU"):
            assert all(0.4 < value < 0.6 for value in rows[name][1:])
        assert min(rows["signed"][:3]) > 0.995
        assert rows["signed"][-1] < 0.6


def test_the_signed_cell_is_right_and_can_count_modulo_two() -> None:
    script = runpy.run_path(str(SCRIPT))
    cell = script["SignedCell"](2, 3, rng=np.random.default_rng(0))
    assert max(check_gradients(cell, rng=np.random.default_rng(1)).values()) < 1e-7
    assert check_contract(cell, rng=np.random.default_rng(1))
    cell.w_x.value = np.outer([0, 1], [60, 60, 60, 1, 1, 1])  # at a 1, z is 1 and n is 1: h' = 1 - h
    cell.b.value = np.repeat([-30, 0], 3)
    batch = script["strings"](np.random.default_rng(2), 50, 4)
    hs, _ = cell(np.eye(2, dtype="float32")[batch.xs])
    np.testing.assert_allclose(hs, np.repeat(batch.targets[..., None], 3, axis=2), atol=1e-5)


def test_the_targets_are_parities() -> None:
    batch = runpy.run_path(str(SCRIPT))["strings"](np.random.default_rng(0), 6, 50)
    assert batch.xs.shape == batch.targets.shape == (6, 50)
    for t in range(6):
        np.testing.assert_array_equal(
            batch.targets[t], [bin(int("".join(map(str, row)), 2)).count("1") % 2 for row in batch.xs[: t + 1].T]
        )


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = by_seeds("parity", tmp_path, "--cells", "RNN", "signed", "--hidden", 4, "--iterations", 3)
    assert one == same != two


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    messages = {
        ("--iterations", "0"): "--iterations must be at least 1, not 0",
        ("--plot", "parity"): "--plot must name a file that ends in .png, .svg or .pdf, not 'parity'",
    }
    for done, message in zip(run_each("parity", tmp_path, messages).values(), messages.values(), strict=True):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1] == f"parity.py: error: {message}"
