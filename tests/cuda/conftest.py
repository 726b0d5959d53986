"""The GPU of the tests that need one."""

from __future__ import annotations

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
