"""Warns, and so stops the build, where a page would fetch a script, a style, a picture or a frame from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

FETCH = re.compile(r"""<(?:link|script|img|iframe|source|video)\b[^>]*?\s(?:href|src)=["']?(?:https?:)?//[^>]*>""")


def check(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        for page in sorted(Path(app.outdir).rglob("*.html")):
            for tag in FETCH.findall(page.read_text(encoding="utf-8")):
                logging.getLogger(__name__).warning("%s fetches from the network: %s", page.name, tag)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
