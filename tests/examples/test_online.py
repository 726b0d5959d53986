"""`examples/online.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from running import EXAMPLES, by_seeds, run_each, run_example
from tinygrad_rnn.testing import check_gradients

SCRIPT = EXAMPLES / "online.py"
run = partial(run_example, "online")
SMALL = ("--plus", 2, "--minus", 3, "--iterations", 800, "--every", 200, "--lr", 0.001)


def measured(output: str) -> dict[str, tuple[float, float]]:
    """By method, the weight and the last loss."""
    lines = re.findall(r"(.+): weight (\S+), loss (\S+); losses .*\n", output)
    return {name: (float(weight), float(loss)) for name, weight, loss in lines}


def test_truncation_goes_the_wrong_way_and_what_never_goes_back_does_not(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL, "--truncate", 1, 4, "--plot", "online.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the weight that gives an output of 1: -0.5000\n")
    found = measured(done.stdout)
    weight, loss = found["truncated at 1"]
    assert weight > 1
    assert loss > 2
    (steps,) = re.findall(r"truncated at 4: diverged after (\d+) steps; losses 1", done.stdout)
    assert 10 < int(steps) < 800
    for name in ("RTRL", "UORO"):
        assert abs(found[name][0] + 0.5) < 0.05, name
        assert found[name][1] < 0.01, name
    assert (tmp_path / "online.png").read_bytes().startswith(b"\x89PNG")


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = by_seeds("online", tmp_path, *SMALL[:4], "--iterations", 30, "--every", 10, "--truncate", 1)
    assert one == same != two


def test_the_cell_is_right() -> None:
    script = runpy.run_path(str(SCRIPT))
    cell = script["Row"](2, 3)
    assert max(check_gradients(cell, rng=np.random.default_rng(0)).values()) < 1e-7
    _, (s,) = cell(np.zeros((500, 1, 1)))
    cell.w.value[...] = 0.5 / (2 - 3)
    ys, _ = cell(np.zeros((500, 1, 1)))
    assert not s.any()
    np.testing.assert_allclose(ys[-1], 1)


MISFITS: list[tuple[tuple[object, ...], str]] = [
    (("--plus", 0), "--plus must be at least 1, not 0"),
    (("--truncate", 3, 0), "--truncate must be at least 1, not 0"),
    (("--minus", 3), "--plus and --minus must differ, or no weight gives an output of 1, not both 3"),
    (("--every", 5000), "--every must be at most --iterations, 4000, not 5000"),
    (("--plot", "x.txt"), "--plot must name a file that ends in .png, .svg or .pdf, not 'x.txt'"),
]


def test_options_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    for arguments, done in run_each("online", tmp_path, [arguments for arguments, _ in MISFITS]).items():
        assert (done.returncode, done.stdout) == (2, "")
        *_, last = done.stderr.splitlines()  # after the usage
        assert last == f"online.py: error: {dict(MISFITS)[arguments]}"


@pytest.mark.long
def test_uoro_finds_the_weight_with_every_seed(tmp_path: Path) -> None:
    for seed in range(5):
        found = measured(run(tmp_path, "--seed", seed, "--truncate", 50).stdout)
        for weight, loss in found.values():
            assert abs(weight + 0.25) < 0.01
            assert loss < 0.001
