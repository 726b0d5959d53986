"""The GPU of the tests that need one, and the place of kernels that run without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tinygrad_rnn import Device


@pytest.fixture(scope="session")
def device() -> Device:
    """Where there is no GPU, or a part of CUDA is missing, what needs it is skipped, and the reason says which."""
    from tinygrad_rnn import Device  # pytest reads this file before the import hook of `--check-shapes` is in place

    try:
        return Device("cuda")
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which kernels can be compiled for the host."""
    from kernels_on_host import compile_shim  # not above: it imports the package, too

    path = tmp_path_factory.mktemp("kernels")
    compile_shim(path)
    return path
