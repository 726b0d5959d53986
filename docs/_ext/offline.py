"""Warns, and so stops the build, where a page, a style or a picture would fetch something from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

ADDRESS = r"""\s*["']?\s*(?:https?:)?//"""
FETCH = re.compile(
    rf"""<(?:link|script|img|image|use|iframe|source|video|audio|embed|object)\b[^>]*?
            \s(?:(?:xlink:)?href|src|srcset|poster|data)={ADDRESS}[^>]*>  # a tag that is loaded with the page
       | \burl\({ADDRESS}[^)]*\)                                            # in a style, wherever it stands
       | @import{ADDRESS}[^;]*;""",
    re.VERBOSE | re.IGNORECASE,
)


def check(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        for file in sorted(Path(app.outdir).rglob("*")):
            if file.suffix in (".html", ".css", ".svg"):
                for found in FETCH.findall(file.read_text(encoding="utf-8")):
                    logging.getLogger(__name__).warning("%s fetches from the network: %s", file.name, found)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
