"""Damaged and unwritable files of compiled code: it is compiled again, and that is said once."""

# No `from __future__ import annotations`: `compiled` reads them.
import errno
import pickle
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numba import config

from tinygrad_rnn.core.arrays import Array
from tinygrad_rnn.kernels.compiled import kept
from tinygrad_rnn.kernels.compiled.door import Door, Out, compiled


def _double(out: Out[Array, "N"]) -> None:
    out[0] *= 2


def double(dtype: str = "float64") -> Door:
    """A door that no other call has compiled, once it was gone through."""
    door = compiled()(_double)
    out = np.ones(1, dtype)
    door(out)
    assert out[0] == 2
    return door


def hits(door: Door) -> int:
    """How often what was kept was read."""
    return sum(sum(version.stats.cache_hits.values()) for version in door._versions.values())


@pytest.fixture(scope="module")
def whole() -> Iterator[Path]:
    """A folder in which both were kept."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "CACHE_DIR", folder)
        double(), double("float32")
        yield Path(folder)


@pytest.fixture
def folder(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `whole`, which is used; nothing was told yet."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kept, "_told", set())
    return tmp_path


def test_it_is_kept_whole(folder: Path) -> None:
    assert [len(list(folder.rglob(pattern))) for pattern in ("*.nbi", "*.nbc")] == [1, 2]
    assert hits(double()) == hits(double("float32")) == 1


def other_name(index: bytes) -> bytes:
    return index.replace(b".1.nbc", b".3.nbc").replace(b".2.nbc", b".1.nbc").replace(b".3.nbc", b".2.nbc")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda kept: b"",
    "truncated": lambda kept: kept[: len(kept) // 2],
    "without its last byte": lambda kept: kept[:-1],
    "zeros": lambda kept: bytes(len(kept)),
    "text": lambda kept: b"not a pickle\n",
    "a pickle of something else": lambda kept: pickle.dumps(5),
    "a pickle of a missing module": lambda kept: b"cno_such_module\nx\n.",
}


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_compiled_again(folder: Path, damage: str, kind: str) -> None:
    """And replaced, so that the next process reads it again."""
    for path in folder.rglob(f"*.{kind}"):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    if kind == "nbi" and damage in ("a pickle of something else",):  # of another version of Numba, as it takes it
        assert hits(double()) == 0
    else:
        with pytest.warns(RuntimeWarning, match=r"^set_compiled: .* cannot be read from .*test_kept\._double"):
            assert hits(double()) == 0
    assert hits(double()) == 1


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_machine_code_that_is_damaged_is_not_run(folder: Path, share: float) -> None:
    for path in folder.rglob("*.nbc"):
        code = bytearray(path.read_bytes())
        code[int(share * len(code))] ^= 1
        path.write_bytes(code)
    with pytest.warns(RuntimeWarning, match="cannot be read"):
        assert hits(double()) == 0


def test_what_was_kept_for_another_dtype_is_not_run(folder: Path) -> None:
    (index,) = folder.rglob("*.nbi")
    index.write_bytes(other_name(index.read_bytes()))
    with pytest.warns(RuntimeWarning, match="ValueError: it holds another function"):
        assert hits(double()) == 0


def test_it_is_said_once(folder: Path) -> None:
    """Not for each function, of which there are tens; nor raised again where warnings are errors."""
    for path in folder.rglob("*.nb*"):
        path.write_bytes(b"")
    with pytest.raises(RuntimeWarning, match="Of further such files nothing is said"):
        double()  # here warnings are errors
    for path in folder.rglob("*.nb*"):
        path.write_bytes(b"")
    double()


def no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def is_read_only(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("refuse", [no_room, is_read_only])
def test_what_cannot_be_replaced_is_compiled_in_each_process(
    folder: Path, refuse: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numba.core.caching.os.replace", refuse)
    for path in folder.rglob("*.nbi"):
        path.write_bytes(b"")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        double(), double()
    read, written = (str(warning.message) for warning in told)
    assert "cannot be read" in read
    assert written.startswith(f"set_compiled: what was compiled cannot be kept in {folder}")
    assert "OSError: [Errno" in written
    assert "NUMBA_CACHE_DIR" in written
    assert not list(folder.rglob("*.tmp.*"))


def test_an_index_that_cannot_be_opened(folder: Path) -> None:
    (index,) = folder.rglob("*.nbi")
    index.unlink()
    index.mkdir()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        double(), double()
    assert len(told) == 2


def test_no_folder_can_be_written_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.core.caching.tempfile.TemporaryFile", is_read_only)
    with pytest.warns(RuntimeWarning, match=r"^set_compiled: what was compiled cannot be kept: .* NUMBA_CACHE_DIR"):
        double()
    double()
