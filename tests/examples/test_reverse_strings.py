"""`examples/reverse_strings.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
import runpy
from functools import partial
from pathlib import Path

import numpy as np

from running import EXAMPLES, by_seeds, run_example

SCRIPT = EXAMPLES / "reverse_strings.py"
run = partial(run_example, "reverse_strings")
SMALL = ("--longest", "4", "--hidden", "32", "--lr", "0.02", "--iterations", "200", "--every", "50")


def measured(output: str) -> list[tuple[float, float]]:
    """Of each line the loss, and percent right."""
    lines = re.findall(r"iteration \d+: loss (\S+), (\S+) % of fresh strings right\n", output)
    return [(float(loss), float(right)) for loss, right in lines]


def test_it_learns_to_reverse(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL, "--goal", "0.9")
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("EncoderDecoder(Sequential(Embedding(27, 32), LSTMCell(32, 32)), AttentionDecoder(")
    losses, right = zip(*measured(done.stdout), strict=True)
    assert f"\nat least 90 % after {50 * len(right)} iterations, such as\n" in done.stdout
    assert max(right[:-1]) < 90 <= right[-1]
    assert losses[-1] < losses[0]
    words = re.findall(r"^([a-z]{1,4}) -> ([a-z]*)$", done.stdout, re.MULTILINE)
    assert len(words) == 3
    assert sum(word[::-1] == written for word, written in words) >= 2
    assert " -> " in last


def test_it_says_when_it_has_not_learnt(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL[:-4], "--iterations", "4", "--every", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nstill below 99 % after 4 iterations, such as\n" in done.stdout
    assert len(measured(done.stdout)) == 2


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = by_seeds("reverse_strings", tmp_path, *SMALL[:-4], "--iterations", 5, "--every", 5)
    assert one == same != two
    assert len(measured(one)) == 1


def test_strings_are_of_all_lengths_and_letters() -> None:
    script = runpy.run_path(str(SCRIPT))
    strings = script["strings"](np.random.default_rng(0), 1000, 20)
    assert {len(text) for text in strings} == {*range(1, 21)}
    letters = "".join(script["LETTERS"].decode(text) for text in strings)
    assert {*letters} == {*"abcdefghijklmnopqrstuvwxyz"}


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "--longest", "0")
    assert (done.returncode, done.stdout) == (2, "")
    *_, last = done.stderr.splitlines()  # after the usage
    assert last == "reverse_strings.py: error: a string has a letter: --longest must be at least 1, not 0"
