"""`examples/forecast.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import re
import runpy
from collections import deque
from functools import partial
from pathlib import Path

import numpy as np

from running import EXAMPLES, by_seeds, run_each, run_example

SCRIPT = EXAMPLES / "forecast.py"
run = partial(run_example, "forecast")
METHODS = ("persistence", "seasonal-naive", "forecast")


def measured(output: str) -> list[dict[str, list[float]]]:
    """Of each series, by method, the errors of the first and of the last steps; and the percent in the band."""
    found = []
    for part in output.split(": ")[1:]:
        table = {name: [float(x) for x in re.findall(rf"^ +{name} +(\S+) +(\S+)$", part, re.M)[0]] for name in METHODS}
        found.append(
            {**table, "band": [float(x) for x in re.findall(r"^(\d+)% of the truth is in the band", part, re.M)]}
        )
    return found


def test_it_beats_persistence_and_draws_bands(tmp_path: Path) -> None:
    small = ("--hidden", 16, "--epochs", 6, "--lr", 0.03, "--ahead", 20, "--samples", 30)
    done = run(tmp_path, *small, "--plot", "forecast.svg")
    assert done.returncode == 0, done.stderr  # where matplotlib may say that it builds its list of fonts
    assert re.findall(r"^(.*): .* nats a step in training, a season of (\d+) steps$", done.stdout, re.M) == [
        ("Mackey-Glass", "32"),
        ("seasonal", "60"),
    ]
    assert done.stdout.count("\nmean absolute error    steps 1-5    16-20\n") == 2
    chaotic, seasonal = measured(done.stdout)
    for k in range(2):
        assert chaotic["forecast"][k] < chaotic["seasonal-naive"][k] < chaotic["persistence"][k]
        assert seasonal["forecast"][k] < 0.5 * seasonal["persistence"][k]
    assert chaotic["forecast"][0] < 0.5 * chaotic["forecast"][1]  # errors add up
    assert all(60 < share < 100 for share in chaotic["band"] + seasonal["band"])
    picture = (tmp_path / "forecast.svg").read_text(encoding="utf-8")
    for text in ("Mackey-Glass", "seasonal", "truth", "forecast", "10 to 90 %"):
        assert f"<!-- {text} -->" in picture


def test_the_seed_determines_all(tmp_path: Path) -> None:
    one, same, two = by_seeds("forecast", tmp_path, "--hidden", 4, "--epochs", 1, "--ahead", 4, "--samples", 2)
    assert one == same != two
    assert len(measured(one)) == 2


def test_the_chaotic_series_follows_its_rule() -> None:
    first = 1.2 + 0.1 * np.random.default_rng(3).standard_normal()
    past, x, seen = deque([first] * 170), first, []
    for _ in range(5000 + 30 * 50):  # until errors of rounding have grown
        seen.append(x)
        past.append(x)
        late = past.popleft()
        x += 0.1 * (0.2 * late / (1 + late**10) - 0.1 * x)
    series = runpy.run_path(str(SCRIPT))["mackey_glass"](np.random.default_rng(3))
    assert series.shape == (4000,)
    np.testing.assert_allclose(series[:50], seen[5000::30], rtol=1e-9)
    assert 0.2 < series.min() < 0.5 < 1.2 < series.max() < 1.5


def test_the_seasonal_series_has_two_periods_and_noise_that_lasts() -> None:
    series = runpy.run_path(str(SCRIPT))["seasonal"](np.random.default_rng(0))
    pattern = series[:3960].reshape(-1, 60).mean(axis=0)
    noise = series[:3960].reshape(-1, 60) - pattern
    assert 0.15 / np.sqrt(1 - 0.7**2) * 0.9 < noise.std() < 0.15 / np.sqrt(1 - 0.7**2) * 1.1
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1] - 0.7) < 0.05
    heights = 2 * np.abs(np.fft.rfft(pattern)) / 60
    assert set(np.flatnonzero(heights > 0.1)) == {2, 5, 10}  # times in 60 steps
    np.testing.assert_allclose(heights[[2, 5, 10]], [0.5, 1, 0.4], atol=0.05)


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    messages = {
        "--ahead 3": "--ahead must be at least 4, not 3",
        "--ahead 881": "--ahead must be at most 880, not 881",
        "--plot forecast": "--plot must name a file that ends in .png, .svg or .pdf, not 'forecast'",
        "--plot folder.png": "--plot folder.png is a folder",
        "--plot missing/forecast.png": "--plot missing/forecast.png: no file can be written in its folder: ",
    }
    (tmp_path / "folder.png").mkdir()
    calls = [tuple(arguments.split()) for arguments in messages]
    for done, message in zip(run_each("forecast", tmp_path, calls).values(), messages.values(), strict=True):
        assert (done.returncode, done.stdout) == (2, "")
        *_, last = done.stderr.splitlines()
        assert last.startswith(f"forecast.py: error: {message}")


def test_without_matplotlib_it_says_so_before_the_training(tmp_path: Path) -> None:
    code = f"import runpy, sys; sys.modules['matplotlib'] = None; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = run(tmp_path, code=code.replace("import runpy, sys;", "import runpy, sys; sys.argv += ['--plot', 'a.png'];"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("python -m pip install 'tinygrad-rnn[plot]'\n")
    assert "Traceback" not in done.stderr
