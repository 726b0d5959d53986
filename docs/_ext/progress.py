"""Says what the build is at, in a few lines with the seconds so far, where Sphinx itself is told to be quiet."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.typing import ExtensionMetadata

START = time.monotonic()


def say(what: str) -> None:
    print(f"{time.monotonic() - START:6.0f} s  {what}", flush=True)


def script(config: dict[str, Any], file: str) -> None:
    """Called before a script of the gallery is run, as one that is up to date is not."""
    say(f"running {Path(file).name}")


def setup(app: Sphinx) -> ExtensionMetadata:
    def read(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
        say(f"pages to read: {len(docnames)}")

    app.connect("env-before-read-docs", read)
    app.connect("write-started", lambda app, builder: say(f"making {builder.name}"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
