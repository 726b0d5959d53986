"""`examples/deploy.py` as a user runs it: in a process of its own, from another folder."""

from __future__ import annotations

import importlib.util
import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from running import run_each, run_example

run = partial(run_example, "deploy")
SMALL = ("--iterations", 20, "--hidden", 12, "--length", 30)
DTYPES = ["float32", "int8_weights", "int8"]


def test_c_and_onnx_write_the_same_text(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL, "--folder", ".")
    assert (done.returncode, done.stderr) == (0, "")
    found = re.findall(r"^(\w+): (\S+) nats; (\S+) bytes of constants, (\S+) of memory$", done.stdout, re.M)
    assert [name for name, *_ in found] == DTYPES
    losses, flash = ([float(row[k].replace(",", "")) for row in found] for k in (1, 2))
    assert max(losses) - min(losses) < 0.01
    assert flash[0] > 2 * flash[2]
    for name in DTYPES:
        assert {f"{name}_rnn.h", f"{name}_rnn.c"} <= {path.name for path in tmp_path.iterdir()}
    if importlib.util.find_spec("onnx"):
        assert done.stdout.count("ONNX writes the same text") == 1
        assert (tmp_path / "rnn.onnx").exists()
    if shutil.which("cc") is None:
        pytest.skip("needs a compiler of C, cc, to run what was written")
    assert done.stdout.count("\nC writes the same text") == 3


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    messages = {
        ("--iterations", "0"): "--iterations must be at least 1, not 0",
        ("--prompt", ""): "--prompt must have a character",
        ("--folder", "missing"): "--folder missing is not a folder; make it first",
    }
    for done, message in zip(run_each("deploy", tmp_path, messages).values(), messages.values(), strict=True):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1] == f"deploy.py: error: {message}"
    assert not list(tmp_path.iterdir())
