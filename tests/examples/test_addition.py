"""`examples/addition.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import math
import re
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from running import EXAMPLES, run_each, run_example

SCRIPT = EXAMPLES / "addition.py"
run = partial(run_example, "addition")
SMALL = ("--hidden", "32", "--batch", "32", "--lr", "0.02", "--iterations", "200", "--every", "50")


def measured(output: str) -> list[tuple[float, float, str, str]]:
    """Of each line: the loss, percent right, a question, and what was answered."""
    pattern = r"iteration \d+: (\S+) nats a character; (\S+) % of held-out sums right, (\d+\+\d+)=(\d*)\n"
    return [(float(a), float(b), c, d) for a, b, c, d in re.findall(pattern, output)]


@pytest.mark.parametrize(
    ("attention", "decoder"),
    [
        ("none", "Sequential(Sequential(OneHot(12), LSTMCell(12, 32)), Linear(32, 12))"),
        pytest.param("dot", "DotAttention(), Linear(64, 32), Tanh(), Linear(32, 12))", marks=pytest.mark.long),
        ("additive", "AdditiveAttention(32, 32, 32), Linear(64, 32), Tanh(), Linear(32, 12))"),
    ],
)
def test_it_learns_to_add_a_little(tmp_path: Path, attention: str, decoder: str) -> None:
    done = run(tmp_path, *SMALL, "--attention", attention)
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, last = done.stdout.splitlines()
    assert f"{decoder}), " in first
    assert last == "still below 0.99 after 200 iterations"
    losses, right, *_ = zip(*measured(done.stdout), strict=True)
    assert len(losses) == 4
    assert losses[-1] < 1.6 < losses[0] < math.log(12)
    assert 0 < right[-1] < 20  # not yet many, as the loss says


def test_it_stops_where_the_goal_is_reached(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL[:-1], "20", "--goal", "0.01")
    right = [right for _, right, *_ in measured(done.stdout)]
    assert done.stdout.endswith(f"\nat least 0.01 of the held-out sums right after {20 * len(right)} iterations\n")
    assert right[-1] >= 1 > max(right[:-1])


def test_the_seed_determines_all_and_the_direction_what_is_learnt(tmp_path: Path) -> None:
    few = (*SMALL[:-4], "--iterations", "5", "--every", "5")
    calls = [(*few, "--seed", "1"), (*few, "--seed", "1", "--no-reverse"), (*few, "--seed", "2")]
    one = measured(run(tmp_path, *calls[0]).stdout)
    same, front, two = (measured(done.stdout) for done in run_each("addition", tmp_path, calls).values())
    assert one == same != two
    assert one[0][0] != front[0][0]
    assert one[0][2] == front[0][2]  # the question is shown from its front


def test_no_pair_is_both_trained_and_asked_in_either_order() -> None:
    train, test = runpy.run_path(str(SCRIPT))["pairs"](np.random.default_rng(0), 100_000)
    assert len(train) + len(test) == 100_000
    assert 0.08 < len(test) / 100_000 < 0.12
    trained, held_out = ({tuple(sorted(pair)) for pair in pairs.tolist()} for pairs in (train, test))
    assert not trained & held_out
    assert (train.min(), train.max()) == (1, 999)
    for numbers, spread in ((train, 0.02), (test, 0.1)):  # as often of one digit as of two or of three
        np.testing.assert_allclose([(numbers < 10).mean(), (numbers >= 100).mean()], 1 / 3, atol=spread)


def test_only_what_is_held_out_is_asked(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL[:-4], "--iterations", "10", "--every", "1")
    _, data, _ = np.random.default_rng(0).spawn(3)
    _, held_out = runpy.run_path(str(SCRIPT))["pairs"](data, 300_000)
    pairs = set(map(tuple, held_out.tolist()))
    asked = [tuple(map(int, question.split("+"))) for _, _, question, _ in measured(done.stdout)]
    assert len(asked) == 10
    assert pairs.issuperset(asked)


def test_question_and_sum_are_written_from_either_end() -> None:
    written = runpy.run_path(str(SCRIPT))["written"]
    numbers = np.array([[123, 48], [0, 9]])
    assert written(numbers, 1) == (["123+48", "0+9"], ["171", "9"])
    assert written(numbers, -1) == (["84+321", "9+0"], ["171", "9"])
    assert written(numbers + 1, -1)[1] == ["371", "11"]


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "--lr", "-1")
    assert (done.returncode, done.stdout) == (2, "")
    *_, last = done.stderr.splitlines()  # after the usage
    assert last == "addition.py: error: --lr must be above 0, not -1.0"
