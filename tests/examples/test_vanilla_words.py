"""`examples/vanilla_words.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from running import EXAMPLES, by_seeds, run_each, run_example

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
    one, same, two = by_seeds("vanilla_words", tmp_path, *SMALL[:-1], 6)
    assert one == same != two
    assert len(re.findall("^epoch", one, re.MULTILINE)) == 6


def test_a_mistake_is_one_line_and_comes_before_the_training(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL, "--prefix", "z")
    assert (done.returncode, done.stdout) == (1, "3 words of 9 different characters\n")
    message = r"'z' \(U\+007A\) at position 0 of 'z' is not one of the 9 characters"
    assert re.fullmatch(rf"vanilla_words: [^\n]*{message}[^\n]*\n", done.stderr), done.stderr


def test_options_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    ends = "a word has a character, and '.' only at its end, where it is put by itself"
    messages = {
        ("--epochs", "0"): "--epochs must be at least 1, not 0",
        ("--words", "a", ""): ends,
        ("--words", "a.b"): ends,
        ("--prefix", "h."): ends,
    }
    found = run_each("vanilla_words", tmp_path, [(*SMALL, *arguments) for arguments in messages])
    for done, message in zip(found.values(), messages.values(), strict=True):
        assert (done.returncode, done.stdout) == (2, "")
        *_, last = done.stderr.splitlines()  # after the usage
        assert last == f"vanilla_words.py: error: {message}"


def test_a_terminal_that_lacks_a_character_gets_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = run(tmp_path, "--words", "été", "--hidden", "8", "--epochs", "60", "--prefix", "é")
    assert (done.returncode, done.stderr) == (0, "")
    *_, last = done.stdout.splitlines()
    assert last.startswith("         ? -> ?")
