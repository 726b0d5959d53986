"""Compiles the kernels and launches them: a product and a kernel a step, or one kernel for all steps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from ...core.arrays import Array, Booleans
from .. import gpu
from .products import address_of, multiplier
from .sources import STRUCTS, source

THREADS = 256
"""Of a block of a fused kernel. One of a persistent kernel has 32 for each of `gpu.WARPS`."""


@functools.cache
def _kernel(cell: str, name: str, dtype: str, device: int, units: int = 1, shared: int = 0) -> Any:
    """Compiled for the current device, once. What uses shared memory is launched cooperatively."""
    module = cupy.RawModule(code=source(cell, dtype, units), enable_cooperative_groups=shared > 0)
    kernel = module.get_function(name)
    if shared > 48 << 10:  # more than a block has unasked
        kernel.max_dynamic_shared_size_bytes = shared
    return kernel


def struct(cell: str, name: str) -> Callable[..., Any]:
    """Makes a struct of `STRUCTS` of its fields: arrays, which may be None, and numbers."""
    layout = STRUCTS[cell, name]
    count = sum(layout[name].kind == "u" for name in layout.names or ())

    def make(*fields: Any) -> Any:
        addresses = [0 if array is None else address_of(array) for array in fields[:count]]
        return np.array((*addresses, *fields[count:]), layout)[()]

    return make


def forward(cell: str, w_h: Array, B: int) -> Callable[[Any, int, Array], None]:
    """`run(steps, T, h_prev)` launches the T steps of a struct `Forward`, which start from `h_prev` (T, B, H)."""
    H, columns = w_h.shape
    if _kind(w_h, B) == "persistent":
        return _persistent(cell, "forward_all", w_h, B, H)
    multiply = multiplier(w_h, B, width=H, width_out=columns)
    from_h, launch = cupy.empty((B, columns), w_h.dtype), _fused(cell, "forward_step", w_h, B)

    def run(steps: Any, T: int, h_prev: Array) -> None:
        before, product, size = address_of(h_prev), address_of(from_h), B * H * w_h.itemsize
        for t in range(T):
            multiply(before + t * size, product)
            launch(steps, from_h, np.int32(t))

    return run


def backward(cell: str, w_h: Array, B: int, shift: int = 0) -> Callable[[Any, int, Array, Array], None]:
    """`run(steps, T, das, dh)` launches the T steps of a struct `Backward`, the last one first.

    `das` (T, B, N) is what they write and `dh` (B, H) what they change. The first columns of `das`, as many as `w_h`
    has, flow back through `w_h`, of which the first ones belong to its last `shift` columns.
    """
    H, columns = w_h.shape
    if _kind(w_h, B) == "persistent":
        launch_all = _persistent(cell, "backward_all", w_h, B, columns)
        return lambda steps, T, das, dh: launch_all(steps, T, das)
    w, launch = cupy.roll(w_h, shift, axis=1).T if shift else w_h.T, _fused(cell, "backward_step", w_h, B)

    def run(steps: Any, T: int, das: Array, dh: Array) -> None:
        width = das.shape[2]
        multiply = multiplier(w, B, width=width, width_out=H, add=True)
        da, to_h, size = address_of(das), address_of(dh), B * width * w_h.itemsize
        for t in reversed(range(T)):
            launch(steps, np.int32(t))
            multiply(da + t * size, to_h)

    return run


def _kind(w_h: Array, B: int) -> str:
    return gpu.choose(w_h.shape[1], w_h.shape[0], B, w_h.itemsize, gpu.chip_of(w_h))


def _fused(cell: str, name: str, w_h: Array, B: int) -> Callable[..., None]:
    """Launches a kernel with a thread for each unit of each row."""
    kernel = _kernel(cell, name, w_h.dtype.name, cupy.cuda.Device().id)
    grid, block = (-(-B * len(w_h) // THREADS),), (THREADS,)
    return lambda *arguments: kernel(grid, block, arguments)


def _persistent(cell: str, name: str, w_h: Array, B: int, K: int) -> Callable[[Any, int, Array], None]:
    """Launches a kernel of all steps; on its board K numbers of each row are told at a step."""
    (H, columns), chip = w_h.shape, gpu.chip_of(w_h)
    units = gpu.units_of_block(H, chip)
    shared = gpu.shared_bytes(columns // H, H, units, w_h.itemsize)
    kernel = _kernel(cell, name, w_h.dtype.name, cupy.cuda.Device().id, units, shared)
    board, w_h = cupy.empty((2, K, B), w_h.dtype), cupy.ascontiguousarray(w_h)

    def run(steps: Any, T: int, unused: Array) -> None:
        arrived = cupy.zeros(1, np.uint32)
        kernel((-(-H // units),), (32 * gpu.WARPS,), (steps, w_h, board, arrived), shared_mem=shared)

    return run


def flags(array: Booleans | None) -> Booleans | None:
    """Flags (T, B) without gaps; None where they are None."""
    return None if array is None else cupy.ascontiguousarray(array)


def gates_together(*gates: Array) -> Array:
    """Gates (T, B, H) beside each other, (T, B, G, H): the array of a forward that they are parts of, or a copy."""
    first, G = gates[0], len(gates)
    (_, B, H), size = first.shape, first.itemsize
    strides = (B * G * H * size, G * H * size, size)
    addresses = [address_of(gate) for gate in gates]
    if addresses == [addresses[0] + k * H * size for k in range(G)] and all(gate.strides == strides for gate in gates):
        return first
    together: Array = cupy.stack(gates, axis=2)
    return together
