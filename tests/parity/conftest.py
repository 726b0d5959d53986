"""What the comparisons with PyTorch share: PyTorch itself, and the table of the worst errors that they end with."""

from __future__ import annotations

import importlib
import math
import tomllib
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
LIMIT = 1e-10
WORST = pytest.StashKey[dict[str, float]]()

Compare = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]
"""Of a line of the table, our arrays by name, and PyTorch's by the same names."""


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch on one thread. Its version is asked for first: without the right one it is not imported."""
    groups = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["dependency-groups"]
    wanted = next(line.removeprefix("torch==") for line in groups["parity"] if line.startswith("torch=="))
    try:
        found = metadata.version("torch").partition("+")[0]
    except metadata.PackageNotFoundError:
        found = "none"
    if found != wanted:
        pytest.skip(f"needs PyTorch {wanted}, found {found}: run `nox -s parity`")
    module: Any = importlib.import_module("torch")  # the one import, so that PyTorch needs no types
    module.set_num_threads(1)
    return module


@pytest.fixture
def compare(request: pytest.FixtureRequest) -> Compare:
    """For each array, max|ours - theirs| must be at most 1e-10 of max|theirs|; the worst is noted for the table."""
    worst = request.config.stash.setdefault(WORST, {})

    def check(line: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            assert array.dtype == np.float64
            error = relative(array, theirs[name].detach().numpy())
            assert error <= LIMIT, f"{line}: {name} differs from PyTorch's by {error:.1e}"
            worst[line] = max(error, worst.get(line, 0.0))

    return check


def relative(ours: Any, theirs: Any) -> float:
    assert ours.shape == theirs.shape
    gap, scale = (float(np.max(np.abs(array), initial=0)) for array in (ours - theirs, theirs))
    assert math.isfinite(gap)
    assert math.isfinite(scale)
    return 0.0 if gap == 0 else gap / scale if scale else math.inf


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table of docs/measured/parity.md."""
    worst = config.stash.get(WORST, {})
    if worst:
        terminalreporter.section("parity with PyTorch")
        terminalreporter.write_line("| compared | worst relative error |\n|---|---:|")
        for line, error in worst.items():
            terminalreporter.write_line(f"| {line} | {error:.1e} |")
