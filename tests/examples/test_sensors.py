"""`examples/sensors.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
import runpy
from functools import partial
from pathlib import Path

import numpy as np

from running import EXAMPLES, by_seeds, run_each, run_example

SCRIPT = EXAMPLES / "sensors.py"
run = partial(run_example, "sensors")
GESTURES = ("left circle", "right circle", "eight", "line")


def test_the_network_beats_the_statistics_and_reads_step_by_step(tmp_path: Path) -> None:
    done = run(tmp_path, "--recordings", 400, "--hidden", 16, "--epochs", 12, "--lr", 0.03, "--plot", "sensors.svg")
    assert done.returncode == 0, done.stderr  # where matplotlib may say that it builds its list of fonts
    figures = re.findall(r"^(.*): accuracy (\S+), F1 (\S+)$", done.stdout, re.M)
    assert [name for name, *_ in figures] == ["linear model of statistics", "GRU of 16 units"]
    (simple, simple_f1), (accuracy, f1) = [[float(figure) for figure in row[1:]] for row in figures]
    assert max(simple, simple_f1) < 0.65 < 0.75 < min(accuracy, f1)
    confusion = np.array(
        [re.findall(rf"^    {name} +(\d+) +(\d+) +(\d+) +(\d+)$", done.stdout, re.M) for name in GESTURES]
    )
    confusion = confusion.reshape(4, 4).astype(int)
    assert confusion.sum(axis=1).tolist() == [15] * 4  # stratified
    assert f"{confusion.trace() / 60:.3f}" == f"{accuracy:.3f}"
    streams = [re.findall(rf"^    {name} .*\b(\d+): (\S+)$", done.stdout, re.M)[0] for name in GESTURES]
    assert all(20 <= int(steps) <= 80 for steps, _ in streams)
    assert sum(float(probability) > 0.5 for _, probability in streams) >= 3
    picture = (tmp_path / "sensors.svg").read_text(encoding="utf-8")
    for text in (*GESTURES, "acceleration", "by chance"):
        assert f"<!-- {text} -->" in picture
    assert [path.name for path in tmp_path.iterdir()] == ["sensors.svg"]


def test_it_stops_early_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    done = run(tmp_path, "--recordings", 40, "--hidden", 4, "--lr", 3, "--patience", 1, "--epochs", 99)
    assert (done.returncode, done.stderr) == (0, "")
    [(epochs, best)] = re.findall(r"^(\d+) epochs; the best was (\d+)$", done.stdout, re.M)
    assert int(epochs) == int(best) + 2 < 99


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = by_seeds("sensors", tmp_path, "--recordings", 40, "--hidden", 4, "--epochs", 2)
    assert one == same != two


def test_recordings_have_channels_gaps_and_unlike_lengths() -> None:
    script, rng = runpy.run_path(str(SCRIPT)), np.random.default_rng(0)
    recordings = [script["record"](0, rng) for _ in range(600)]
    lengths = np.array([len(xs) for xs in recordings])
    assert (lengths.min(), lengths.max()) == (20, 80)
    assert all(xs.shape[1:] == (3,) and xs.dtype == np.float32 for xs in recordings)
    gaps = np.array([np.isnan(xs).mean(axis=0) for xs in recordings])
    assert 0.04 < np.median(gaps) < 0.06
    assert 0.15 < (gaps.max(axis=1) > 0.25).mean() < 0.35  # those whose silence does not go beyond the end


def test_circles_differ_in_their_direction_alone() -> None:
    record, turns = runpy.run_path(str(SCRIPT))["record"], []
    for gesture in (0, 1):
        xs = [record(gesture, np.random.default_rng(seed))[:, :2] for seed in range(50)]
        steps = [(each - np.nanmean(each, axis=0)).astype(float) for each in xs]
        turns.append([np.nanmean(a[:-1, 0] * a[1:, 1] - a[:-1, 1] * a[1:, 0]) for a in steps])
    assert np.mean(np.array(turns[0]) > 0) > 0.9
    assert np.mean(np.array(turns[1]) < 0) > 0.9


def test_statistics_leave_gaps_out_and_count_them() -> None:
    xs = np.array([[1, np.nan, 5], [3, 2, np.nan], [5, 4, np.nan], [7, 6, np.nan]], "float32")
    found = runpy.run_path(str(SCRIPT))["statistics"](xs)
    deviations = [np.sqrt(5), np.sqrt(8 / 3), 0]
    np.testing.assert_allclose(found, [4, 4, 5, *deviations, 1, 2, 5, 7, 6, 5, 0, 0.25, 0.75], rtol=1e-6)


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    messages = {
        "--recordings 39": "--recordings must be at least 40, not 39",
        "--lr 0": "--lr must be above 0, not 0.0",
        "--plot sensors": "--plot must name a file that ends in .png, .svg or .pdf, not 'sensors'",
        "--plot folder.png": "--plot folder.png is a folder",
        "--plot missing/sensors.png": "--plot missing/sensors.png: no file can be written in its folder: ",
    }
    (tmp_path / "folder.png").mkdir()
    calls = [tuple(arguments.split()) for arguments in messages]
    for done, message in zip(run_each("sensors", tmp_path, calls).values(), messages.values(), strict=True):
        assert (done.returncode, done.stdout) == (2, "")
        *_, last = done.stderr.splitlines()
        assert last.startswith(f"sensors.py: error: {message}")


def test_without_matplotlib_it_says_so_before_the_training(tmp_path: Path) -> None:
    code = f"import runpy, sys; sys.modules['matplotlib'] = None; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = run(tmp_path, code=code.replace("import runpy, sys;", "import runpy, sys; sys.argv += ['--plot', 'a.png'];"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("python -m pip install 'tinygrad-rnn[plot]'\n")
    assert "Traceback" not in done.stderr
