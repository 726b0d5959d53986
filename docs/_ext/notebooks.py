"""Each chapter of *Learn* as a notebook that runs as it is, beside its page, which has a link to it.

A block fenced as `python` is a cell; all else is Markdown. When the pages are finished, the notebooks are run, and keep
their outputs. One that fails, or prints other than the page shows as `output`, is a warning and so stops the build.
"""

from __future__ import annotations

import doctest
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from docutils import nodes
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import v4
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger
from sphinx.util.typing import ExtensionMetadata
from traitlets.config import Config

from _ext.markdown import blocks

FOLDER = "learn/"
KERNEL = Config(KernelManager={"transport_encryption": "auto"})  # without it, each kernel prints a warning
NEEDS = (
    "This notebook is a chapter of the documentation of tinygrad_rnn. To run it, install the package: run "
    "`python -m pip install .` in a clone of the sources. The cells are one program; run them from top to bottom. "
    "A link to another page of the documentation is that page's name, in italics."
)


class Chapter:
    """A page as a notebook, and what its cells have to print."""

    def __init__(self, page: nodes.document, folder: Path) -> None:
        self.notebook = v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
        self.outputs: list[tuple[nbformat.NotebookNode, str]] = []
        text: list[str] = []
        for part in parts(page):
            kind = part.get("testnodetype") if isinstance(part, nodes.literal_block) else None
            if kind == "testcode":
                self.add_text(text)
                self.add(v4.new_code_cell(part.astext().rstrip()))
            elif kind == "testoutput":
                self.outputs.append((self.notebook.cells[-1], part.astext() + "\n"))
            else:
                text += blocks(part, folder)
                if isinstance(part, nodes.title) and len(text) == 1 and not self.notebook.cells:
                    text.append(NEEDS)
        self.add_text(text)

    def add_text(self, text: list[str]) -> None:
        if text:
            self.add(v4.new_markdown_cell("\n\n".join(text)))
        text.clear()

    def add(self, cell: nbformat.NotebookNode) -> None:
        cell.id = f"cell-{len(self.notebook.cells) + 1}"  # not at random, so that equal pages give equal notebooks
        self.notebook.cells.append(cell)

    def run(self, flags: int) -> list[str]:
        """Run all cells, which keep their outputs, and say what is wrong with them."""
        try:
            NotebookClient(self.notebook, config=KERNEL, record_timing=False, coalesce_streams=True).execute()
        except CellExecutionError as error:
            return [str(error)]
        wrong = []
        for cell, shown in self.outputs:
            printed = "".join(output.get("text", "") for output in cell.outputs)
            if not doctest.OutputChecker().check_output(shown, printed, flags):
                wrong.append(f"{cell.source}\nprints\n{printed}where the page shows\n{shown}")
        return wrong


def parts(node: nodes.Element) -> Iterator[nodes.Node]:
    """What a page consists of, in its sections, from top to bottom."""
    for child in node.children:
        if isinstance(child, nodes.section):
            yield from parts(child)
        else:
            yield child


def has_code(page: nodes.document) -> bool:
    return any(block.get("testnodetype") == "testcode" for block in page.findall(nodes.literal_block))


class Notebooks:
    """The chapters that a build writes."""

    def __init__(self) -> None:
        self.chapters: dict[str, Chapter] = {}

    def make(self, app: Sphinx, page: nodes.document, name: str) -> None:
        """Take down a chapter, and give its page the link."""
        if app.builder.format == "html" and name.startswith(FOLDER) and has_code(page):
            self.chapters[name] = Chapter(page, Path(app.srcdir))
            file = f"{Path(name).name}.ipynb"
            link = addnodes.download_reference("", "Download this chapter as a notebook", refuri=file)
            title = next(page.findall(nodes.title))
            title.parent.insert(title.parent.index(title) + 1, nodes.paragraph("", "", link, classes=["notebook"]))

    def finish(self, app: Sphinx, exception: Exception | None) -> None:
        """Run all notebooks, some of them at the same time, and write them."""
        if exception is None:
            with ThreadPoolExecutor() as pool:
                found = pool.map(lambda chapter: chapter.run(app.config.doctest_default_flags), self.chapters.values())
                for (name, chapter), wrong in zip(self.chapters.items(), found, strict=True):
                    for text in wrong:
                        getLogger(__name__).warning("in the notebook of %s\n%s", name, text)
                    nbformat.write(chapter.notebook, Path(app.outdir) / f"{name}.ipynb")


def setup(app: Sphinx) -> ExtensionMetadata:
    logging.getLogger("traitlets").setLevel(logging.WARNING)  # no note of each notebook that is run
    notebooks = Notebooks()
    app.connect("doctree-resolved", notebooks.make)
    app.connect("build-finished", notebooks.finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
