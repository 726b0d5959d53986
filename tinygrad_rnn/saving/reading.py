"""The path of a checkpoint, and what is in it, looked at before anything is made of it."""

from __future__ import annotations

import os
import stat
from typing import Any

from ..core.arrays import Array
from ..core.files import as_path, check_source
from .safe_file import read, shortened

_KINDS: dict[str, Any] = {
    "classes": list,
    "model": dict,
    "tied": dict,
    "tokenizer": dict | None,
    "metadata": dict,
    "generators": dict,
}
"""The parts of each file."""


def named_call(path: str | os.PathLike[str], function: str) -> tuple[str, str]:
    """The path as a str, and the call as messages quote it.

    Raises:
        TypeError, ValueError: it is no path.
    """
    where = as_path(path, function)
    return where, f"{function}({where!r})"


def read_file(where: str, call: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """The content of a file that `save` wrote, and its arrays by name; those of parameters have no slash in theirs.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: it is not a file that can be read.
        ValueError: it is a device, a pipe or a socket, or not what `save` wrote. The message begins with `call`.
    """
    found = check_source(where, call)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{call}: this is a device, a pipe or a socket; give the path of a file")
    if not found.st_size:
        raise ValueError(f"{call}: the file is empty, so its writing was cut short; take another copy")
    return read(where, call)


def check_kinds(content: dict[str, Any]) -> None:
    """The content of a file must have the parts that `save` writes.

    Raises:
        ValueError: it has not.
    """
    for key, kind in _KINDS.items():
        if not isinstance(content.get(key, ...), kind):
            came = shortened(repr(content[key]), 80) if key in content else "not there"
            raise ValueError(f"The part {key!r} of the file is {came}, which is not what `save` writes")
    for name in (*content["classes"], *content["tied"].values()):
        if not isinstance(name, str):
            raise ValueError(f"{shortened(repr(name), 80)} stands where a name was expected")
