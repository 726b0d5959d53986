"""Texts to train on: one that comes with Python, one to download, and your own files."""

from __future__ import annotations

import os
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from ..core.files import as_path, check_encoding, check_source, replacing
from ..data.vocabulary import require_str

if TYPE_CHECKING:
    from pathlib import Path

# hashlib, http, pathlib and urllib are imported where they are used: a program that reads no text starts 25 ms faster.


def pydoc_topics() -> str:
    """The help texts of Python's standard library (`help("topics")`): some 0.4 million characters of English prose.

    The topics are sorted by name and cut into paragraphs at blank lines, and each paragraph is kept only where it
    first occurs. A fifth of the raw text is repeated paragraphs (Python 3.11), so a held-out part of the raw text would
    contain paragraphs of the training part. The text differs between Python versions, and so do results on it.
    """
    from pydoc_data.topics import topics  # imported here, because it takes milliseconds that few programs need

    text = "\n\n".join(topics[name] for name in sorted(topics))
    return "\n\n".join(dict.fromkeys(paragraphs(text))) + "\n"


def read_text(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> str:
    r"""The text of a file, the same on every system: `\r\n` and `\r` become `\n`.

    Nothing else is changed: the byte order mark of some UTF-8 files stays (`encoding="utf-8-sig"` drops it).

    Raises:
        TypeError: `path` is not a path.
        FileNotFoundError, IsADirectoryError, PermissionError: `path` is not a file that can be read.
        ValueError: the file is empty, its bytes are not of `encoding`, or there is no such encoding.
    """
    path = as_path(path, "read_text")
    check_encoding(encoding, "read_text")
    check_source(path, "read_text", repr(path))
    with open(path, "rb") as file:
        data = file.read()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        offset = error.start + len(data) - len(error.object)  # utf-8-sig counts from the end of its mark
        raise ValueError(
            f"read_text: {path!r} is not {encoding}: bytes {error.object[error.start : error.end]!r} at offset "
            f"{offset} ({error.reason}); name the encoding of the file, such as encoding='latin-1', or repair the bytes"
        ) from error
    if not text:
        raise ValueError(f"read_text: {path!r} is empty; give a file that holds text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def paragraphs(text: str) -> list[str]:
    r"""The paragraphs of a text, separated by blank lines: one document each.

    A blank line holds nothing but whitespace. The other lines stay as they are, and a paragraph has no `\n` at its end.
    A line ends only at `\n`; `read_text` turns every line end into it.

    Raises:
        TypeError: `text` is not a str.

    Example:
        >>> from tinygrad_rnn.datasets import paragraphs
        >>> paragraphs("to be,\n or not\n\n \nto be\n")
        ['to be,\n or not', 'to be']
    """
    require_str(text, "paragraphs: text")
    return ["\n".join(lines) for filled, lines in groupby(text.split("\n"), lambda line: bool(line.strip())) if filled]


class _Source(NamedTuple):
    """A text to download."""

    url: str
    file: str
    size: int
    sha256: str


_TINY_SHAKESPEARE = _Source(
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "tinyshakespeare.txt",
    1_115_394,
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)


def tiny_shakespeare(*, cache: str | os.PathLike[str] | None = None) -> str:
    """Forty thousand lines of Shakespeare's plays: 1,115,394 characters, 65 distinct ones, all ASCII.

    With the usual split, training is on the first 1,003,854 characters and validation on the last 111,540.

    The file is downloaded once, into a cache. Every call checks the SHA-256 of the file there, and needs no network;
    you may also put the file there by hand.

    Args:
        cache: the folder of the file `tinyshakespeare.txt`; it is made if needed. None is the folder `tinygrad_rnn` in
            the folder of the environment variable `XDG_CACHE_HOME`, or else in `~/.cache`.

    Raises:
        TypeError: `cache` is not a path.
        ConnectionError: the download failed; the message says where to put the file by hand.
        ValueError: the file in the cache, or the downloaded one, is a different file. A download is then not kept.
        OSError: the file could not be read or written.
    """
    return _fetch("tiny_shakespeare", _TINY_SHAKESPEARE, cache).decode()


def _fetch(call: str, source: _Source, cache: str | os.PathLike[str] | None) -> bytes:
    """The file from the cache; it is downloaded if it is not there."""
    import hashlib
    from pathlib import Path

    path = (_default_cache() if cache is None else Path(as_path(cache, call, "cache"))) / source.file
    cached = path.exists()
    if cached:
        check_source(str(path), call, repr(str(path)))
    data = path.read_bytes() if cached else _download(call, source, path)
    if hashlib.sha256(data).hexdigest() != source.sha256:
        where, cure = (
            (f"{str(path)!r}", "remove it, and it is downloaded again")
            if cached
            else (f"what {source.url} gave", f"try again, or put the file at {str(path)!r} by hand")
        )
        raise ValueError(
            f"{call}: {where} is not the file expected, of {source.size} bytes and the SHA-256 {source.sha256}; {cure}"
        )
    if not cached:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(str(path), call) as file:
            file.write(data)
    return data


def _default_cache() -> Path:
    # The specification of the variable says that a relative path must be ignored.
    from pathlib import Path

    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "tinygrad_rnn"


def _download(call: str, source: _Source, path: Path) -> bytes:
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(source.url, timeout=30) as response:  # seconds without an answer
            data: bytes = response.read(source.size + 1)  # one more shows that it is another file
            return data
    except (OSError, HTTPException) as error:
        raise ConnectionError(
            f"{call}: {source.url} could not be downloaded ({error}); try again, "
            f"or put the file at {str(path)!r} by hand"
        ) from error
