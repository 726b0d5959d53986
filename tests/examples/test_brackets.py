"""`examples/brackets.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
import runpy
import sysconfig
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from running import EXAMPLES, by_seeds, run_each, run_example

SCRIPT = EXAMPLES / "brackets.py"
run = partial(run_example, "brackets")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_the_network_beats_pairs_of_characters_and_draws_where_it_sees_the_mistake(tmp_path: Path) -> None:
    done = run(tmp_path, "--hidden", 32, "--lines", 1500, "--iterations", 150, "--lr", 0.03, "--plot", "brackets.svg")
    assert done.returncode == 0, done.stderr  # where matplotlib may say that it builds its list of fonts
    figures = {name: float(x) for name, x in re.findall(r"^(.*): accuracy (\S+)$", done.stdout, re.M)}
    assert list(figures) == [
        "linear model of pairs of characters",
        "linear model of pairs of brackets",
        "GRU of 32 units",
    ]
    simple, hinted, network = figures.values()
    assert 0.7 < simple < 0.85 < network <= 1
    assert 0.95 < hinted <= 1
    picture = (tmp_path / "brackets.svg").read_text(encoding="utf-8")
    assert "<!-- blue: the brackets match so far; red: one is wrong -->" in picture
    assert picture.count("<!-- ↵ -->") == 12
    assert [path.name for path in tmp_path.iterdir()] == ["brackets.svg"]


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = by_seeds("brackets", tmp_path, "--hidden", 4, "--iterations", 2, "--lines", 100)
    assert one == same != two


@pytest.mark.parametrize(
    ("line", "right"),
    [("", True), ("f(x[1])", True), ("f(x[1)]", False), ("a)(", False), ("{[()]}()", True), ("f(x", False)],
)
def test_match(script: dict[str, Any], line: str, right: bool) -> None:
    assert script["match"](line) is right


def test_an_exchange_keeps_the_characters_and_makes_every_line_wrong(script: dict[str, Any]) -> None:
    lines, files = script["library"](Path(sysconfig.get_path("stdlib")))
    assert len(lines) == len(set(lines)) == len(files) > 1000
    rng = np.random.default_rng(0)
    for line in lines:
        wrong = script["exchange"](line, rng)
        assert script["match"](line), line
        assert not script["match"](wrong), wrong
        assert sorted(wrong) == sorted(line)
        assert sum(a != b for a, b in zip(line, wrong, strict=True)) == 2


def test_the_lines_are_those_of_modules_that_are_not_tests(script: dict[str, Any], tmp_path: Path) -> None:
    for number, name in enumerate(["abc", "ast", "bdb", "cmd", "dis", "pdb", "pwd", "ssl", "sys", "tty"]):
        (tmp_path / f"{name}.py").write_text(f"if a:\n    f(x[{number}])\n    f(x[{number}])\n# g(x[0])\ng(x)\n")
    for name in ("other.py", "json/tests/one.py", "site-packages/any.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("f(y[0])\n")
    (tmp_path / "json" / "tool.py").write_text("x = {f(é)}\nx = {f(1]}\ny = {f(1)}\n", encoding="utf-8")
    lines, files = script["library"](tmp_path)
    assert lines == [*(f"f(x[{number}])" for number in range(5)), "y = {f(1)}", *(f"f(x[{n}])" for n in range(5, 10))]
    assert len(set(files)) == 11


def test_without_sources_it_says_so(script: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^too few sources of Python's library are in .*: install them$"):
        script["library"](tmp_path)


def test_counts(script: dict[str, Any]) -> None:
    assert script["pairs"]("aab") == ["aa", "ab"]
    np.testing.assert_array_equal(script["counts"](["aaab", "b"], ["aa", "ab", "zz"]), [[2, 1, 0], [0, 0, 0]])


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    messages = {
        "--iterations 0": "--iterations must be at least 1, not 0",
        "--plot brackets": "--plot must name a file that ends in .png, .svg or .pdf, not 'brackets'",
    }
    calls = [tuple(arguments.split()) for arguments in messages]
    for done, message in zip(run_each("brackets", tmp_path, calls).values(), messages.values(), strict=True):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1] == f"brackets.py: error: {message}"
