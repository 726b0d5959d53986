"""Texts to train on: one that every Python has, and one's own files."""

from __future__ import annotations

import os
import re
from pathlib import Path


def pydoc_topics() -> str:
    """The help texts of Python's standard library (`help("topics")`): some 0.4 million characters of English prose.

    The topics are sorted by name and cut into paragraphs at blank lines, and each paragraph is kept only where it
    first occurs. A fifth of the raw text is repeated paragraphs (Python 3.11), so a part of it that is held out would
    hold paragraphs that were trained. The text differs between Python versions: figures measured on it hold for one.
    """
    from pydoc_data.topics import topics  # here, because it takes milliseconds that few need

    text = "\n\n".join(topics[name] for name in sorted(topics))
    paragraphs = re.split(r"\n(?:[ \t]*\n)+", text.strip("\n"))
    return "\n\n".join(dict.fromkeys(paragraphs)) + "\n"


def read_text(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> str:
    r"""The text of a file, the same on every system: `\r\n` and `\r` become `\n`.

    Nothing else is changed: the mark that some editors put before UTF-8 stays (`encoding="utf-8-sig"` drops it).

    Raises:
        FileNotFoundError, IsADirectoryError: `path` is not a file.
        ValueError: the file is empty, or its bytes are not of `encoding`.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"read_text: {str(path)!r} is a directory; give the path of a file in it")
    if not path.exists():
        raise FileNotFoundError(f"read_text: there is no file {str(path)!r} (looked for {str(path.absolute())!r})")
    data = path.read_bytes()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        offset = error.start + len(data) - len(error.object)  # utf-8-sig counts from behind its mark
        raise ValueError(
            f"read_text: {str(path)!r} is not {encoding}: bytes {error.object[error.start : error.end]!r} at offset "
            f"{offset} ({error.reason}); name the encoding of the file, such as encoding='latin-1', or repair the bytes"
        ) from error
    if not text:
        raise ValueError(f"read_text: {str(path)!r} is empty; give a file that holds text")
    return text.replace("\r\n", "\n").replace("\r", "\n")
