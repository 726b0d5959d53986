from __future__ import annotations

import functools
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from running import run_alone
from tinygrad_rnn import Device
from tinygrad_rnn.core import device
from tinygrad_rnn.core.device import as_device, device_of
from tinygrad_rnn.testing import StrictDevice


class FakeCuPy(ModuleType):
    """CuPy as it is on a machine with so many GPUs, of which `missing` does not work."""

    def __init__(self, gpus: int, missing: str = "", driver: int = 13000) -> None:
        super().__init__("cupy")
        fails = {name: self._failing(name) for name in missing.split()}
        runtime = SimpleNamespace(
            getDeviceCount=lambda: gpus, driverGetVersion=lambda: driver, runtimeGetVersion=lambda: 13000
        )
        nvrtc = SimpleNamespace(getVersion=fails.get("nvrtc", lambda: (13, 0)))
        self.entered: list[int] = []
        self.cuda = SimpleNamespace(is_available=lambda: gpus > 0, runtime=runtime, nvrtc=nvrtc, Device=self._enter)
        self.ones, self.dot = np.ones, fails.get("cublas", lambda a, b: SimpleNamespace(get=lambda: a @ b))
        self.arange = fails.get("headers", lambda n: _Got())

    @staticmethod
    def _failing(name: str) -> Any:
        def fail(*_: object) -> None:
            raise OSError(f"lib{name}.so is not there")

        return fail

    def _enter(self, index: int) -> _Entered:
        return _Entered(self.entered, index)


class _Entered:
    def __init__(self, seen: list[int], index: int) -> None:
        self._seen, self._index = seen, index

    def __enter__(self) -> None:
        self._seen.append(self._index)

    def __exit__(self, *error: object) -> None:
        self._seen.append(-self._index)


class _Got:
    def __mul__(self, other: int) -> _Got:
        return self

    def get(self) -> None:
        """What was computed."""


def pretend(monkeypatch: pytest.MonkeyPatch, gpus: int, missing: str = "", driver: int = 13000) -> FakeCuPy:
    """That CuPy, of which nothing is known afterwards."""
    fake = FakeCuPy(gpus, missing, driver)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(device, "_check_cuda", functools.cache(device._check_cuda.__wrapped__))
    monkeypatch.setattr(device, "_waiting", [])
    return fake


def test_devices_of_one_name_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, gpus=2)
    assert Device("cuda") == Device("cuda:0") == Device("cuda:00")
    assert len({Device("cpu"), Device("cpu"), Device("cuda"), Device("cuda:0"), Device("cuda:1")}) == 3
    assert Device("cpu") != Device("cuda:0") != Device("cuda:1")


def test_a_device_shows_its_whole_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, gpus=1)
    assert (str(Device("cuda")), repr(Device("cuda"))) == ("cuda:0", "Device('cuda:0')")
    assert str(Device("cpu")) == "cpu"


def test_a_device_cannot_be_renamed() -> None:
    with pytest.raises(AttributeError):
        Device("cpu").name = "cuda"  # type: ignore[misc]  # what the test is about


@pytest.mark.parametrize("name", ["", "CPU", "cpu:0", "gpu", "cuda:x", "cuda:-1", "cuda:1.0", "cuda0", "strict"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf'Device\({name!r}\): a device is "cpu", "cuda" or "cuda:" and a number'):
        Device(name)


@pytest.mark.messages
@pytest.mark.parametrize("name", [None, 0, np.float32])
def test_what_is_no_name_is_refused(name: object) -> None:
    with pytest.raises((TypeError, ValueError), match="Device"):
        Device(name)  # type: ignore[arg-type]  # what the test is about


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_without_cupy_cuda_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # makes the import fail
    message = r"Device\('cuda:\d'\): CuPy is not installed.*pip install 'tinygrad-rnn\[cuda13\]'"
    with pytest.raises(RuntimeError, match=message):
        Device(name)


@pytest.mark.parametrize(("gpus", "name"), [(0, "cuda:0"), (2, "cuda:2")])
def test_without_a_gpu_cuda_says_how_many_there_are(gpus: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, gpus)
    with pytest.raises(RuntimeError, match=rf"Device\('{name}'\): CuPy is installed but finds {gpus} GPUs.*nvidia-smi"):
        Device(name)


@pytest.mark.parametrize(
    ("driver", "cure"),
    [
        (0, "There is no NVIDIA driver"),
        (12080, r"driver is for CUDA 12, .* this CuPy for CUDA 13.*tinygrad-rnn\[cuda12\]"),
    ],
)
def test_a_driver_that_is_missing_or_too_old_is_told(driver: int, cure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 0, driver=driver)
    with pytest.raises(RuntimeError, match=rf"Device\('cuda:0'\): CuPy is installed but finds 0 GPUs\. .*{cure}"):
        Device("cuda")


@pytest.mark.parametrize(("missing", "part"), [("nvrtc", "NVRTC"), ("headers", "headers"), ("cublas", "cuBLAS")])
def test_a_part_of_cuda_that_is_missing_is_told(missing: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 1, missing)
    message = rf"Device\('cuda:0'\): CuPy finds the GPU, but .*{part}.* is missing.*lib{missing}\.so is not there.*"
    for _ in range(2):  # what has failed is tried again
        with pytest.raises(RuntimeError, match=message + r"python -m pip install 'tinygrad-rnn\[cuda13\]'"):
            Device("cuda")


def test_a_gpu_is_tried_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pretend(monkeypatch, 2)
    called: list[str] = []
    device.at_first_gpu(lambda: called.append("first"))
    for name in ("cuda", "cuda:1", "cuda:0", "cuda:1"):
        Device(name)
    assert fake.entered == [0, 0, 1, -1]
    device.at_first_gpu(lambda: called.append("later"))
    assert called == ["first", "later"]


def test_a_device_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pretend(monkeypatch, 2)
    there = Device("cuda:1")
    fake.entered.clear()
    with there as same, Device("cpu"):
        assert same is there
        assert fake.entered == [1]
    assert fake.entered == [1, -1]


def test_cupy_itself_is_asked_how_many_gpus_there_are(cupy: Any) -> None:
    gpus = cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0
    with pytest.raises(RuntimeError, match=f"CuPy is installed but finds {gpus} GPUs"):
        Device(f"cuda:{gpus}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zeros_start_on_64_bytes(dtype: str) -> None:
    kept = []
    for size in [*range(1, 70), 1000, 4097, 100_003]:
        vector = Device("cpu").zeros(size, dtype)
        assert vector.shape == (size,)
        assert vector.dtype == dtype
        assert vector.ctypes.data % 64 == 0
        assert not vector.any()
        assert vector.flags.writeable
        kept.append(vector)  # so that the next one lies elsewhere
        vector.fill(1)
    assert all(vector.all() for vector in kept)  # none overlaps another


def test_the_cpu_takes_and_gives_numpy_arrays() -> None:
    cpu = Device("cpu")
    array = cpu.asarray([1, 2], "float32")
    assert (type(array), array.dtype) == (np.ndarray, np.float32)
    assert cpu.asarray(array) is array
    assert cpu.to_host(array) is array
    assert cpu.xp is np
    cpu.synchronize()


def test_device_of_an_array_is_where_it_lies() -> None:
    assert device_of(np.zeros(2)) == Device("cpu")
    assert device_of(StrictDevice().asarray([1.0])) == StrictDevice()


def test_a_name_will_do_for_a_device() -> None:
    cpu = Device("cpu")
    assert as_device("cpu") == cpu
    assert as_device(cpu) is cpu


def test_freed_memory_is_kept_from_the_first_forward_for_training_on() -> None:
    found = run_alone(
        """
import numpy as np
import tinygrad_rnn as rnn
from tinygrad_rnn.core.device import keep_freed_memory
calls, model = [], rnn.RNNCell(2, 3, rng=np.random.default_rng(0))
xs = rnn.Device("cpu").zeros(4, "float32").reshape(2, 1, 2)
for happen in (lambda: None, lambda: model(xs), lambda: model.step(xs[0], None), lambda: model.forward(xs)):
    happen()
    calls.append(keep_freed_memory.cache_info().misses)
print(calls)
"""
    )
    assert found == "[0, 0, 0, 1]"
