"""Texts that are larger than memory: encoded from one file to another, and read from there."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..core.files import as_path, check_encoding, check_source, replacing

# About how many characters, in whole lines, are encoded at a time: memory is needed only for one block and its ids.
_BLOCK = 1 << 20


def encode_file(
    path: str | os.PathLike[str], tokenizer: Any, out: str | os.PathLike[str], *, encoding: str = "utf-8"
) -> np.memmap[Any, Any]:
    r"""Encode the text of a file to a file of ids. The memory needed does not grow with the text.

    The ids are those of `tokenizer.encode(read_text(path))`, in a `.npy` file, which `np.load(out, mmap_mode="r")` maps
    again later. A line is never divided, however long it is. `out` is written completely or not at all, as by `save`.

    Args:
        path: the text; `\r\n` and `\r` become `\n`.
        tokenizer: one without tokens that go across the end of a line, like those of this package.
        out: the file of ids to write; an existing one is replaced, and keeps its permissions.
        encoding: the encoding of the text.

    Returns:
        The ids (N,), mapped from `out`, read-only; a `TokenStream` trains from them without reading them all.

    Raises:
        TypeError: `path` or `out` is not a path, or `tokenizer` is not a tokenizer.
        FileNotFoundError, IsADirectoryError, PermissionError: `path` is not a file that can be read, or there can be
            no file at `out`.
        ValueError: the file is empty, its bytes are not of `encoding`, or the tokenizer does not know a character (the
            message says after which line); there is no such encoding; `out` is the text itself, by whatever name, or
            a device, a pipe or a socket.
        OSError: `out` could not be written.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = pathlib.Path(folder, "text")
        ...     _ = text.write_text("banana\n")
        ...     ids = encode_file(text, CharTokenizer("\nabn"), f"{folder}/ids.npy")
        ...     np.array(ids)
        array([2, 1, 3, 1, 3, 1, 0], dtype=uint8)
    """
    source, target = as_path(path, "encode_file"), as_path(out, "encode_file", "out")
    if isinstance(tokenizer, (type, str)) or not all(hasattr(tokenizer, name) for name in ("encode", "__len__")):
        raise TypeError(f"encode_file: tokenizer is {tokenizer!r:.80}, without the encode() and len() of a tokenizer")
    check_encoding(encoding, "encode_file")
    call = f"encode_file: {source!r}"
    check_source(source, "encode_file", repr(source))
    if os.path.exists(target) and os.path.samefile(source, target):
        raise ValueError(f"{call}: out, {target!r}, is this text itself, which the ids would replace; give another out")
    dtype, count, line = np.min_scalar_type(len(tokenizer) - 1), 0, 0
    with replacing(target, f"encode_file: out, {target!r}") as file:
        try:
            with open(source, encoding=encoding) as text:
                _write_header(file, dtype, 0)
                while lines := text.readlines(_BLOCK):
                    ids = tokenizer.encode("".join(lines))
                    file.write(ids.astype(dtype, copy=False).data)
                    count, line = count + len(ids), line + len(lines)
                if not count:
                    raise ValueError("it is empty; give a file that holds text")
        except ValueError as error:  # also UnicodeDecodeError
            raise ValueError(f"{call}, somewhere after line {line}: {error}") from error
        file.seek(0)
        _write_header(file, dtype, count)  # of the same size: NumPy leaves room for the number
    mapped: np.memmap[Any, Any] = np.load(target, mmap_mode="r")
    return mapped


def _write_header(file: Any, dtype: np.dtype[Any], count: int) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, header)
