"""`examples/gradient_flow.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from running import EXAMPLES, run_each, run_example

SCRIPT = EXAMPLES / "gradient_flow.py"
run = partial(run_example, "gradient_flow")
SMALL = ("--text", "text", "--hidden", 8, "--iterations", 20, "--steps", 30, "--credit", 10)
TEXT = 'The "owl" sat in the oak (it is "old").\n\nIt saw a mouse; the mouse saw it.\n' * 300
PICTURES = ["credit_gru", "credit_lstm", "credit_rnn", "gradient_flow"]


def table(output: str) -> dict[str, tuple[float, float]]:
    """By the name of the cell, the held-out loss and what is left of the gradient."""
    lines = re.findall(r"(\w+): held out (\S+) nats; \d+ steps back (\S+) of the gradient is left\n", output)
    return {name: (float(loss), float(left)) for name, loss, left in lines}


def test_the_gradient_of_the_rnn_vanishes_and_those_of_the_gated_cells_do_not(tmp_path: Path) -> None:
    done = run(tmp_path, "--iterations", 30, "--lr", 0.01, "--steps", 60, "--credit", 10, "--hidden", 32)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("; 59 steps back ") == 3
    rows = table(done.stdout)
    assert list(rows) == ["RNN", "LSTM", "GRU"]
    assert all(2 < loss < 3.5 for loss, _ in rows.values())
    assert 0 < rows["RNN"][1] < 1e-3 * min(rows["LSTM"][1], rows["GRU"][1])
    assert "\n4 pictures are in pictures\n" in done.stdout
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [f"{name}.png" for name in PICTURES]
    for path in (tmp_path / "pictures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.long  # three trainings of three cells
def test_the_seed_determines_all(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    call, *others = [(*SMALL, "--seed", seed, "--folder", f"of {i}") for i, seed in enumerate("112")]
    one, same, two = run(tmp_path, *call), *run_each("gradient_flow", tmp_path, others).values()
    assert list(table(one.stdout)) == ["RNN", "LSTM", "GRU"]
    assert table(one.stdout) == table(same.stdout) != table(two.stdout)
    for name in PICTURES:
        first, again, other = ((tmp_path / f"of {i}" / f"{name}.png").read_bytes() for i in range(3))
        assert first == again != other, name


MISTAKES: list[tuple[tuple[object, ...], str]] = [
    (("--text", "missing"), "there is no file 'missing'"),
    (("--text", "text", "--steps", 3000), "characters: --steps must be below that, not 3000"),
    (("--text", ""), "path is empty, where the path of a file was expected"),
    (("--text", "text", "--encoding", ""), "'' is not the name of an encoding"),
    (("--text", "text", "--folder", "text"), "File exists: 'text'"),
]
MISFITS: list[tuple[tuple[object, ...], str]] = [
    (("--steps", 0), "--steps must be at least 1, not 0"),
    (("--steps", 30), "--credit must be 1 to --steps, 30, not 40"),
    (("--credit", 0), "--credit must be 1 to --steps, 100, not 0"),
]


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What comes of each of these."""
    folder = tmp_path_factory.mktemp("mistaken")
    (folder / "text").write_text(TEXT, encoding="utf-8")
    return run_each("gradient_flow", folder, [arguments for arguments, _ in MISTAKES + MISFITS])


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=["missing text", "many steps", "no text", "no encoding", "no folder"]
)
def test_a_mistake_is_one_line(mistaken: Any, arguments: tuple[object, ...], message: str) -> None:
    done = mistaken[arguments]
    assert (done.returncode, done.stdout) == (1, "")
    *_, last = done.stderr.splitlines()  # after what matplotlib may say of its list of fonts
    assert re.fullmatch(rf"gradient_flow: .*{re.escape(message)}.*", last), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "message"), MISFITS, ids=["no steps", "credit", "no credit"])
def test_options_that_do_not_fit_are_an_error(mistaken: Any, arguments: tuple[object, ...], message: str) -> None:
    done = mistaken[arguments]
    assert (done.returncode, done.stdout) == (2, "")
    *_, last = done.stderr.splitlines()  # after the usage
    assert last == f"gradient_flow.py: error: {message}"


def test_without_matplotlib_it_says_so_before_the_training(tmp_path: Path) -> None:
    code = f"import runpy, sys; sys.modules['matplotlib'] = None; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = run(tmp_path, code=code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("python -m pip install 'tinygrad-rnn[plot]'\n")
    assert "Traceback" not in done.stderr
