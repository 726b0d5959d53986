"""Compiles what `to_c` has written, and runs it. Needs a compiler of C, or the test is skipped."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.interop import CFiles

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

MAIN = """
#define {upper}_SELF_TEST
#define main self_test
#include "{name}.c"
#undef main

/* Takes as many steps from the initial state as the inputs of a stream, for every stream of the input. */
int main(int count, char **arguments)
{{
    static {name}_state state;
    static {x_type} x[{x_size}];
    static {y_type} y[{upper}_OUT];
    unsigned long steps, step;
    if (count == 1)
        return self_test();
    if (count != 2 || sscanf(arguments[1], "%lu", &steps) != 1)
        return 2;
    for (step = 0; fread(x, sizeof x, 1, stdin) == 1; step++) {{
        if (step % steps == 0)
            {name}_init(&state);
        if ({name}_step(&state, {x}, y) != 0)
            return 1;
        fwrite(y, sizeof y, 1, stdout);
    }}
    return 0;
}}
"""


@functools.cache
def works(compiler: str, flags: tuple[str, ...]) -> bool:
    """Whether programs can be made with these flags: a compiler may lack the libraries of sanitizers."""
    source = b"int main(void) { return 0; }"
    command = [compiler, *flags, "-x", "c", "-", "-o", "/dev/null"]
    return (
        shutil.which(compiler) is not None and not subprocess.run(command, input=source, capture_output=True).returncode
    )


def build(folder: Path, *sources: Path, flags: tuple[str, ...], compiler: str = "cc") -> Path:
    """A program of these sources, with no warning."""
    if not works(compiler, tuple(flag for flag in flags if not flag.startswith("-D"))):
        pytest.skip(f"needs a compiler of C, `{compiler}`, which takes {' '.join(flags)}")
    program = folder / "program"
    done = subprocess.run(
        [compiler, *STRICT, *flags, *map(str, sources), "-o", str(program), "-lm"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[:5000]
    return program


def self_test(files: CFiles, *, flags: tuple[str, ...] = SANITIZED, compiler: str = "cc") -> str:
    """What the program of the self-test prints, where it finds no difference."""
    macro = f"-D{files.source.stem.upper()}_SELF_TEST"
    return output(build(files.source.parent, files.source, flags=(*flags, macro), compiler=compiler))


def output(program: Path) -> str:
    """What a program prints that finds nothing wrong."""
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def run_c(files: CFiles, xs: Any, *, flags: tuple[str, ...] = SANITIZED, compiler: str = "cc") -> tuple[Any, str]:
    """The outputs (T, B, H) of the model in C for the inputs (T, B) or (T, B, D), one stream after the other.

    And what the self-test prints: both are in one program, for to compile takes most of the time.
    """
    name, header = files.source.stem, files.header.read_text()
    found = re.search(r"_step\(\w+ \*state, (?:const )?(\w+) (\*?)x, (\w+) \*y\);", header)
    assert found is not None
    x_type, pointer, y_type = found.groups()
    is_id = not pointer
    (files.source.parent / "main.c").write_text(
        MAIN.format(
            name=name,
            upper=name.upper(),
            x_type=x_type,
            y_type=y_type,
            x_size="1" if is_id else f"{name.upper()}_IN",
            x="x[0]" if is_id else "x",
        )
    )
    program = build(files.source.parent, files.source.parent / "main.c", flags=flags, compiler=compiler)
    dtypes = {"float": "float32", "int8_t": "int8", "int16_t": "int16", "int32_t": "int32"}
    sent = np.ascontiguousarray(np.swapaxes(xs, 0, 1), dtypes[x_type]).tobytes()
    done = subprocess.run([str(program), str(len(xs))], input=sent, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    ys = np.frombuffer(done.stdout, dtypes[y_type])
    return np.swapaxes(ys.reshape(xs.shape[1], len(xs), -1), 0, 1), output(program)
