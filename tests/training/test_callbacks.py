from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    SGD,
    BestCheckpoint,
    CharTokenizer,
    EarlyStopping,
    History,
    JSONLines,
    OneHot,
    Report,
    RNNCell,
    Sample,
    Sequential,
    load,
    save,
)


def report(values: list[float], name: str = "validation_loss") -> Report:
    """As after so many reports, in which the measure had these values."""
    rng = np.random.default_rng(0)
    model = Sequential(OneHot(3), RNNCell(3, 3, rng=rng))
    history = History({"step": 10 * (i + 1), name: value} for i, value in enumerate(values))
    return Report(history, model, SGD(model, 0.1), lambda path: save(path, model, metadata={"step": 10 * len(values)}))


@pytest.mark.parametrize(
    ("values", "how", "stops"),
    [
        ([3.0, 2.0, 2.5], {}, False),
        ([3.0, 2.0, 2.5, 2.0], {}, False),  # equal is no improvement, but two reports may bring none
        ([3.0, 2.0, 2.5, 2.0, 2.1], {}, True),
        ([3.0, 2.0, 2.5, 2.0, 1.9], {}, False),
        ([3.0, 2.0, 1.95, 1.9, 1.85], {"least": 0.2}, True),
        ([0.1, 0.3, 0.2, 0.2, 0.3], {"mode": "max"}, True),
        ([0.1, 0.3, 0.2, 0.2, 0.4], {"mode": "max"}, False),
        ([float("nan")] * 3, {}, True),
    ],
)
def test_early_stopping(values: list[float], how: Any, stops: bool) -> None:
    reason = EarlyStopping(2, **how)(report(values))
    assert (reason is not None) == stops
    assert reason in (None, "validation_loss has not improved for 3 reports")


def test_the_best_checkpoint_stays(tmp_path: Path) -> None:
    callback = BestCheckpoint(tmp_path / "best", of="accuracy", mode="max")
    values = [0.2, 0.5, 0.4, 0.5]
    for count in range(1, 5):
        callback(report(values[:count], "accuracy"))
    assert load(tmp_path / "best").metadata == {"step": 20}


def test_json_lines_are_appended_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for values in ([9.0], [3.0], [3.0, 2.5]):
        JSONLines(path)(report(values))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 10, "validation_loss": 3.0}, {"step": 20, "validation_loss": 2.5}]


def test_a_sample_is_written_after_some_reports(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = CharTokenizer.from_text("abc")
    texts: list[str] = []
    shown = Sample(tokenizer, "ab", rng=np.random.default_rng(0), every=2, length=5, show=texts.append)
    for count in (1, 2, 3, 4):
        shown(report([1.0] * count))
    assert [text[:2] for text in texts] == ["ab", "ab"]
    assert all(len(text) == 7 for text in texts)
    Sample(tokenizer, "ab", rng=np.random.default_rng(0), length=5)(report([1.0]))
    out, _ = capsys.readouterr()
    assert out == f"step 10: {texts[0]}\n\n"


ANY: Any = None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(0), "EarlyStopping: patience must be at least 1, not 0"),
        (lambda: EarlyStopping(mode="least"), "EarlyStopping: mode must be"),
        (lambda: EarlyStopping(least=-1), "EarlyStopping: least must be at least 0, not -1"),
        (lambda: BestCheckpoint(ANY), "BestCheckpoint: "),
        (lambda: BestCheckpoint("path", mode="best"), "BestCheckpoint: mode must be"),
        (lambda: JSONLines(ANY), "JSONLines: "),
        (lambda: Sample(None, "", rng=ANY), "Sample: rng must be"),
        (lambda: EarlyStopping(of="accuracy")(report([1.0])), "History.column: row 0 has no 'accuracy'"),
    ],
)
def test_mistakes(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        make()
