"""`examples/look_inside.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
import runpy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from running import EXAMPLES, run_each, run_example

SCRIPT = EXAMPLES / "look_inside.py"
run = partial(run_example, "look_inside")
SMALL = (
    "--text",
    "text",
    "--hidden",
    16,
    "--batch",
    4,
    "--iterations",
    20,
    "--every",
    10,
    "--states",
    30,
    "--steps",
    8,
)
TEXT = 'The "owl" sat in the oak (it is "old").\n\nIt saw a mouse; the mouse saw it.\n' * 300
PICTURES = ["losses", "parameters", "pca", "probabilities", "states", "tsne", "unit"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the text and the pictures of it, by seed 0, which is the default; and what was printed."""
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "text").write_text(TEXT, encoding="utf-8")
    done = run(folder, *SMALL)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_it_measures_finds_a_unit_and_draws(drawn: tuple[Path, str]) -> None:
    folder, output = drawn
    V = len(set(TEXT))
    assert output.startswith(f"Sequential(Embedding({V}, 64), LSTMCell(64, 16), Linear(16, {V})), ")
    lines = re.findall(r"iteration (\d+): (\S+) nats, held out (\S+)\n", output)
    assert [int(i) for i, *_ in lines] == [10, 20]
    assert all(np.array(lines, float)[0, 1:] > np.array(lines, float)[1, 1:])  # both still fall
    found = re.findall(r"(.+): the memory of unit (\d+) has a correlation of ([+-]\d\.\d\d)\n", output)
    assert [name for name, *_ in found] == ["in quotes", "in parentheses", "column"]
    name, unit, _ = max(found, key=lambda one: abs(float(one[2])))
    assert f"\ndrawn: unit {unit}, {name}\n7 pictures and report.html are in pictures\n" in output
    written = sorted((folder / "pictures").iterdir())
    assert [path.name for path in written] == sorted(["report.html", *(f"{name}.png" for name in PICTURES)])
    assert f'"first": ["layers.1", "c", {unit}]' in (folder / "pictures" / "report.html").read_text(encoding="utf-8")
    for path in (folder / "pictures").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.long  # two trainings more, each with seven pictures
def test_the_seed_determines_all(drawn: tuple[Path, str]) -> None:
    folder, one = drawn
    calls = [(*SMALL, "--seed", seed, "--folder", f"by {seed}") for seed in (0, 1)]
    same, two = (done.stdout for done in run_each("look_inside", folder, calls).values())
    assert same.replace("by 0", "pictures") == one != two.replace("by 1", "pictures")
    for name in PICTURES:
        first, again, other = ((folder / of / f"{name}.png").read_bytes() for of in ("pictures", "by 0", "by 1"))
        assert first == again != other, name


def test_what_a_reader_knows_who_has_counted() -> None:
    properties = runpy.run_path(str(SCRIPT))["properties"]
    known = properties('a "(b) c"\nd ("\n\ne)')
    assert known["in quotes"].astype(int).tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0]
    assert known["in parentheses"].astype(int).tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert known["column"].astype(int).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 0, 0, 1, 2]


def test_correlations_are_those_of_pearson() -> None:
    correlations = runpy.run_path(str(SCRIPT))["correlations"]
    rng = np.random.default_rng(0)
    known, units = rng.normal(size=50), rng.normal(size=(50, 4))
    units[:, 1] = 3 - 2 * known
    units[:, 2] = 7  # never changes
    found = correlations(units, known)
    assert found[1] == pytest.approx(-1)
    assert found[2] == 0
    for k in (0, 3):
        assert found[k] == pytest.approx(np.corrcoef(units[:, k], known)[0, 1])
    assert not correlations(units, np.ones(50)).any()


MISTAKES: list[tuple[tuple[object, ...], str]] = [
    (("--text", "missing"), "there is no file 'missing'"),
    (("--text", "short", "--states", 3, "--steps", 3), "too short for batch="),
    (("--text", "text", "--states", 5000), "--states must be 3 to "),
    (("--text", "text", "--states", 50), "--steps must be 1 to --states, 50, not 70"),
    (("--text", ""), "path is empty, where the path of a file was expected"),
    (("--text", "text", "--encoding", ""), "'' is not the name of an encoding"),
    (("--text", "text", "--states", 100, "--folder", "text"), "File exists: 'text'"),
]
MISFITS: list[tuple[tuple[object, ...], str]] = [
    (("--states", 2), "--states must be at least 3, not 2"),
    (("--every", 0), "--every must be 1 to --iterations, 1000, not 0"),
    (("--iterations", 5), "--every must be 1 to --iterations, 5, not 100"),
]


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What comes of each of these."""
    folder = tmp_path_factory.mktemp("mistaken")
    (folder / "text").write_text(TEXT, encoding="utf-8")
    (folder / "short").write_text(("to be or not\nto be " * 8)[:150], encoding="utf-8")  # 15 are held out, of 16 rows
    return run_each("look_inside", folder, [arguments for arguments, _ in MISTAKES + MISFITS])


@pytest.mark.parametrize(
    ("arguments", "message"),
    MISTAKES,
    ids=["missing text", "short text", "many states", "steps", "no text", "no encoding", "no folder"],
)
def test_a_mistake_is_one_line(mistaken: Any, arguments: tuple[object, ...], message: str) -> None:
    done = mistaken[arguments]
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()  # after what matplotlib may say of its list of fonts
    assert re.fullmatch(rf"look_inside: .*{re.escape(message)}.*", last), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "message"), MISFITS, ids=["few states", "never", "too few"])
def test_options_that_do_not_fit_are_an_error(mistaken: Any, arguments: tuple[object, ...], message: str) -> None:
    done = mistaken[arguments]
    assert (done.returncode, done.stdout) == (2, "")
    *_, last = done.stderr.splitlines()  # after the usage
    assert last == f"look_inside.py: error: {message}"


@pytest.mark.parametrize(
    ("missing", "message"), [("matplotlib", "python -m pip install 'tinygrad-rnn[plot]'\n"), ("sklearn", "sklearn")]
)
def test_what_it_lacks_it_says_before_the_training(tmp_path: Path, missing: str, message: str) -> None:
    code = f"import runpy, sys; sys.modules[{missing!r}] = None; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = run(tmp_path, code=code)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
