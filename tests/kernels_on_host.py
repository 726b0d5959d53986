"""Kernels of CUDA, compiled by the host's compiler and run by `cuda/shim.cpp`, with arrays between guarded pages."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.kernels import gpu
from tinygrad_rnn.kernels.cuda.sources import STRUCTS

SHIM = Path(__file__).parent / "cuda" / "shim.cpp"
COMPILER = shutil.which("g++")
FLAGS = ("-w", "-std=c++14", "-fPIC")  # the <cmath> of C++17 takes as long as a kernel
OUTCOMES = ("fine", "a deadlock", "out of bounds")
WRAPPERS = """
extern "C" int run_forward_step(Forward* s, Real* from_h, int t, unsigned grid, unsigned block, unsigned seed) {
    return shim::launch(grid, block, 0, seed, [=] { forward_step(*s, from_h, t); });
}
extern "C" int run_backward_step(Backward* s, int t, unsigned grid, unsigned block, unsigned seed) {
    return shim::launch(grid, block, 0, seed, [=] { backward_step(*s, t); });
}
extern "C" int run_forward_all(Forward* s, Real* w_h, Real* board, unsigned* arrived, unsigned grid, unsigned block,
                               size_t shared, unsigned seed) {
    return shim::launch(grid, block, shared, seed, [=] { forward_all(*s, w_h, board, arrived); });
}
extern "C" int run_backward_all(Backward* s, Real* w_h, Real* board, unsigned* arrived, unsigned grid, unsigned block,
                                size_t shared, unsigned seed) {
    return shim::launch(grid, block, shared, seed, [=] { backward_all(*s, w_h, board, arrived); });
}
"""


class Wrong(AssertionError):
    """A kernel that never ends, or that touches what is not its own."""


def compile_shim(folder: Path) -> None:
    """Once for all that `build` makes in the folder."""
    assert COMPILER is not None
    subprocess.run([COMPILER, *FLAGS, "-O1", "-c", str(SHIM), "-o", str(folder / "shim.o")], check=True)


def build(text: str, folder: Path, name: str) -> ctypes.CDLL:
    """The library of kernels and of what launches them. To compile them takes longer than to run them: without `-O`."""
    path, library = folder / f"{name}.cpp", folder / f"{name}.so"
    path.write_text(f'#include "{SHIM.with_suffix(".h")}"\n{text}', encoding="utf-8")
    assert COMPILER is not None
    linked = (str(path), str(folder / "shim.o"), "-o", str(library))
    subprocess.run([COMPILER, *FLAGS, "-fpermissive", "-shared", *linked], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.guarded.restype = ctypes.c_void_p
    return loaded


def compile_on_host(source: str, folder: Path, name: str) -> ctypes.CDLL:
    """The library of the source of a cell; its shared memory is that of the shim."""
    declared = "extern __shared__ Real room[];"
    assert source.count(declared) == 2
    return build(source.replace(declared, "Real* room = (Real*)shim::room();") + WRAPPERS, folder, name)


class Host(NamedTuple):
    """Launches the kernels of a library as `kernels.cuda.launch` does."""

    kernels: ctypes.CDLL
    cell: str
    units: int
    seed: int
    """The order of the threads; arrays end at a guarded page where it is even, and begin at one where it is odd."""

    def array(self, values: Any) -> Any:
        """A guarded copy; None stays None."""
        if values is None:
            return None
        values = np.ascontiguousarray(values)
        at = self.kernels.guarded(ctypes.c_size_t(values.nbytes), int(self.seed % 2 == 0))
        memory = (ctypes.c_char * values.nbytes).from_address(at)
        copy = np.frombuffer(memory, values.dtype).reshape(values.shape)
        copy[...] = values
        return copy

    def struct(self, name: str, **fields: Any) -> Any:
        layout = STRUCTS[self.cell, name]
        assert layout.names is not None
        values = [fields[field] for field in layout.names]
        addresses = [0 if v is None else v if isinstance(v, int) else v.ctypes.data for v in values]
        return np.array(tuple(addresses), layout)

    def _call(self, function: str, *arguments: Any) -> None:
        passed = [
            ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else ctypes.c_size_t(a) for a in arguments
        ]
        outcome = getattr(self.kernels, function)(*passed)
        if outcome:
            raise Wrong(f"{function}: {OUTCOMES[outcome]}")

    def fused_forward(self, steps: Any, h_prev: Any, w_h: Any) -> None:
        (T, B, H), threads = (int(steps[name]) for name in "TBH"), 256
        for t in range(T):
            from_h = self.array(h_prev[t] @ w_h)
            self._call("run_forward_step", steps, from_h, t, -(-B * H // threads), threads, self.seed)

    def fused_backward(self, steps: Any, das: Any, dh: Any, w_h: Any, shift: int) -> None:
        (T, B, H), threads = (int(steps[name]) for name in "TBH"), 256
        for t in reversed(range(T)):
            self._call("run_backward_step", steps, t, -(-B * H // threads), threads, self.seed)
            dh += das[t].reshape(B, -1)[:, : w_h.shape[1]] @ np.roll(w_h, shift, axis=1).T

    def persistent(self, direction: str, steps: Any, w_h: Any) -> None:
        """All steps "forward" or "backward", with just the shared memory that they need."""
        (H, columns), B, units = w_h.shape, int(steps["B"]), self.units
        grid, told = -(-H // units), H if direction == "forward" else columns
        board = self.array(np.full((2, told, B), np.nan, w_h.dtype))
        arrived, block = self.array(np.zeros(1, np.uint32)), 32 * gpu.WARPS
        forward, backward = (
            gpu.shared_bytes(columns // H, H, units, w_h.itemsize),
            (columns + block) * units * w_h.itemsize,
        )
        assert backward <= forward
        shared = forward if direction == "forward" else backward
        self._call(f"run_{direction}_all", steps, self.array(w_h), board, arrived, grid, block, shared, self.seed)
