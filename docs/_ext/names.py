"""`names`: every class and function of the reference, page by page in the order of the table of contents, each with the
beginning of its docstring. So the index is complete whatever is added, and nothing is written twice.
"""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import ExtensionMetadata

MARKUP = re.compile(r"(:math:`[^`]+`|`[^`]+`)")


class Names(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        """Marks the place: other pages are not read yet."""
        return [nodes.container(classes=["names", "wide"])]


def summary(thing: object) -> Iterator[nodes.Node]:
    """The docstring up to its first full stop, colon or semicolon."""
    for part in MARKUP.split(" ".join((inspect.getdoc(thing) or "").split())):
        if part.startswith(":math:"):
            yield nodes.math("", part.removeprefix(":math:").strip("`"))
        elif part.startswith("`"):
            yield nodes.literal("", part.strip("`"))
        else:
            text, *rest = re.split(r"(?<!w\.r\.t)[.:;](?: |$)", part, maxsplit=1)
            yield nodes.Text(re.sub(r" \([^)]*$", "", text) if rest else text)
            if rest:
                return


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for box in doctree.findall(nodes.container):
        if "names" in box["classes"]:
            for page in app.env.toctree_includes[docname]:
                pages = [page, *app.env.toctree_includes.get(page, [])]
                section = nodes.section(ids=[page.replace("/", "-")])
                title = nodes.title("", "", *(node.deepcopy() for node in app.env.titles[page].children))
                section += nodes.title("", "", make_refnode(app.builder, docname, page, "", title.children))
                section += entries(app, docname, pages)
                box += section


def entries(app: Sphinx, docname: str, pages: list[str]) -> nodes.definition_list:
    """What stands on the pages, in their order."""
    listed = nodes.definition_list()
    objects = app.env.domains.python_domain.objects
    for page in pages:
        for name, entry in objects.items():
            if entry.docname == page and entry.objtype in ("class", "function") and not entry.aliased:
                shown = re.sub(r"^tinygrad_rnn\.((core|optim)\.)?", "", name)
                link = make_refnode(app.builder, docname, page, entry.node_id, nodes.literal("", shown))
                text = nodes.paragraph("", "", *summary(pydoc.locate(name)))
                listed += nodes.definition_list_item("", nodes.term("", "", link), nodes.definition("", text))
    return listed


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("names", Names)
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
