from __future__ import annotations

import math
from pathlib import Path

import pytest

from tinygrad_rnn import History


def test_the_history_is_a_table(tmp_path: Path) -> None:
    history = History([{"step": 1, "loss": 3.0}, {"step": 2, "loss": math.nan}, {"step": 3, "loss": 2.0}])
    assert history.best("loss") == 2
    assert history.best("loss", "max") == 0
    assert History().best("loss") == -1
    history.save_csv(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == "step,loss\n1,3.0\n2,nan\n3,2.0\n"
    with pytest.raises(ValueError, match=r"^History.column: row 0 has no 'accuracy'; it has step, loss"):
        history.column("accuracy")
    with pytest.raises(ValueError, match=r"^History.best: mode must be .min. or .max., not .least."):
        history.best("loss", "least")


def test_rows_come_back_from_columns() -> None:
    history = History([{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0, "validation_counts": [[1, 0], [2, 3]]}])
    assert history.columns()["validation_counts"] == [None, [[1, 0], [2, 3]]]
    assert History.of_columns(history.columns()) == history
    assert History.of_columns({}) == []
    with pytest.raises(ValueError, match="zip"):
        History.of_columns({"step": [1], "loss": [1.0, 2.0]})
