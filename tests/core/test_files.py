"""The one way in which files are written, as `save`, `encode_file` and a download use it; and how paths are checked."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import CharTokenizer, Linear, encode_file, load, save
from tinygrad_rnn.core.files import replacing
from tinygrad_rnn.datasets import read_text


def save_to(path: Any) -> None:
    save(path, Linear(2, 3, rng=np.random.default_rng(0)))


def encode_to(path: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text")
        text.write_text("abba")
        encode_file(text, CharTokenizer("ab"), path)


def replace(path: Any) -> None:
    with replacing(path, "replace") as file:
        file.write(b"new")


WRITERS: dict[str, Callable[[Any], None]] = {"save": save_to, "encode_file": encode_to, "replacing": replace}
writers = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@pytest.fixture
def somebody() -> Iterator[None]:
    """The test runs as a user to whom the system denies what it denies to most."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@writers
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755, 0o666])
def test_a_file_keeps_its_permissions(tmp_path: Path, write: Any, mode: int) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() != b"old"


@writers
def test_a_new_file_has_the_permissions_of_any(tmp_path: Path, write: Any) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "file")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_what_is_private_is_never_open_to_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o600)
    with replacing(str(path), "replace") as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
@writers
def test_a_file_keeps_its_owner(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "file"
    path.touch()
    os.chown(path, 1234, 2345)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


@writers
def test_a_link_stays_a_link(tmp_path: Path, write: Any) -> None:
    (tmp_path / "there").mkdir()
    target, link, dangling = tmp_path / "there" / "file", tmp_path / "link", tmp_path / "dangling"
    target.write_text("old")
    link.symlink_to("there/file")
    dangling.symlink_to("there/new")
    write(link)
    write(dangling)
    assert link.is_symlink()
    assert dangling.is_symlink()
    assert target.read_bytes() != b"old"
    assert {entry.name for entry in target.parent.iterdir()} == {"file", "new"}


@writers
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "link to a device"])
def test_only_regular_files_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, kind: str
) -> None:
    path = tmp_path / "it"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("it")  # the path of a socket must be short
    elif os.geteuid():  # who could do it no harm
        path.symlink_to("/dev/null")
    else:  # root could: so never the device that all programs use, but another node of it
        device = path if kind == "device" else tmp_path / "device"
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        if kind != "device":
            path.symlink_to(device)
    there = sorted(tmp_path.iterdir())
    before = path.lstat()
    with pytest.raises(ValueError, match=rf"this is a {kind.split()[-1]}, which must not be replaced; give the path"):
        write(path)
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)
    assert sorted(tmp_path.iterdir()) == there


@writers
def test_what_can_be_no_file(tmp_path: Path, write: Any) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    (tmp_path / "file").touch()
    with pytest.raises(IsADirectoryError, match="this is a directory; give the path of a file in it"):
        write(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no directory '.*none'; make it first"):
        write(tmp_path / "none" / "file")
    with pytest.raises(OSError, match=r"this cannot be reached \(Too many levels of symbolic links\); give another"):
        write(circle)
    with pytest.raises(NotADirectoryError, match=r"this cannot be reached \(Not a directory\); give another path"):
        write(tmp_path / "file" / "file")


@pytest.mark.parametrize("path", [1, 1.5, None, True, ["a"], np.int64(1)])
def test_a_number_is_no_path(capfd: pytest.CaptureFixture[str], tmp_path: Path, path: Any) -> None:
    text = tmp_path / "text"
    text.write_text("ab")
    tokenizer, model = CharTokenizer("ab"), Linear(1, 1, rng=np.random.default_rng(0))
    calls: dict[str, Callable[[], object]] = {
        "encode_file: path": lambda: encode_file(path, tokenizer, tmp_path / "out"),
        "encode_file: out": lambda: encode_file(text, tokenizer, path),
        "save: path": lambda: save(path, model),
        "load: path": lambda: load(path),
        "read_text: path": lambda: read_text(path),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=f"^{name} is a {type(path).__name__}, where the path of a file"):
            call()
    os.write(1, b"still open\n")
    assert capfd.readouterr().out == "still open\n"


def test_a_path_may_be_bytes_and_holds_no_null(tmp_path: Path) -> None:
    save_to(os.fsencode(tmp_path / "file"))
    assert (tmp_path / "file").exists()
    with pytest.raises(ValueError, match=r"^save: path holds a null character"):
        save_to("a\0b")


@pytest.mark.parametrize(
    ("path", "what"), [("", "is empty, where the path"), ("\ud800", "is '.ud800', which the system")]
)
def test_what_is_the_name_of_no_file(path: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    calls: dict[str, Callable[[str], object]] = {"save": save_to, "load": load, "read_text": read_text}
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"^{name}: path {what}"):
            call(path)
    with pytest.raises(ValueError, match=f"^encode_file: out {what}"):
        encode_to(path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(
            OSError, match=r"^save\('.*file'\): it could not be written \(File too large\); nothing was"
        ):
            save_to(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_no_text_comes_from_a_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(
            ValueError, match=r"^read_text: '.*socket' is a socket, not a file; give the path of a file"
        ):
            read_text(tmp_path / "socket")


def test_what_may_not_be_read(somebody: None) -> None:
    closed = Path(tempfile.mkdtemp(dir="/tmp"))
    path = closed / "file"
    path.touch()
    path.chmod(0)
    readers: dict[str, Callable[[Path], object]] = {
        "load": load,
        "read_text": read_text,
        "encode_file": lambda path: encode_file(path, CharTokenizer("ab"), path.parent / "out"),
    }
    for name, read in readers.items():
        with pytest.raises(PermissionError, match=f"^{name}.*must not be read; change its permissions, or ask its"):
            read(path)
    closed.chmod(0)
    for name, read in readers.items():
        with pytest.raises(PermissionError, match=rf"^{name}.* cannot be reached \(Permission denied\); check the"):
            read(path)
    closed.chmod(0o700)
    path.unlink()
    closed.rmdir()


@writers
def test_what_may_not_be_written(write: Any, somebody: None) -> None:
    closed = Path(tempfile.mkdtemp(dir="/tmp"))
    path = closed / "file"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"the file must not be written; change its permissions, or give another"):
        write(path)
    closed.chmod(0o555)
    with pytest.raises(PermissionError, match=r"no file can be made in '.*' \(Permission denied\); give another path"):
        write(closed / "new")
    assert path.read_text() == "old"
    closed.chmod(0o700)
    path.unlink()
    closed.rmdir()


LEFT = ".tinygrad_rnn-0123456789abcdef.tmp"


@writers
def test_what_a_killed_process_left_is_removed(tmp_path: Path, write: Any) -> None:
    child = f"""
import os, signal
from tinygrad_rnn.core.files import replacing
with replacing({str(tmp_path / "file")!r}, "replace") as file:
    file.write(bytes(10**6))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", child]).returncode < 0
    assert len(list(tmp_path.iterdir())) == 1
    write(tmp_path / "other")
    assert [entry.name for entry in tmp_path.iterdir()] == ["other"]


@writers
def test_what_is_being_written_stays(tmp_path: Path, write: Any) -> None:
    with replacing(str(tmp_path / "slow"), "replace") as file:
        file.write(b"slow")
        write(tmp_path / "fast")
    assert {entry.name for entry in tmp_path.iterdir()} == {"slow", "fast"}
    assert (tmp_path / "slow").read_bytes() == b"slow"


@pytest.mark.parametrize(("days", "stays"), [(0.9, True), (1.1, False)])
def test_where_nothing_can_be_locked_the_age_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float, stays: bool
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    left, then = tmp_path / LEFT, time.time() - days * 24 * 3600
    left.touch()
    os.utime(left, (then, then))
    replace(tmp_path / "file")
    assert left.exists() == stays
    assert (tmp_path / "file").read_bytes() == b"new"


def test_files_of_others_stay(tmp_path: Path) -> None:
    names = ["file.tmp", ".tinygrad_rnn-notes", ".hidden"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / LEFT).mkdir()  # not one of ours
    replace(tmp_path / "file")
    assert {entry.name for entry in tmp_path.iterdir()} == {*names, LEFT, "file"}


def test_one_that_is_removed_before_it_is_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, removed = fcntl.flock, list[Path]()

    def late(descriptor: int, how: int) -> None:
        if not removed:
            (left,) = tmp_path.iterdir()
            left.unlink()
            removed.append(left)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    replace(tmp_path / "file")
    assert len(removed) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("link", [os.symlink, os.link, lambda source, target: None])
def test_a_text_is_never_replaced_by_its_ids(tmp_path: Path, link: Any) -> None:
    text, out = tmp_path / "text", tmp_path / "out"
    text.write_text("abba")
    link(text, out)
    with pytest.raises(ValueError, match=rf"^encode_file: {re.escape(repr(str(text)))}: out, .*, is this text itself"):
        encode_file(text, CharTokenizer("ab"), out if out.exists() else tmp_path / "." / "text")
    assert text.read_text() == "abba"


def test_ids_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    fsync = os.fsync

    def synced(descriptor: int) -> None:
        calls.append(stat.S_ISDIR(os.fstat(descriptor).st_mode) or os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    encode_to(tmp_path / "ids")
    assert calls == [(tmp_path / "ids").stat().st_size, True]


@pytest.mark.parametrize("encoding", ["utf-9", "base64", "a\0b"])
def test_an_encoding_that_does_not_exist(tmp_path: Path, encoding: str) -> None:
    text = tmp_path / "text"
    text.write_text("ab")
    message = re.escape(f"{encoding!r} is not the name of an encoding, such as 'utf-8'")
    with pytest.raises(ValueError, match=f"^read_text: {message}"):
        read_text(text, encoding=encoding)
    with pytest.raises(ValueError, match=f"^encode_file: {message}"):
        encode_file(text, CharTokenizer("ab"), tmp_path / "out", encoding=encoding)


@pytest.mark.parametrize("tokenizer", [None, CharTokenizer, "ab", 3])
def test_ids_need_a_tokenizer(tmp_path: Path, tokenizer: Any) -> None:
    text = tmp_path / "text"
    text.write_text("ab")
    with pytest.raises(TypeError, match=r"^encode_file: tokenizer is .*, without the encode\(\) and len\(\) of a"):
        encode_file(text, tokenizer, tmp_path / "out")
