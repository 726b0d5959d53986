"""`examples/dates.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
import runpy
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from running import EXAMPLES, by_seeds, run_each, run_example

SCRIPT = EXAMPLES / "dates.py"
run = partial(run_example, "dates")
SHORT = ("--hidden", "8", "--iterations", "2", "--every", "2")
ISO = r"\d{4}-\d\d-\d\d"


def measured(output: str) -> list[tuple[float, float]]:
    """Of each line the loss, and percent right."""
    lines = re.findall(r"iteration \d+: loss (\S+), (\S+) % of held-out dates right\n", output)
    return [(float(loss), float(right)) for loss, right in lines]


def test_it_learns_dates_and_draws_where_it_looks(tmp_path: Path) -> None:
    small = ("--hidden", "32", "--lr", "0.015", "--iterations", "160", "--every", "40", "--goal", "0.6")
    done = run(tmp_path, *small, "--plot", "dates.svg")
    assert done.returncode == 0, done.stderr  # where matplotlib may say that it builds its list of fonts
    assert done.stdout.startswith("EncoderDecoder(Sequential(Embedding(68, 32), Bidirectional(GRUCell(32, 32), ")
    losses, right = zip(*measured(done.stdout), strict=True)
    assert f"\nat least 60 % after {40 * len(right)} iterations\n" in done.stdout
    assert max(right[:-1]) < 60 <= right[-1]
    assert losses[-1] < 0.3 * losses[0]

    _, beams = done.stdout.split("a beam search of width 3, with the probabilities:\n")
    lines = re.findall(r"^(['\"])(.*)\1, which is (\S+): (.*)$", beams, re.MULTILINE)
    assert len(lines) == beams.count("\n") == 3
    for _, _, truth, found in lines:
        assert re.fullmatch(ISO, truth)
        probabilities = [float(one.split(" ")[1]) for one in found.split(", ")]
        assert len(probabilities) == 3
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1.001
    assert sum(found.startswith(truth) for _, _, truth, found in lines) >= 2
    picture = (tmp_path / "dates.svg").read_text(encoding="utf-8")
    assert picture.count("<!-- source -->") == picture.count("<!-- target -->") == 3


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = by_seeds("dates", tmp_path, *SHORT)
    assert one == same != two
    assert "\nstill below 99.9 % after 2 iterations\n" in one
    assert len(measured(one)) == 1


def test_what_is_written_is_the_day() -> None:
    script, rng = runpy.run_path(str(SCRIPT)), np.random.default_rng(0)
    seen = {script["write"](date(1979, 5, 3), rng) for _ in range(2000)}
    forms = ("3 May 1979", "Thursday, the 3rd of May 1979", "THU MAY 3 1979", "may 3rd, 1979", "03-May-1979")
    numbers = ("3 may '79", "3.5.1979", "5/3/1979", "1979/05/03")
    assert {*forms, *numbers} <= seen
    assert all("1979" in text or "'79" in text for text in seen)
    texts = [script["write"](date(2001, 2, day), rng) for day in range(1, 29) for _ in range(200)]
    found = {text.split(" ")[1] for text in texts if text.startswith("the ")}
    irregular = {1: "1st", 2: "2nd", 3: "3rd", 21: "21st", 22: "22nd", 23: "23rd"}
    assert found == {irregular.get(day, f"{day}th") for day in range(1, 29)}


def test_letters_and_digits_of_a_batch_are_of_the_same_days() -> None:
    script = runpy.run_path(str(SCRIPT))
    days = np.array([date(1979, 5, 3).toordinal(), date(2024, 12, 31).toordinal()])
    sources, lengths, targets = script["pairs"](days, 50, np.random.default_rng(0))
    assert targets.shape == (10, 50)
    assert sources.shape == (lengths.max(), 50)
    for b, length in enumerate(lengths):
        text, answer = script["LETTERS"].decode(sources[:length, b]), script["DIGITS"].decode(targets[:, b])
        assert answer == ("1979-05-03" if "79" in text else "2024-12-31")
        read = script["late"](targets)[:, b]
        assert script["DIGITS"].decode(read) == "<start>" + answer[:-1]


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    messages = {
        ("--plot", "dates"): "--plot must name a file that ends in .png, .svg or .pdf, not 'dates'",
        ("--plot", ""): "--plot must name a file that ends in .png, .svg or .pdf, not ''",
        ("--plot", "missing/dates.png"): "--plot missing/dates.png: no file can be written in its folder: ",
        ("--lr", "-1"): "--lr must be above 0, not -1.0",
    }
    for done, message in zip(run_each("dates", tmp_path, messages).values(), messages.values(), strict=True):
        assert (done.returncode, done.stdout) == (2, "")
        *_, last = done.stderr.splitlines()  # after the usage
        assert last.startswith(f"dates.py: error: {message}"), last


def test_without_matplotlib_it_says_so_before_the_training(tmp_path: Path) -> None:
    code = f"import runpy, sys; sys.modules['matplotlib'] = None; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = run(tmp_path, code=code.replace("import runpy, sys;", "import runpy, sys; sys.argv += ['--plot', 'a.png'];"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("python -m pip install 'tinygrad-rnn[plot]'\n")
    assert "Traceback" not in done.stderr


def test_a_folder_as_plot_is_told_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    done = run(tmp_path, "--plot", "folder.png")
    assert done.stderr.splitlines()[-1] == "dates.py: error: --plot folder.png is a folder"
