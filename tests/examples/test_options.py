"""The options of all examples: no number is taken that makes no sense, whatever its option is called."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from running import EXAMPLES

SCRIPTS = sorted(
    path.stem for path in EXAMPLES.glob("*.py") if "def main(arguments" in path.read_text(encoding="utf-8")
)


def main_of(name: str) -> Any:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def parser_of(name: str) -> Any:
    """The parser that the script makes."""
    with (
        patch.object(argparse.ArgumentParser, "parse_args", autospec=True, side_effect=SystemExit) as parse,
        pytest.raises(SystemExit),
    ):
        main_of(name)([])
    return parse.call_args.args[0]


def numbers(name: str) -> Iterator[tuple[str, ...]]:
    """Arguments that give one of the script's numbers a value that makes no sense."""
    parser = parser_of(name)
    found: dict[tuple[str, ...], Any] = {(): parser}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found = {("train",): action.choices["train"], ("generate", "model"): action.choices["generate"]}
    for command, options in found.items():
        for action in options._actions:
            for value in {int: ("-1",), float: ("-1", "nan")}.get(action.type, ()):
                yield (*command, action.option_strings[0], value)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_number_has_a_range(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    main, checked = main_of(name), list(numbers(name))
    assert len(checked) >= 4
    for arguments in checked:
        *command, option, value = arguments
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2, arguments
        *_, last = capsys.readouterr().err.splitlines()
        assert last.startswith(f"{' '.join([f'{name}.py', *command[:1]])}: error: "), last
        assert option.strip("-") in last
        assert value in last
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        *(
            (name, "--iterations 5 --every 6", "--every must be at most --iterations, 5, not 6")
            for name in ("adding_problem", "addition", "copy_memory", "dates", "reber", "reverse_strings")
        ),
        *(
            (name, "--goal 1.1", "--goal must be above 0 and at most 1, not 1.1")
            for name in ("addition", "dates", "reverse_strings")
        ),
        *((name, "--goal 0", "--goal must be above 0, not 0.0") for name in ("adding_problem", "copy_memory")),
        *(
            (name, "--encoding latin-1", "--encoding is that of --text, which is not given")
            for name in ("gradient_flow", "look_inside", "tagger")
        ),
    ],
)
def test_options_that_contradict_each_other_are_an_error(
    name: str, arguments: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    with pytest.raises(SystemExit) as ended:
        main_of(name)(arguments.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"{name}.py: error: {message}\n")
