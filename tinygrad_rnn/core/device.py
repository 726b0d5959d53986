"""Where arrays live. The only module outside `kernels` that may import cupy."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .arrays import Array

F = TypeVar("F", bound=Callable[..., Any])


class Device:
    """A processor, by name: `"cpu"`, `"cuda"` (the first GPU) or `"cuda:1"`.

    Nothing moves between devices by itself: `asarray` is the only way in, `to_host` the only way out. Two devices of
    the same name are equal. Every argument that takes a device also takes its name.

    CuPy computes only on the current GPU, at first `"cuda:0"`. Layers, losses, optimizers, `fit`, `generate` and
    similar functions make the GPU of their arrays the current one while they compute. Put what you compute yourself
    from arrays of another GPU into `with device:`.

    The first `Device` of a GPU in a process runs a small kernel and a product there, so that a missing part of CUDA is
    an error at once. This takes half a second.

    Raises:
        ValueError: the name is none of these.
        RuntimeError: there is no CuPy, CuPy finds no such GPU, or a part of CUDA that it needs is missing; the message
            says which, and how to install it.

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
        """The full name, with the number of the GPU."""
        return self._name

    @property
    def xp(self) -> Any:
        """The module whose functions take this device's arrays, numpy or cupy."""
        if self.name == "cpu":
            return np
        import cupy

        return cupy

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        """`values` on this device: a copy if they are elsewhere or have another dtype."""
        with self:
            return self.xp.asarray(values, dtype=dtype)

    def to_host(self, array: Any) -> Any:
        """`array` as a NumPy array; waits until it is computed."""
        if self.name == "cpu":
            return array
        with self:
            return array.get()

    def synchronize(self) -> None:
        """Wait until all work given to this device is done. Only timing needs it."""
        if self.name != "cpu":
            with self:
                self.xp.cuda.get_current_stream().synchronize()

    def zeros(self, size: int, dtype: Any) -> Array:
        """A vector of zeros that starts on a multiple of 64 bytes (a misaligned one slows products by up to 45 %)."""
        if self.name != "cpu":  # CuPy aligns to 512 bytes
            with self:
                vector: Array = self.xp.zeros(size, dtype)
            return vector
        itemsize = np.dtype(dtype).itemsize
        spare = np.zeros(size + 64 // itemsize, dtype)
        start = -spare.ctypes.data % 64 // itemsize
        return spare[start : start + size]

    def __enter__(self) -> Device:
        """Make this GPU the one on which CuPy computes, in this thread, until the block ends; a CPU needs nothing."""
        if self._name != "cpu":
            self._gpu().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._name != "cpu":
            self._gpu().__exit__(*error)

    def _gpu(self) -> Any:
        return self.xp.cuda.Device(int(self._name.partition(":")[2]))

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


def find_nccl() -> Any:
    """CuPy's module of NCCL, which exchanges arrays between GPUs; None where NCCL is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # by which CuPy says that it is
        from cupy.cuda import nccl
    return nccl if nccl.available else None


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


_waiting: list[Callable[[], object]] | None = []
"""What is called when the first `Device` of a GPU is made; None from then on."""


def at_first_gpu(work: Callable[[], object]) -> None:
    """Call `work` when the process makes its first `Device` of a GPU; at once if it has made one."""
    if _waiting is None:
        work()
    else:
        _waiting.append(work)


def has_used_gpu() -> bool:
    """Whether this process has made a `Device` of a GPU."""
    return _waiting is None


def use_gpus() -> None:
    """What the first `Device` of a GPU does: call what waits for it."""
    global _waiting
    waiting, _waiting = _waiting, None
    for work in waiting or ():
        work()


def on_own_gpu(function: F) -> F:
    """`function`, or a method of a layer, which makes the GPU of its arrays the current one while it runs.

    That is the GPU of the first array among the arguments that is on one; or else that of a layer among them.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        gpu = _gpu_of((*args[1:], *kwargs.values(), *args[:1]))  # of a method, the layer itself last
        if gpu is None:
            return function(*args, **kwargs)
        with gpu:
            return function(*args, **kwargs)

    run.inner = function  # type: ignore[attr-defined]
    return run  # type: ignore[return-value]


def _gpu_of(values: Any) -> Any:
    """The first device that is not the CPU in a tree of tuples; None if there is none."""
    for value in values:
        place = _gpu_of(value) if isinstance(value, tuple) else getattr(value, "device", None)
        if place is not None and str(place) != "cpu":
            return place
    return None


@functools.cache
def _check_cuda(name: str, index: int) -> None:
    """There must be such a GPU, and CuPy be able to compute on it; asked once in a process."""
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(
            f"Device({name!r}): CuPy is not installed. Install tinygrad-rnn[cuda13], or [cuda12] for a CUDA 12 driver: "
            "python -m pip install 'tinygrad-rnn[cuda13]'"
        ) from error
    found = cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0
    if index >= found:
        driver, needed = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
        cure = "Check the driver with nvidia-smi"
        if not driver:
            cure = "There is no NVIDIA driver: install that of your GPU, and check it with nvidia-smi"
        elif driver // 1000 < needed // 1000:
            cure = (
                f"The driver is for CUDA {driver // 1000}, but this CuPy for CUDA {needed // 1000}: install a newer "
                f"driver, or python -m pip install 'tinygrad-rnn[cuda{driver // 1000}]' in place of this CuPy"
            )
        raise RuntimeError(f'Device({name!r}): CuPy is installed but finds {found} GPUs. {cure}, or use Device("cpu").')
    with cupy.cuda.Device(index):
        _try_out(name, cupy)
    use_gpus()


def _try_out(name: str, cupy: Any) -> None:
    """Load the compiler, compile and run a kernel, and multiply matrices.

    Raises:
        RuntimeError: one fails; the message says which part of CUDA it needs.
    """

    def multiply() -> Any:
        ones = cupy.ones((2, 2), "float32")
        return cupy.dot(ones, ones).get()

    wanted = f"tinygrad-rnn[cuda{cupy.cuda.runtime.runtimeGetVersion() // 1000}]"
    for part, use in (
        ("NVRTC, the compiler of CUDA's kernels,", cupy.cuda.nvrtc.getVersion),
        ("what kernels are compiled with, CUDA's headers,", lambda: (cupy.arange(3) * 2).get()),
        ("cuBLAS, which multiplies matrices,", multiply),
    ):
        try:
            use()
        except Exception as error:  # of whatever kind: CuPy's own, of a loader or of the system
            raise RuntimeError(
                f"Device({name!r}): CuPy finds the GPU, but {part} is missing or fails: {type(error).__name__}: "
                f"{str(error).strip():.500}. Install CuPy with its parts of CUDA: python -m pip install '{wanted}'"
            ) from error
