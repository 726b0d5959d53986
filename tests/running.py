"""The scripts of `examples/` as a user runs them: in a process of their own, from another folder."""

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
