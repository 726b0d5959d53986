"""The kernels are compiled for GPUs by NVRTC, which needs none: nothing is spilled to local memory."""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from steps_of_cells import GATES
from tinygrad_rnn.kernels.cuda.sources import source, text
from tinygrad_rnn.kernels.gpu import Chip, largest, units_of_block

KERNELS = {"forward_step", "backward_step", "forward_all", "backward_all"}
ARCHITECTURES = (80, 90, 120)
LARGEST = Chip(132, 227 << 10)
"""Of a GPU of sm_90, the one with the most shared memory; so there are no more units to a block than here."""


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    """The library of the wheel."""
    try:
        files = importlib.metadata.files("nvidia-cuda-nvrtc") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs NVRTC: run `nox -s cuda_compile`")
    path = next((file for file in files if re.fullmatch(r"(lib)?nvrtc(64_\d+_\d+)?\.(so|dll)[.\d]*", file.name)), None)
    if path is None:
        pytest.skip("the wheel of NVRTC has no library for this system")
    return ctypes.CDLL(str(path.locate()))


class Used(NamedTuple):
    kernel: str
    registers: int
    stack: int
    spilled: int


def compiled(nvrtc: Any, text: str, architecture: int) -> Iterator[Used]:
    """What the kernels of a source use, as the assembler reports it."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert not nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None)
    options = [f"--gpu-architecture=sm_{architecture}".encode(), b"--std=c++17", b"--ptxas-options=-v"]
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    report = log.value.decode()
    assert not failed, report
    for part in report.split("Compiling entry function '")[1:]:
        stack, stores, loads = (
            int(re.search(rf"(\d+) bytes {what}", part)[1])  # type: ignore[index]
            for what in ("stack frame", "spill stores", "spill loads")
        )
        registers = int(re.search(r"Used (\d+) registers", part)[1])  # type: ignore[index]
        yield Used(part.partition("'")[0], registers, stack, stores + loads)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", GATES)
def test_nothing_is_spilled(nvrtc: Any, cell: str, dtype: str, architecture: int) -> None:
    """With one unit a block, with four, and with as many as the largest persistent cell has."""
    most = units_of_block(largest(GATES[cell], {"float32": 4, "float64": 8}[dtype], LARGEST), LARGEST)
    for units in (1, 4, most):
        found = list(compiled(nvrtc, source(cell, dtype, units), architecture))
        assert {used.kernel for used in found} == KERNELS
        for used in found:
            print(f"sm_{architecture} {cell} {dtype}, {units} units a block: {used}")
            assert used.stack == used.spilled == 0
            assert used.registers <= 255


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("cross_entropy", {"cross_entropy_forward", "cross_entropy_backward"}),
        ("examine", {"examine"}),
        ("by_id", {"sort_by_id", "add_rows"}),
        ("masks", {"random_mask"}),
        ("linear", {"linear_forward", "linear_backward"}),
    ],
)
def test_nothing_is_spilled_by_the_rest(
    nvrtc: Any, name: str, kernels: set[str], dtype: str, architecture: int
) -> None:
    found = list(compiled(nvrtc, text(dtype, "sums", name, Id="long long"), architecture))
    assert {used.kernel for used in found} == kernels
    for used in found:
        print(f"sm_{architecture} {dtype}: {used}")
        assert used.spilled == 0
        assert used.registers <= 255
        assert used.stack <= 16  # of a call, of the division of doubles
