"""Blocks fenced as `python` in Markdown are run by the doctest builder; `output` is what the block before it prints.

The blocks of a page share their names, so a page is one program read from top to bottom. A block that cannot run by
itself is written as `{code-block} python` with `:class: fragment`.
"""

from __future__ import annotations

import itertools
import linecache
from types import CodeType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.doctest import DocTestBuilder
from sphinx.util.typing import ExtensionMetadata

from _ext.progress import say

KINDS = {"python": "testcode", "output": "testoutput"}


class Builder(DocTestBuilder):
    """The doctest builder, whose blocks have a file name each: `inspect` then finds their source, as in a script."""

    name = "doctest"
    numbers = itertools.count()
    pages = itertools.count()

    def compile(self, code: str, name: str, type: str, flags: Any, dont_inherit: bool) -> CodeType:
        file = f"{name}, block {next(self.numbers)}"
        linecache.cache[file] = len(code), None, code.splitlines(keepends=True), file
        compiled: CodeType = super().compile(code, file, type, flags, dont_inherit)
        return compiled

    def test_doc(self, docname: str, doctree: nodes.Node) -> bool:
        if not next(self.pages) % 10:
            say(f"running the code of {docname} and the pages after it")
        passed: bool = super().test_doc(docname, doctree)
        return passed


def mark(app: Sphinx, doctree: nodes.document) -> None:
    for block in doctree.findall(nodes.literal_block):
        kind = KINDS.get(block.get("language", ""))
        if kind and (block.source or "").endswith(".md") and "fragment" not in block["classes"]:
            block.attributes |= {"testnodetype": kind, "groups": ["default"], "options": {}}


def setup(app: Sphinx) -> ExtensionMetadata:
    app.setup_extension("sphinx.ext.doctest")
    app.add_builder(Builder, override=True)
    app.connect("doctree-read", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
