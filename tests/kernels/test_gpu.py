"""Which kernels a GPU computes with. That needs none: what the GPU has is a `Chip`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import gpu_kernels, set_gpu_kernels
from tinygrad_rnn.kernels import gpu
from tinygrad_rnn.kernels.gpu import Chip, choose, largest, shared_bytes, units_of_block

SHARED = 232448  # 227 KiB, of sm_90 and sm_100


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    set_gpu_kernels("auto")


@pytest.mark.parametrize(
    ("multiprocessors", "G", "itemsize", "most"),
    [
        (80, 1, 4, 2000), (80, 3, 4, 1120), (80, 4, 4, 954),
        (132, 1, 4, 2640), (132, 3, 4, 1452), (132, 4, 4, 1196),
        (148, 1, 4, 2802), (148, 3, 4, 1504), (148, 4, 4, 1332),
        (132, 4, 8, 792),
    ],
)  # fmt: skip
def test_the_largest_persistent_cell(multiprocessors: int, G: int, itemsize: int, most: int) -> None:
    chip = Chip(multiprocessors, SHARED)
    assert largest(G, itemsize, chip) == most
    assert choose(G * most, most, 64, itemsize, chip) == "persistent"
    assert choose(G * (most + 1), most + 1, 64, itemsize, chip) == "fused"


@pytest.mark.parametrize(("H", "units"), [(1, 1), (132, 1), (133, 2), (1024, 8), (0, 1)])
def test_no_more_blocks_than_multiprocessors(H: int, units: int) -> None:
    assert units_of_block(H, Chip(132, SHARED)) == units
    assert -(-H // units) <= 132


def test_what_a_block_keeps_in_shared_memory() -> None:
    """Four gates of eight units by 1024, and eight parts of 32 rows of their products."""
    assert shared_bytes(4, 1024, 8, 4) == 4 * (1024 * 32 + 8 * 32 * 32)


def test_the_choice() -> None:
    chip = Chip(132, SHARED)
    assert choose(512, 128, 64, 4, chip) == "persistent"
    assert choose(512, 128, 65, 4, chip) == "fused"  # many rows
    assert choose(8192, 2048, 1, 4, chip) == "fused"
    assert choose(512, 128, 64, 4, Chip(132, 0)) == "fused"  # no cooperative launches
    for kind in ("plain", "fused"):
        set_gpu_kernels(kind)
        assert choose(512, 128, 64, 4, chip) == kind
    set_gpu_kernels("persistent")
    assert choose(512, 128, 1000, 4, chip) == "persistent"


@pytest.mark.messages
def test_errors() -> None:
    with pytest.raises(
        ValueError, match=r'^set_gpu_kernels: kind must be "auto", "plain", "fused" or "persistent", not'
    ):
        set_gpu_kernels("fast")
    set_gpu_kernels("persistent")
    expected = (
        r'^set_gpu_kernels\("persistent"\): w_h \(2048, 8192\) of 32 bits needs 589824 bytes of shared memory on each '
        r'of 132 multiprocessors, which have 232448: at most 1196 units fit\. Choose "auto" or "fused"\.$'
    )
    with pytest.raises(ValueError, match=expected):
        choose(8192, 2048, 1, 4, Chip(132, SHARED))


@pytest.mark.messages
@pytest.mark.parametrize(
    ("w_h", "batch", "error", "message"),
    [
        ([[1.0]], 1, TypeError, "gpu_kernels: w_h is a list, not an array: make one with"),
        (
            np.zeros(4),
            1,
            ValueError,
            r"gpu_kernels: w_h has shape \(4,\); expected \(H, G \* H\), the weights",
        ),
        (np.zeros((4, 6)), 1, ValueError, r"gpu_kernels: w_h has shape \(4, 6\)"),
        (np.zeros((4, 8)), -1, ValueError, "gpu_kernels: batch must be at least 0"),
        (np.zeros((4, 8)), 2.5, TypeError, "gpu_kernels: batch must be an integer, not 2.5"),
    ],
)
def test_what_no_weights_are_is_told(w_h: Any, batch: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        gpu_kernels(w_h, batch)


def test_on_a_cpu_they_are_plain() -> None:
    set_gpu_kernels("persistent")
    assert gpu_kernels(np.zeros((4, 16), np.float32), 1) == "plain"


def test_cupy_is_not_imported() -> None:
    code = """
import sys
import numpy as np
import tinygrad_rnn as rnn
rnn.set_gpu_kernels("fused")
rnn.LSTMCell(2, 3, rng=np.random.default_rng(0))(np.zeros((4, 2, 2), np.float32))
assert "cupy" not in sys.modules and "tinygrad_rnn.kernels.cuda" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_kinds_are_those_of_the_text() -> None:
    assert all(f'"{kind}"' in str(set_gpu_kernels.__doc__) for kind in gpu.KINDS)
