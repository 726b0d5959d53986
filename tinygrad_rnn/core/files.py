"""Files, written whole or not at all, in the place of regular files alone; and paths, checked before anything is done.

A file is written beside its target under a name of its own and then moved there. While it is written it is locked, and
a lock ends with its process. So what a killed process has left is known by its name and by having no lock; whoever
writes to that folder next removes it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from typing import BinaryIO

_PREFIX, _SUFFIX = ".tinygrad_rnn-", ".tmp"
_DAY = 24 * 3600  # seconds: where nothing can be locked, a temporary of that age is one that was left


def as_path(path: str | os.PathLike[str], call: str, name: str = "path") -> str:
    """`path` as a str.

    Raises:
        TypeError: it is no path; a number would be taken for an open file, and closed.
        ValueError: it is empty, or holds characters that the name of no file can.
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"{call}: {name} is a {type(path).__name__}, where the path of a file was expected")
    text = os.fsdecode(path)
    if not text:
        raise ValueError(f"{call}: {name} is empty, where the path of a file was expected")
    if "\0" in text:
        raise ValueError(f"{call}: {name} holds a null character, which the name of no file can")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"{call}: {name} is {text!r}, which the system cannot take for a name") from error
    return text


def check_encoding(encoding: str, call: str) -> None:
    """`encoding` must be the name of an encoding of texts.

    Raises:
        TypeError: it is no str.
        ValueError: there is no such encoding.
    """
    if not isinstance(encoding, str):
        raise TypeError(f"{call}: encoding is a {type(encoding).__name__}, where a name such as 'utf-8' was expected")
    try:
        "".encode(encoding)
    except (LookupError, ValueError) as error:  # also where it is one of bytes, such as 'base64'
        raise ValueError(f"{call}: {encoding!r} is not the name of an encoding, such as 'utf-8'") from error


def check_source(path: str, call: str, subject: str = "this") -> os.stat_result:
    """`path` must be a file that can be read, or a pipe; gives what the system knows of it.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: it is not; the message begins with `call`.
        ValueError: it is a socket.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "such file" if subject == "this" else f"file {subject}"
        raise FileNotFoundError(f"{call}: there is no {what} (looked for {os.path.abspath(path)!r})") from error
    except OSError as error:  # a circle of links, a directory that must not be searched
        raise type(error)(f"{call}: {subject} cannot be reached ({error.strerror}); check the path") from error
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(f"{call}: {subject} is a directory; give the path of a file in it")
    if stat.S_ISSOCK(found.st_mode):
        raise ValueError(f"{call}: {subject} is a socket, not a file; give the path of a file")
    if not _may(path, os.R_OK):
        raise PermissionError(f"{call}: {subject} must not be read; change its permissions, or ask its owner")
    return found


def check_target(path: str, call: str) -> str:
    """`path` must be one where a file can be, or a regular file that may be replaced; gives it without links.

    Raises:
        FileNotFoundError: its directory does not exist.
        IsADirectoryError: it is a directory.
        PermissionError: the file there must not be written.
        ValueError: it is a device, a pipe or a socket; the message begins with `call`.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as error:  # a circle of links, a file where a directory was expected, one that must not be searched
        raise type(error)(f"{call}: this cannot be reached ({error.strerror}); give another path") from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{call}: this is a directory; give the path of a file in it")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{call}: this is a {_kind(mode)}, which must not be replaced; give the path of a file")
    target = os.path.realpath(path)  # through a link, as open() writes
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"{call}: there is no directory {os.path.dirname(target)!r}; make it first")
    if os.path.exists(target) and not _may(target, os.W_OK):
        raise PermissionError(f"{call}: the file must not be written; change its permissions, or give another path")
    return target


@contextlib.contextmanager
def replacing(path: str, call: str) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when the block ends: at any moment that is the old or the new.

    It is on the disk before it takes the name. The permissions of a file that was there stay, and its owner where the
    system lets it; a link stays a link. If the block raises, what was there stays, and nothing else is left.

    Raises:
        OSError, ValueError: as `check_target` does, or it could not be written.
    """
    target = check_target(path, call)
    folder = os.path.dirname(target)
    _remove_left_over(folder)
    try:
        temporary, descriptor = _new_file(folder, target)
    except OSError as error:
        raise type(error)(f"{call}: no file can be made in {folder!r} ({error.strerror}); give another path") from error
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # otherwise a power cut could leave an empty file
            if sys.platform != "win32":
                os.replace(temporary, target)  # before the file is closed, which ends the lock
        if sys.platform == "win32":
            os.replace(temporary, target)  # which moves no open file
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:  # of the system, as where the disk is full
            raise type(error)(f"{call}: it could not be written ({error.strerror}); nothing was changed") from error
        raise
    _sync_folder(folder)


def _may(path: str, how: int) -> bool:
    """Whether the system lets this process, as the user whose rights it has now, do that."""
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)


def _kind(mode: int) -> str:
    """What is no regular file, in words."""
    kinds = {stat.S_IFCHR: "device", stat.S_IFBLK: "device", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "special file")


def _new_file(folder: str, target: str) -> tuple[str, int]:
    """The path and the descriptor of an empty, locked file in `folder`, with permissions and owner of `target`."""
    old = os.stat(target) if os.path.exists(target) else None
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = os.path.join(folder, f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}")
        descriptor = os.open(temporary, flags, 0o666 if old is None else 0o600)
        _lock(descriptor)
        if os.path.exists(temporary):  # else it was taken for one that was left, before it was locked
            break
        os.close(descriptor)
    if old is not None and sys.platform != "win32":
        for owner in (-1, old.st_uid):  # the group alone, as -1 changes nothing, may be allowed where the rest is not
            with contextlib.suppress(OSError):
                os.fchown(descriptor, owner, old.st_gid)
        with contextlib.suppress(OSError):  # a file system without permissions
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    return temporary, descriptor


def _lock(descriptor: int, *, wait: bool = True) -> bool | None:
    """Whether the open file is now locked, until it is closed; None where files cannot be locked."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def _remove_left_over(folder: str) -> None:
    """Remove the temporaries of processes that were killed."""
    try:
        names = os.listdir(folder)
    except OSError:  # a directory where one may write but not look
        return
    for name in names:
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
            with contextlib.suppress(OSError):  # another process was faster, or it is not ours
                _remove_if_left(os.path.join(folder, name))


def _remove_if_left(temporary: str) -> None:
    old = time.time() - os.stat(temporary, follow_symlinks=False).st_mtime > _DAY
    if sys.platform == "win32":
        if old:
            os.unlink(temporary)
        return
    descriptor = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        locked = _lock(descriptor, wait=False)
        if locked or (locked is None and old):
            os.unlink(temporary)  # while it is locked: who has just made it sees that it is gone, and makes another
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    """The name of a new file is on the disk too, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
