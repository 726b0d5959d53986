"""One safetensors file: arrays by name, and JSON with a checksum in its header; written whole or not at all."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from ..core.arrays import Array
from ..core.files import replacing

# safetensors, hashlib and json are imported where they are used: a program that saves nothing starts 7 to 10 ms faster.

# Everything but the arrays is JSON under one key of the header. Several keys would come in random order, and the same
# model would not always give the same bytes.
_KEY = "tinygrad_rnn"
_VERSION = 1
_LONGEST_HEADER = 100_000_000  # bytes
_MOST_TENSORS = 50_000
_MOST_MEMORY = 56_000_000  # bytes
_CONTENT = re.compile(rb'"' + _KEY.encode() + rb'"\s*:\s*"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_CONTINUE = bytes(range(0x80, 0xC0))  # of UTF-8: the bytes of a character after the first
_PIECE = 1_000_000  # characters
_NUMBERS = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F32", "F64"}


def write(path: str, call: str, content: dict[str, Any], tensors: dict[str, Array]) -> None:
    """Write `content` and `tensors`, which must be contiguous, in the place of `path`, whole or not at all.

    Raises:
        ValueError: the content would not be read as it is; the message begins with `call`.
        OSError: it could not be written; what was at `path` before is still there.
    """
    import safetensors.numpy

    text = _to_text({"version": _VERSION, "sha256": "", **content})
    try:
        same = _to_text(_from_text(text)) == text
    except ValueError:  # two keys that differ, but have the same text
        same = False
    if not same:
        raise ValueError(f"{call}: JSON would not be read as it is written; use plain dicts, lists, numbers and str")
    text = text.replace('"sha256": ""', f'"sha256": "{checksum(text, tensors)}"', 1)
    data = safetensors.numpy.save(tensors, {_KEY: text})
    length = int.from_bytes(data[:8], "little")
    check_header(call, data[8 : 8 + length], len(data))
    check_memory(call, text, len(tensors), length, len(data))
    if length > _LONGEST_HEADER:
        raise ValueError(
            f"{call}: the metadata and the tokenizer take {len(text)} characters, but no reader of safetensors takes "
            f"more than {_LONGEST_HEADER} bytes of them. Keep what is large in a file of its own"
        )
    with replacing(path, call) as file:
        file.write(data)


def read(path: str | os.PathLike[str], call: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """The content and the tensors of a valid file.

    Raises:
        ValueError: the file is not valid; the message begins with `call`.
    """
    import safetensors

    safe_open: Any = safetensors.safe_open  # its stubs have no types
    length, size = check_start(path, call)
    try:
        with safe_open(path, framework="np") as file:
            names = sorted(file.keys())
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise ValueError(
                    f"{call}: the file was not written by `save`, so it does not name the layers of its tensors: "
                    f"{shortened(', '.join(names)) or 'none'}. Read it with safetensors.numpy.load_file, and assign "
                    "them to the values of the parameters of a model"
                )
            check_memory(call, text, len(names), length, size)
            content = _content(text, call)
            # A name with a slash belongs to a state or an optimizer, not to a parameter.
            kinds = {name: file.get_slice(name).get_dtype() for name in names}
            weights = sorted({kind for name, kind in kinds.items() if "/" not in name})
            if weights not in ([], ["F32"], ["F64"]) or not set(kinds.values()) <= _NUMBERS:
                found = " and ".join(weights or sorted(set(kinds.values())))
                raise ValueError(f"{call}: the tensors are {found}, where F32 or F64 was expected")
            tensors = {name: file.get_tensor(name) for name in names}
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{call}: this is no whole safetensors file, but one that was cut short, damaged or of another kind "
            f"({shortened(error)}); take another copy"
        ) from error
    expected = content["sha256"]
    if checksum(text, tensors, expected) != expected:
        raise ValueError(f"{call}: the file is damaged: its content does not match its checksum; take another copy")
    return content, tensors


def check_start(path: str | os.PathLike[str], call: str) -> tuple[int, int]:
    """The bytes of the header of the file at `path`, as it says, and of the whole; before anything else reads it.

    Raises:
        ValueError: the header would take far more memory than the file.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        check_header(call, file.read(min(length, size, _LONGEST_HEADER)), size)
    return length, size


def check_header(call: str, header: bytes, size: int) -> None:
    """The header of a file of `size` bytes must not name far more tensors than one that `save` writes.

    That of a tensor that is empty has 50 bytes there, and takes 700 in memory, and a number of a shape has 2 bytes, and
    takes 40. What is in the JSON of `save`, a single str, is looked at later.

    Raises:
        ValueError: it has more, or its text takes far more memory than the file.
    """
    leads = header if header.isascii() else header.translate(None, _CONTINUE)  # a byte for each character
    escapes = b"\\u" in header
    if leads.isascii() and not escapes:
        width = 1
    else:  # in a thirtieth of the time of `max(leads)`
        width = 4 if escapes or any(byte in leads for byte in range(0xF0, 0x100)) else 2
    _check_memory(call, len(header) + 2 * width * len(leads), size)
    found = _CONTENT.search(header)
    start, end = found.span() if found else (0, 0)
    tensors, quotes, commas = (header.count(mark, 0, start) + header.count(mark, end) for mark in (b"{", b'"', b","))
    if max(tensors, quotes // 12, commas // 8) > _MOST_TENSORS + size // 1000:
        raise ValueError(
            f"{call}: the names and shapes of its tensors would take far more memory than the file. Keep what is large "
            "in a file of its own"
        )


def check_memory(call: str, text: str, tensors: int, header: int, size: int) -> None:
    """The JSON `text`, and so many tensors, of a `header` of so many bytes, must not take far more memory than a file.

    A value may take 2 bytes in a file, and 100 in memory; and one emoji makes each character of its str 4 bytes long.

    Raises:
        ValueError: they take more.
    """
    weights = {"]": 64, "}": 120, ":": 230, ",": 32, '"': 30, r"\ud": 60}  # bytes of memory that they stand for
    memory = sum(text.count(mark) * weight for mark, weight in weights.items()) + 500 * tensors
    memory += header + 2 * sys.getsizeof(text)  # it, and what is made of it
    _check_memory(call, memory, size)


def _check_memory(call: str, memory: int, size: int) -> None:
    if memory > _MOST_MEMORY + size // 4:
        raise ValueError(
            f"{call}: the metadata, the tokenizer and the names of the tensors would take about {memory // 10**6} MB "
            "of memory, far more than the file. Keep what is large in a file of its own"
        )


def shortened(value: Any, most: int = 300) -> str:
    """The text of `value`, its middle left out where it is long: a message quotes a file, but not megabytes of it."""
    text = str(value)
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def checksum(text: str, tensors: dict[str, Array], left_out: str = "") -> str:
    """SHA-256 of the JSON, before the checksum is in it, and of the tensors by name.

    Args:
        text: the JSON.
        tensors: the arrays.
        left_out: what is left out of the JSON, once: the checksum, where it is in it.
    """
    import hashlib

    total, place = hashlib.sha256(), text.find(left_out)
    for first, last in ((0, place), (place + len(left_out), len(text))):
        for start in range(first, last, _PIECE):
            total.update(text[start : min(start + _PIECE, last)].encode())
    for name in sorted(tensors):
        total.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        total.update(tensors[name].data)
    return total.hexdigest()


def _content(text: str, call: str) -> dict[str, Any]:
    """The JSON in the header, if this version can read it."""
    try:
        content: dict[str, Any] = _from_text(text)
        version, expected = content["version"], content["sha256"]
    except (ValueError, LookupError, TypeError, RecursionError):
        version = expected = None
    if not isinstance(version, int) or not isinstance(expected, str):
        raise ValueError(f"{call}: the file is damaged: its header is not what `save` writes; take another copy")
    if version > _VERSION:
        raise ValueError(
            f"{call}: the file is of format version {shortened(version, 20)}, and this tinygrad_rnn reads up to "
            f"{_VERSION}: install a newer one"
        )
    return content


def _to_text(content: dict[str, Any]) -> str:
    """JSON that UTF-8 can hold: only lone surrogates are escaped."""
    import json

    text = json.dumps(content, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _from_text(text: str) -> Any:
    """The inverse of `_to_text`; `json` alone would read two lone surrogates in a row as one character."""
    import json

    if r"\ud" in text:
        text = re.sub(r"\\(?:u(d[89a-f]..)|.)", lambda m: chr(int(m[1], 16)) if m[1] else m[0], text)
    return json.loads(text, object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of `pairs`, of whose keys none may be there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found
