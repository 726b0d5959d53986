"""The arithmetic of workers, who are threads of this process here; `test_mpi.py` has real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from side_by_side import side_by_side
from trainings import TRAININGS, run

STEPS = 12


@pytest.mark.parametrize("name", TRAININGS)
def test_the_file_is_the_same_for_any_number_of_workers(name: str, tmp_path: Path) -> None:
    alone = run(name, STEPS, tmp_path / "1")
    assert alone[-1] != alone[0]
    for size in (2, 4, 8):
        path = tmp_path / str(size)
        losses = side_by_side(lambda communicator, path=path: run(name, STEPS, path, communicator), size)
        assert losses == [alone] * size
        assert path.read_bytes() == (tmp_path / "1").read_bytes()
