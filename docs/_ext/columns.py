"""Marks output that stands in columns: where other lines are broken, these scroll, by `site.css`."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

LANGUAGES = ("output", "console", "none")
COLUMNS = re.compile(r"\S {2,}\S")


def mark(app: Sphinx, doctree: nodes.document) -> None:
    for block in doctree.findall(nodes.literal_block):
        if block.get("language") in LANGUAGES and COLUMNS.search(block.astext()):
            block["classes"].append("columns")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("doctree-read", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
