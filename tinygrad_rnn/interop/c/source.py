"""The text of a header and a source, put together piece by piece."""

from __future__ import annotations

import re
import zlib
from typing import Any, NamedTuple

import numpy as np

from ...core.arguments import check_str
from ...core.arrays import Array

LONGEST = 24
"""Characters of a name: with `_` and what follows it, a compiler must tell names apart by 31."""
KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const constexpr const_cast
    continue decltype default delete do double dynamic_cast else enum explicit export extern false float for friend goto
    if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public
    register reinterpret_cast restrict return short signed sizeof static static_assert static_cast struct switch
    template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t
    while xor xor_eq
"""
"""Of C and of C++."""
HEADERS = """
    assert complex ctype errno fenv inttypes iso646 limits locale math setjmp signal stdarg stdbool stddef stdint stdio
    stdlib string tgmath time wchar wctype
"""
"""Of C99: a file of such a name might be taken for it."""
DEVICES = "con prn aux nul"
"""Files that Windows does not make."""
TAKEN = {word for words in (KEYWORDS, HEADERS, DEVICES) for word in words.split()}
BYTES = {"float": 4, "int32_t": 4, "int16_t": 2, "int8_t": 1}
"""Bytes of a number, in the order in which the members of a struct need no gaps."""


def check_name(call: str, name: Any) -> str:
    """`name` must be one for files and for functions of C.

    Raises:
        TypeError: it is no str.
        ValueError: it is no identifier, or a word that C, C++ or a system has taken.
    """
    check_str(call, "name", name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(
            f"{call}: name is {name!r:.60}, but functions begin with it: give letters of a to z, digits and _, "
            "a letter first"
        )
    if name.lower() in TAKEN:
        raise ValueError(f"{call}: name is {name!r}, a word that C, its headers or a system has taken; give another")
    if len(name) > LONGEST:
        raise ValueError(f"{call}: name has {len(name)} characters; give at most {LONGEST}")
    return str(name)


def comment(text: str) -> str:
    """`text` so that no comment ends in it, in ASCII and in one line."""
    text = " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
    return text.encode("ascii", "backslashreplace").decode().replace("\\", "/")


def numbers(array: Array) -> str:
    """The numbers of an array, several a line; those of float32 with as many digits as they need."""
    flat = array.ravel()
    words = [f"{word}f" for word in flat.astype(str)] if array.dtype.kind == "f" else [str(n) for n in flat.tolist()]
    per_line = 8 if array.dtype.kind == "f" else 24 if array.dtype.itemsize == 1 else 12
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    return "    " + ",\n    ".join(lines)


class Scratch:
    """A part of the state that holds values within a step: where a value is no longer needed, the next one may lie."""

    def __init__(self) -> None:
        self.used: list[tuple[int, int]] = []
        self.size = 0

    def take(self, size: int) -> int:
        """The offset of `size` numbers that are free."""
        start = 0
        for first, stop in sorted(self.used):
            if first - start >= size:
                break
            start = stop
        self.used.append((start, start + size))
        self.size = max(self.size, start + size)
        return start

    def give(self, offset: int) -> None:
        """These numbers are free again."""
        self.used = [(start, stop) for start, stop in self.used if start != offset]


class Value(NamedTuple):
    """Numbers that one operation gives to the next: an expression of C, and where they lie in the scratch."""

    text: str
    size: int
    ctype: str = "float"
    offset: int | None = None
    """Where in the scratch of its type; None for the input, the state and the output."""


class Source:
    """Collects constants, functions, members of the state and statements, for one header and one source."""

    def __init__(self, name: str, functions: dict[str, str]) -> None:
        self.name = name
        self.known = functions
        """The text of every function, by name; one uses only those before it."""
        self.used: set[str] = set()
        self.constants: dict[tuple[str, bytes], tuple[str, str]] = {}
        self.members: list[tuple[str, str, int]] = []
        self.init: list[str] = []
        self.step: list[str] = []
        self.scratches = {ctype: Scratch() for ctype in BYTES}
        self.flash = 0

    def constant(self, name: str, array: Array, ctype: str) -> str:
        """The name of a constant array; of equal ones there is one."""
        key = ctype, array.tobytes()
        if key not in self.constants:
            shape = " x ".join(map(str, array.shape))
            text = f"static const {ctype} {name}[{array.size}] = {{ /* {shape} */\n{numbers(array)}\n}};\n"
            self.constants[key] = name, text
            self.flash += array.size * BYTES[ctype]
        return self.constants[key][0]

    def member(self, name: str, size: int, ctype: str = "float") -> Value:
        """An array of the state."""
        self.members.append((ctype, name, size))
        return Value(f"state->{name}", size, ctype)

    def take(self, size: int, ctype: str = "float") -> Value:
        """Room for a value."""
        offset = self.scratches[ctype].take(size)
        where = f" + {offset}" if offset else ""
        return Value(f"state->{SCRATCH[ctype]}{where}", size, ctype, offset)

    def give(self, *values: Value) -> None:
        """The room of these is free again."""
        for value in values:
            if value.offset is not None:
                self.scratches[value.ctype].give(value.offset)

    def part(self, value: Value, first: int, size: int) -> str:
        """`size` numbers of a value, from `first` on."""
        start = (value.offset or 0) + first
        base = value.text.partition(" + ")[0]
        return f"{base} + {start}" if start else base

    def call(self, function: str, *arguments: object) -> None:
        """A statement of the step."""
        self.use(function)
        self.step.append(f"{function}({', '.join(map(str, arguments))});")

    def note(self, text: str) -> None:
        """A comment before the next statements of the step."""
        self.step += ["", f"/* {comment(text)} */"]

    def use(self, function: str) -> None:
        """Have the function, and those that it calls, in the source."""
        if function not in self.used:
            self.used.add(function)
            for other in self.known:
                if other != function and re.search(rf"\b{other}\(", self.known[function]):
                    self.use(other)

    def ram(self) -> int:
        """Bytes of the state: the largest members come first, so there is a gap at its end at most."""
        sizes = [(BYTES[ctype], BYTES[ctype] * size) for ctype, _, size in self.all_members()]
        most = max((one for one, _ in sizes), default=1)
        return -(-sum(size for _, size in sizes) // most) * most

    def all_members(self) -> list[tuple[str, str, int]]:
        """The arrays of the state, and the scratch."""
        scratch = [(ctype, SCRATCH[ctype], self.scratches[ctype].size) for ctype in BYTES]
        members = [*self.members, *(member for member in scratch if member[2])]
        members.sort(key=lambda member: -BYTES[member[0]])
        return members or [("int8_t", "nothing", 1)]  # a struct has a member

    def functions(self) -> str:
        """The text of the functions in use."""
        return "\n".join(text.strip() + "\n" for name, text in self.known.items() if name in self.used)

    def constant_text(self) -> str:
        """The text of the constants."""
        return "\n".join(text for _, text in self.constants.values())

    def checksum(self) -> int:
        """Of constants and statements: a header and a source that do not belong together do not compile."""
        return zlib.crc32("\n".join([self.constant_text(), *self.init, *self.step, str(self.members)]).encode())


SCRATCH = {"float": "scratch", "int32_t": "sums", "int16_t": "wide", "int8_t": "narrow"}
"""The names of the parts of the state that hold values within a step."""


def as_array(values: Any, dtype: str) -> Array:
    """Contiguous, for constants."""
    return np.ascontiguousarray(values, dtype)
