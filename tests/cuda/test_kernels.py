"""The kernels for a GPU, run on the host, against the steps in NumPy that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernels_on_host import COMPILER, Host, compile_on_host
from steps_of_cells import GATES, check, problem
from tinygrad_rnn.kernels.cuda.sources import source

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels for the host")
UNITS = {"float64": 3, "float32": 1}
SEEDS = (0, 1)
"""Orders in which the threads run; `--long` tries two more."""


@pytest.fixture(scope="session", params=[(cell, dtype) for cell in GATES for dtype in UNITS], ids="-".join)
def library(request: pytest.FixtureRequest, folder: Path) -> Any:
    """The kernels of a cell for a dtype, its name and that of the dtype."""
    cell, dtype = request.param
    return compile_on_host(source(cell, dtype, UNITS[dtype]), folder, f"{cell}_{dtype}"), cell, dtype


@pytest.mark.parametrize("kind", ["fused", "persistent"])
@pytest.mark.parametrize(("T", "B", "H"), [(4, 3, 7), (1, 1, 1), (2, 35, 4), (3, 33, 2), (5, 1, 6)])
def test_a_kernel_is_the_steps(library: Any, kind: str, T: int, B: int, H: int, pytestconfig: pytest.Config) -> None:
    """Of more rows than lanes and more units than fill the blocks, too; with lengths, with starts and without."""
    loaded, cell, dtype = library
    for seed in (*SEEDS, 2, 3) if pytestconfig.getoption("--long") else SEEDS:
        for lengths, starts in [(True, True)] if seed else [(True, True), (True, False), (False, True), (False, False)]:
            for option in (False, True) if cell != "gru" else (False,):
                options = {"rnn": {"relu": option}, "lstm": {"peepholes": option}}.get(cell, {})
                given = problem(cell, T, B, H, dtype, lengths=lengths, starts=starts, **options)
                check(Host(loaded, cell, UNITS[dtype], seed), kind, given)


def test_an_empty_batch(library: Any) -> None:
    loaded, cell, dtype = library
    check(Host(loaded, cell, UNITS[dtype], 0), "persistent", problem(cell, 3, 0, 4, dtype))
