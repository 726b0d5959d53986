"""Which kernels compute the steps of a cell on a GPU, and where the persistent ones fit. CuPy is not needed for that.

`plain` calls CuPy's functions one by one; it is the definition. `fused` has two operations a step: a product and a
kernel for all the rest. `persistent` has one operation for all steps of a sequence: each multiprocessor keeps its part
of the recurrent weights in its shared memory, and they wait for each other once a step. The sources are in `cuda/`.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, NamedTuple

from ..core.arguments import check_choice, check_size
from ..core.arrays import Array
from ..core.foreign import check_is_array

KINDS = ("auto", "plain", "fused", "persistent")
MOST_ROWS = 64
"""Rows of a batch, up to which the persistent kernels are chosen where they fit. With more, the products of cuBLAS
should be worth their launches. This bound was chosen, not measured."""
WARPS = 8
"""Of a block, as in `cuda/steps.cu`. Each has 32 threads, and sums up a part of the products of 32 rows."""

wanted = "auto"
"""What `set_gpu_kernels` was given last."""


def is_on_gpu(array: Any) -> bool:
    """Whether it is an array of CuPy, which is not imported for that."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(array, cupy.ndarray)


class Chip(NamedTuple):
    """What a GPU has for persistent kernels."""

    multiprocessors: int
    shared: int
    """Bytes of shared memory that a block may have: there is one block on each multiprocessor."""


def set_gpu_kernels(kind: str = "auto") -> None:
    """Choose the kernels of every `RNNCell`, `GRUCell` and `LSTMCell` on a GPU, for the whole process.

    All kernels give the same results to rounding. `gpu_kernels` says which ones a cell has.

    Args:
        kind: "auto" takes the persistent ones where they fit and the batch has at most 64 rows, else the fused ones.
            "plain" calls CuPy's functions one by one. "fused" has a product and one kernel a step. "persistent" has one
            kernel for all steps, which keeps the recurrent weights in shared memory; if they do not fit, `forward` and
            `backward` raise ValueError.

    Raises:
        ValueError: `kind` is none of these.

    Example:
        >>> set_gpu_kernels("auto")
    """
    global wanted
    check_choice("set_gpu_kernels", "kind", kind, *KINDS)
    wanted = kind


def gpu_kernels(w_h: Array, batch: int) -> str:
    """Which kernels compute with these recurrent weights: "plain", "fused" or "persistent"; "plain" on a CPU.

    Args:
        w_h: (H, G * H), as in `cell.w_h.value` of an `RNNCell`, a `GRUCell` or an `LSTMCell`. One with coupled gates
            runs as one with four: give an array (H, 4 * H).
        batch: B, the rows of a batch.

    Raises:
        TypeError: `w_h` is not an array, or `batch` not an integer.
        ValueError: `w_h` has other axes, or `batch` is negative; or `set_gpu_kernels("persistent")` was called, and the
            weights do not fit.

    Example:
        >>> gpu_kernels(np.zeros((128, 512), np.float32), 32)
        'plain'
    """
    check_is_array("gpu_kernels", "w_h", w_h)
    if w_h.ndim != 2 or not w_h.shape[0] or w_h.shape[1] % w_h.shape[0]:
        raise ValueError(f"gpu_kernels: w_h has shape {w_h.shape}; expected (H, G * H), the weights of G gates")
    check_size("gpu_kernels", "batch", batch, least=0)
    if not is_on_gpu(w_h):
        return "plain"
    return choose(w_h.shape[1], w_h.shape[0], batch, w_h.dtype.itemsize, chip_of(w_h))


def choose(columns: int, H: int, B: int, itemsize: int, chip: Chip) -> str:
    """Which kernels, for recurrent weights (H, columns) and B rows."""
    if wanted in ("plain", "fused"):
        return wanted
    G = columns // max(H, 1)
    room = shared_bytes(G, H, units_of_block(H, chip), itemsize)
    if wanted == "auto":
        return "persistent" if room <= chip.shared and B <= MOST_ROWS else "fused"
    if room > chip.shared:
        raise ValueError(
            f'set_gpu_kernels("persistent"): w_h ({H}, {columns}) of {8 * itemsize} bits needs {room} bytes of shared '
            f"memory on each of {chip.multiprocessors} multiprocessors, which have {chip.shared}: at most "
            f'{largest(G, itemsize, chip)} units fit. Choose "auto" or "fused".'
        )
    return "persistent"


def chip_of(array: Any) -> Chip:
    """What the GPU of an array has; no shared memory where it cannot launch a kernel cooperatively."""
    return _chip(array.device.id)


@functools.cache
def _chip(index: int) -> Chip:
    import cupy

    found: Any = cupy.cuda.Device(index).attributes
    shared = found["MaxSharedMemoryPerBlockOptin"] if found["CooperativeLaunch"] else 0
    return Chip(found["MultiProcessorCount"], shared)


def units_of_block(H: int, chip: Chip) -> int:
    """How many of the H units a block owns: as few as there are multiprocessors for."""
    return max(-(-H // chip.multiprocessors), 1)


def shared_bytes(G: int, H: int, units: int, itemsize: int) -> int:
    """Shared memory of a block that goes forward, of a cell with G gates; one that goes back needs no more.

    It holds the columns of the recurrent weights that belong to its units, and the parts of 32 rows' products.
    """
    return (H + 32 * WARPS) * G * units * itemsize


def largest(G: int, itemsize: int, chip: Chip) -> int:
    """The most units of a cell with G gates that are persistent."""
    H = 0
    while shared_bytes(G, H + 1, units_of_block(H + 1, chip), itemsize) <= chip.shared:
        H += 1
    return H
