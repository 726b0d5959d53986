"""Texts that are larger than memory: encoded from one file to another, and read from there."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

# About how many characters, in whole lines, are encoded at a time: memory is needed only for one block and its ids.
_BLOCK = 1 << 20


def encode_file(
    path: str | os.PathLike[str], tokenizer: Any, out: str | os.PathLike[str], *, encoding: str = "utf-8"
) -> np.memmap[Any, Any]:
    r"""Encode the text of a file to a file of ids, in memory that does not grow with the text.

    The ids are those of `tokenizer.encode(read_text(path))`, in a `.npy` file, which `np.load(out, mmap_mode="r")`
    maps again later. A line is never divided, however long it is. `out` is written whole or not at all.

    Args:
        path: the text; `\r\n` and `\r` become `\n`.
        tokenizer: one without tokens that go across the end of a line, like those of this package.
        out: the file of ids to write; an existing one is replaced.
        encoding: the encoding of the text.

    Returns:
        The ids (N,), mapped from `out`, read-only: a `TokenStream` trains from them without reading them all.

    Raises:
        FileNotFoundError, IsADirectoryError: `path` is not a file.
        ValueError: the file is empty, its bytes are not of `encoding`, or the tokenizer does not know a character;
            the message says after which line.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = pathlib.Path(folder, "text")
        ...     _ = text.write_text("banana\n")
        ...     ids = encode_file(text, CharTokenizer("\nabn"), f"{folder}/ids.npy")
        ...     np.array(ids)
        array([2, 1, 3, 1, 3, 1, 0], dtype=uint8)
    """
    dtype = np.min_scalar_type(len(tokenizer) - 1)
    temporary, count, line = f"{os.fspath(out)}.{os.urandom(8).hex()}.tmp", 0, 0
    try:
        with open(path, encoding=encoding) as text, open(temporary, "xb") as file:
            _write_header(file, dtype, 0)
            while lines := text.readlines(_BLOCK):
                ids = tokenizer.encode("".join(lines))
                ids.astype(dtype, copy=False).tofile(file)
                count, line = count + len(ids), line + len(lines)
            if not count:
                raise ValueError("it is empty; give a file that holds text")
            file.seek(0)
            _write_header(file, dtype, count)  # of the same size: NumPy leaves room for the number
        os.replace(temporary, out)
    except ValueError as error:  # also UnicodeDecodeError
        raise ValueError(f"encode_file: {os.fspath(path)!r}, somewhere after line {line}: {error}") from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    mapped: np.memmap[Any, Any] = np.load(out, mmap_mode="r")
    return mapped


def _write_header(file: Any, dtype: np.dtype[Any], count: int) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, header)
