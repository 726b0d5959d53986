"""Scripts and code in processes of their own; those of `examples/` as a user runs them, from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(name: str, folder: Path, *arguments: object, code: str = "") -> subprocess.CompletedProcess[str]:
    """`examples/<name>.py`, or `code` in its place, run in `folder`; its output as text whatever the locale."""
    environment = os.environ | {"PYTHONUTF8": "1"}
    if code:  # Python finds what lies beside a script, but not what lies beside one that code runs
        paths = [str(EXAMPLES), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return subprocess.run(
        [sys.executable, *(["-c", code] if code else [str(EXAMPLES / f"{name}.py")]), *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=600,  # on a busy machine too
    )


EACH = """
import contextlib, io, json, runpy, sys
script, *calls = json.loads(sys.argv[1])
for arguments in calls:
    sys.argv, out, err, code = [script, *arguments], io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def run_each(
    name: str, folder: Path, calls: Iterable[tuple[object, ...]]
) -> dict[tuple[object, ...], subprocess.CompletedProcess[str]]:
    """What `run_example` gives of each of the calls, all of them made in one process.

    Most of the time of a process is that of its imports. A process of its own is for what depends on one: that a
    training resumes from its file alone, for example.
    """
    calls = list(calls)
    script = [str(EXAMPLES / f"{name}.py"), *([str(argument) for argument in call] for call in calls)]
    done = run_example(name, folder, json.dumps(script), code=EACH)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, len(calls)), done.stderr
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    return {call: subprocess.CompletedProcess([*map(str, call)], *end) for call, end in zip(calls, ended, strict=True)}


def by_seeds(name: str, folder: Path, *arguments: object) -> tuple[str, str, str]:
    """What it prints with seed 1, with it again in another process, and with seed 2."""
    calls = [(*arguments, "--seed", seed) for seed in (1, 2)]
    one = run_example(name, folder, *calls[0]).stdout
    same, two = (done.stdout for done in run_each(name, folder, calls).values())
    return one, same, two


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
