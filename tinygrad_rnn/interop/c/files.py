"""The text of the two files, and how they come into a folder."""

from __future__ import annotations

import errno
import os
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

from ...core.arrays import Array
from ...core.files import as_path, check_target, replacing
from .source import Source, comment, numbers

MARK = "/* Written by tinygrad_rnn."
"""How each of the files begins; one that begins otherwise is not replaced."""


class Port(NamedTuple):
    """The input or the output of a step."""

    ctype: str
    size: int
    """How many numbers, or ids."""
    words: str
    """What it is, for the reader of the header."""
    is_array: bool = True


class Text(NamedTuple):
    """What the templates are filled with."""

    source: Source
    model: str
    """The repr of the model."""
    dtype: str
    x: Port
    y: Port
    checks: list[str]
    """Conditions under which a step is refused."""
    refusals: str
    """The same in words."""
    macros: dict[str, str]
    golden: tuple[Array, Array]
    """Inputs and outputs of a few steps from the initial state."""
    tolerance: str
    """How far an output may be off, as an expression of C; `"0"` for integers."""
    needs_math: bool
    declarations: str = ""
    """More functions, for the header."""


def header(text: Text) -> str:
    """The header: what a program needs to know."""
    source, name = text.source, text.source.name
    upper = name.upper()
    members = "\n".join(f"    {ctype} {member}[{size}];" for ctype, member, size in source.all_members())
    refused = f"; or -1 where {text.refusals}, and then nothing has changed" if text.refusals else ""
    macros = "".join(f"#define {upper}_{key} {value}\n" for key, value in text.macros.items())
    return f"""{MARK} Do not edit: write it anew from the model.

{textwrap.fill(comment(text.model), 116, initial_indent="   ", subsequent_indent="   ")}

   in {text.dtype}.

   x      {text.x.words}
   y      {text.y.words}
   RAM    {source.ram():,} bytes, sizeof({name}_state); nothing else is allocated
   flash  {source.flash:,} bytes of constants, and the code

   A state belongs to one stream of inputs; several may run side by side. It holds the memory of the network, and room
   for the values of a step, so nothing large lies on the stack. */

#ifndef {upper}_H
#define {upper}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_IN {text.x.size}
#define {upper}_OUT {text.y.size}
{macros}#define {upper}_CHECKSUM 0x{source.checksum():08x}

typedef struct {{
{members}
}} {name}_state;

/* Sets the initial state. */
void {name}_init({name}_state *state);

/* Takes one step. Returns 0{refused}. x and y must not overlap. */
int {name}_step({name}_state *state, {_parameter(text.x, "x", const=True)}, {_parameter(text.y, "y")});
{text.declarations}
#ifdef __cplusplus
}}
#endif

#endif
"""


def source(text: Text, extra: str = "") -> str:
    """The source: constants, functions, and with `..._SELF_TEST` a program."""
    source, name = text.source, text.source.name
    upper = name.upper()
    checks = "".join(f"    if ({check})\n        return -1;\n" for check in text.checks)
    unused = "    (void)state;\n" if not any("state->" in line for line in source.step) else ""
    return f"""{MARK} Do not edit: write it anew from the model. */

#include "{name}.h"
{"#include <math.h>" if text.needs_math else ""}

#if {upper}_CHECKSUM != 0x{source.checksum():08x}
#error "{name}.h and {name}.c were not written together"
#endif

{source.constant_text()}
{source.functions()}
void {name}_init({name}_state *state)
{{
{_indented(source.init) or "    (void)state;"}
}}

int {name}_step({name}_state *state, {_parameter(text.x, "x", const=True)}, {_parameter(text.y, "y")})
{{
{unused}{checks}{_indented(source.step)}
    return 0;
}}
{extra}{_self_test(text)}"""


def write(call: str, folder: Any, texts: dict[str, str]) -> list[Path]:
    """Write these files into `folder`, all or none; gives their paths.

    Raises:
        TypeError, ValueError: `folder` is no path.
        OSError: it is no folder, or a file cannot be written.
        FileExistsError: a file of that name is not one of ours.
    """
    folder = as_path(folder, call, "folder")
    if not os.path.isdir(folder):
        kind = NotADirectoryError if os.path.exists(folder) else FileNotFoundError
        raise kind(f"{call}: there is no folder {os.path.abspath(folder)!r}; make it first")
    paths = [os.path.join(folder, name) for name in texts]
    for path in paths:
        check_target(path, f"{call}: {path!r}")
        if os.path.exists(path) and not _is_ours(path):
            raise FileExistsError(
                errno.EEXIST, f"{call}: {path!r} was not written by to_c, and is not replaced; give another name"
            )
    _write_all(call, list(zip(paths, texts.values(), strict=True)))
    return [Path(path) for path in paths]


def _write_all(call: str, files: list[tuple[str, str]]) -> None:
    """Every file is complete on the disk before the first one takes its name."""
    if files:
        (path, text), *others = files
        with replacing(path, f"{call}: {path!r}") as file:
            file.write(text.encode("ascii"))
            _write_all(call, others)


def _is_ours(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MARK)) == MARK.encode()


def _parameter(port: Port, name: str, *, const: bool = False) -> str:
    return f"{'const ' if const else ''}{port.ctype} *{name}" if port.is_array else f"{port.ctype} {name}"


def _indented(lines: list[str]) -> str:
    return "\n".join(f"    {line}" if line else "" for line in lines)


def _self_test(text: Text) -> str:
    name, upper = text.source.name, text.source.name.upper()
    xs, ys = text.golden
    steps = len(ys)
    x = f"golden_x + step * {upper}_IN" if text.x.is_array else "golden_x[step]"
    exact = text.tolerance == "0"
    kind, zero = ("long", "0") if exact else ("double", "0.0")
    form = "%ld" if exact else "%g"
    return f"""
#ifdef {upper}_SELF_TEST
#include <stdio.h>

/* A program that takes {steps} steps and compares the outputs with those of the model in Python. */

static const {text.x.ctype} golden_x[{xs.size}] = {{
{numbers(xs)}
}};

static const {text.y.ctype} golden_y[{ys.size}] = {{
{numbers(ys)}
}};

int main(void)
{{
    static {name}_state state;
    static {text.y.ctype} y[{upper}_OUT];
    {kind} largest = {zero};
    size_t step, i;
    {name}_init(&state);
    for (step = 0; step < {steps}; step++) {{
        if ({name}_step(&state, {x}, y) != 0) {{
            printf("step %lu was refused\\n", (unsigned long)step);
            return 1;
        }}
        for (i = 0; i < {upper}_OUT; i++) {{
            const {kind} expected = golden_y[step * {upper}_OUT + i];
            const {kind} difference = y[i] > expected ? y[i] - expected : expected - y[i];
            if (!(difference <= largest))
                largest = difference;
        }}
    }}
    printf("{name}: {steps} steps, largest difference {form}, state of %lu bytes\\n", largest,
           (unsigned long)sizeof(state));
    return largest <= {text.tolerance} ? 0 : 1;
}}
#endif
"""
