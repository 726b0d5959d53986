"""Scripts and code in processes of their own; those of `examples/` as a user runs them, from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(name: str, folder: Path, *arguments: object, code: str = "") -> subprocess.CompletedProcess[str]:
    """`examples/<name>.py`, or `code` in its place, run in `folder`; its output as text whatever the locale."""
    return subprocess.run(
        [sys.executable, *(["-c", code] if code else [str(EXAMPLES / f"{name}.py")]), *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def run_alone(code: str, **environment: str) -> str:
    """What `code` prints in a process of its own, where BLAS and this library have the threads that `environment` says.

    It must end within a minute, without an error and without a word on the error stream.
    """
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout.strip()
