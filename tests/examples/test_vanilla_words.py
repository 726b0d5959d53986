"""`examples/vanilla_words.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from running import EXAMPLES, run_example

SCRIPT = EXAMPLES / "vanilla_words.py"
run = partial(run_example, "vanilla_words")
SMALL = ("--words", "hello", "help", "world", "--hidden", "16", "--epochs", "120")


def test_it_learns_words_and_completes_them(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL, "--prefix", "w", "hell", "help")
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first == "3 words of 9 different characters"
    losses = [float(line.split()[3]) for line in lines[:6]]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.3
    assert [line.split(" -> ") for line in lines[6:]] == [
        ["         w", "world"],
        ["      hell", "hello"],
        ["      help", "help"],
    ]


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = (run(tmp_path, *SMALL[:-1], "6", "--seed", seed).stdout for seed in ("1", "1", "2"))
    assert one == same != two
    assert len(re.findall("^epoch", one, re.MULTILINE)) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--prefix", "z"), r"'z' \(U\+007A\) at position 0 of 'z' is not one of the 9 characters"),
        (("--epochs", "0"), r"epochs must be at least 1, not 0"),
    ],
    ids=["unknown character", "no epochs"],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run(tmp_path, *SMALL, *arguments)
    assert done.returncode == 1
    assert re.fullmatch(rf"vanilla_words: [^\n]*{message}[^\n]*\n", done.stderr), done.stderr
