"""Blocks fenced as `python` in Markdown are run by the doctest builder; `output` is what the block before it prints.

The blocks of a page share their names, so a page is one program read from top to bottom. A block that cannot run by
itself is written as `{code-block} python` with `:class: fragment`.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

KINDS = {"python": "testcode", "output": "testoutput"}


def mark(app: Sphinx, doctree: nodes.document) -> None:
    for block in doctree.findall(nodes.literal_block):
        kind = KINDS.get(block.get("language", ""))
        if kind and (block.source or "").endswith(".md") and "fragment" not in block["classes"]:
            block.attributes |= {"testnodetype": kind, "groups": ["default"], "options": {}}


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("doctree-read", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
