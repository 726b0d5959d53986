"""Where arrays live. The only module outside `kernels` that may import cupy."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import numpy as np

from .arrays import Array


class Device:
    """A processor, by name: `"cpu"`, `"cuda"` (the first GPU) or `"cuda:1"`.

    Nothing moves between devices by itself: `asarray` is the only way in, `to_host` the only way out. Two devices of
    the same name are equal. Wherever a device is wanted, its name will do. CuPy computes on its current GPU: a model on
    another than the first is used inside `with cupy.cuda.Device(1):`.

    Raises:
        ValueError: the name is none of these.
        RuntimeError: there is no CuPy, or CuPy finds no such GPU; the message says which.

    Example:
        >>> Device("cpu").asarray([1.0, 2.0], dtype="float32")
        array([1., 2.], dtype=float32)
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f'Device: a device is "cpu", "cuda" or "cuda:" and a number, not {name!r}')
        if name != "cpu":
            kind, colon, index = name.partition(":")
            if kind != "cuda" or (colon and not index.isdecimal()):
                raise ValueError(f'Device({name!r}): a device is "cpu", "cuda" or "cuda:" and a number')
            name = f"cuda:{int(index or 0)}"
            _check_cuda(name, int(index or 0))
        self._name = name

    @property
    def name(self) -> str:
        """The name in full; that of the first GPU has its number too."""
        return self._name

    @property
    def xp(self) -> Any:
        """The module whose functions take this device's arrays, numpy or cupy."""
        if self.name == "cpu":
            return np
        import cupy

        return cupy

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        """`values` on this device: a copy where they lie elsewhere or have another dtype."""
        with self._current():
            return self.xp.asarray(values, dtype=dtype)

    def to_host(self, array: Any) -> Any:
        """`array` as a NumPy array; waits until it is computed."""
        return array if self.name == "cpu" else array.get()

    def synchronize(self) -> None:
        """Wait until all work given to this device is done. Only timing needs it."""
        if self.name != "cpu":
            with self._current():
                self.xp.cuda.get_current_stream().synchronize()

    def zeros(self, size: int, dtype: Any) -> Array:
        """A vector of zeros that starts on a multiple of 64 bytes (a misaligned one slows products by up to 45 %)."""
        if self.name != "cpu":  # CuPy aligns to 512 bytes
            with self._current():
                vector: Array = self.xp.zeros(size, dtype)
            return vector
        itemsize = np.dtype(dtype).itemsize
        spare = np.zeros(size + 64 // itemsize, dtype)
        start = -spare.ctypes.data % 64 // itemsize
        return spare[start : start + size]

    def _current(self) -> contextlib.AbstractContextManager[Any]:
        """Allocations in this context are made on this GPU; a CPU needs none."""
        if self.name == "cpu":
            return contextlib.nullcontext()
        device: contextlib.AbstractContextManager[Any] = self.xp.cuda.Device(int(self.name.partition(":")[2]))
        return device

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Device({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return self.name == other.name if isinstance(other, Device) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)


def as_device(device: Device | str) -> Device:
    """`device`, or the device of that name."""
    return device if isinstance(device, Device) else Device(device)


def device_of(array: Any) -> Device:
    """The device on which `array` lies."""
    place = array.device
    if isinstance(place, Device):
        return place
    return Device("cpu") if isinstance(place, str) else Device(f"cuda:{place.id}")


def on_host(value: Any) -> Any:
    """`value`, an array on any device or a number of Python, on the host; on a GPU this waits until it is computed."""
    return value if isinstance(value, (int, float)) else device_of(value).to_host(value)


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed arrays, so that the buffers of a training step cost no page faults.

    glibc gives a freed block of 128 KiB or more straight back to the kernel, and the next one of that size is faulted
    in again, page by page: 30 to 40 % of a training step at H = 128. But when a block is freed that came from the
    kernel and is at most 32 MiB, glibc raises its threshold to that block's size. So one such block is made and freed,
    once; no page of it is touched. Elsewhere than under glibc this does nothing.

    It holds for the whole process, which may keep up to 64 MiB of freed memory from then on. So it is not done before
    the first `forward` for training.
    """
    block = np.empty((32 << 20) - 8192, np.uint8)
    del block


def _check_cuda(name: str, index: int) -> None:
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(
            f"Device({name!r}): CuPy is not installed. Install tinygrad-rnn[cuda13], or [cuda12] for a CUDA 12 driver: "
            "python -m pip install 'tinygrad-rnn[cuda13]'"
        ) from error
    found = cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0
    if index >= found:
        raise RuntimeError(
            f"Device({name!r}): CuPy is installed but finds {found} GPUs. Check the driver with nvidia-smi, "
            'or use Device("cpu").'
        )
