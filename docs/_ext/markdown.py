"""A page as Markdown that Jupyter shows: what Sphinx has read, with its references resolved, is written out again.

Numbers of equations are tags, pictures are part of the text, and a link to another page is that page's name. Anything
that has no translation here is an error, so nothing of a page gets lost.
"""

from __future__ import annotations

import base64
import html
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from docutils import nodes

SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
ROOT = re.compile(r'<svg\b[^>]*\sviewBox="([^"]*)"[^>]*>')
MARGIN = 8  # around a picture, whose lines may reach its edge
SILENT = (nodes.comment, nodes.target, nodes.system_message)


def picture(svg: str, alt: str = "") -> str:
    """A tag that holds the picture. There it knows no style of the page, so its colours are the fallbacks."""
    if without := re.search(r"var\([^,()]*\)", svg):
        raise ValueError(f"a colour without a fallback, which a notebook needs: {without[0]}")
    if not alt and (title := re.search(r"<title[^>]*>(.*?)</title>", svg, re.DOTALL)):
        alt = html.unescape(title[1])
    root = ROOT.search(svg)
    assert root is not None, "no picture, or one without a viewBox"
    left, top, width, height = map(float, root[1].split())
    box = f"{left - MARGIN:g} {top - MARGIN:g} {width + 2 * MARGIN:g} {height + 2 * MARGIN:g}"
    attributes = re.sub(r'\s(?:style|xmlns|viewBox|width|height)="[^"]*"', "", root[0][4:-1])
    attributes += f' xmlns="http://www.w3.org/2000/svg" viewBox="{box}" style="background: white"'
    if "font-family" not in attributes:
        attributes += ' font-family="sans-serif"'
    svg = f"<svg{attributes}>{svg[root.end() :]}"
    if at_most := re.search(r"max-width: *([\d.]+)px", root[0]):
        width = float(at_most[1])
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{html.escape(alt)}" width="{width + 2 * MARGIN:.0f}" src="data:image/svg+xml;base64,{data}">'


def equation(node: nodes.math_block) -> str:
    """In `$$`; where rows are aligned, in the environment that aligns them."""
    tex = r" \\ ".join(part.strip() for part in re.split(r"\n\s*\n", node.astext()) if part.strip())
    if "&" in tex or r"\\" in tex:
        tex = f"\\begin{{aligned}}\n{tex}\n\\end{{aligned}}"
    tag = f" \\tag{{{node['number']}}}" if node.get("number") else ""
    return f"$$\n{tex}{tag}\n$$"


def code(text: str) -> str:
    """A span of code, between as many backquotes as it needs."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"


def inline(node: nodes.Node) -> str:
    """A part of a line."""
    match node:
        case nodes.Text():
            return re.sub(r"([\\`*_\[\]<$|])", r"\\\1", node.astext()).replace("\n", " ")
        case nodes.literal():
            return code(node.astext())
        case nodes.math():
            return f"${node.astext()}$".replace("\n", " ")
        case nodes.emphasis():
            return f"*{inlines(node)}*"
        case nodes.strong():
            return f"**{inlines(node)}**"
        case nodes.reference() if "://" in node.get("refuri", ""):
            return f"[{inlines(node)}]({node['refuri']})"
        case nodes.inline() if "doc" in node["classes"]:  # the name of another page
            return f"*{inlines(node)}*"
        case nodes.reference() | nodes.inline() | nodes.paragraph():
            return inlines(node)
        case nodes.target():
            return ""
    raise NotImplementedError(f"{type(node).__name__} has no translation to Markdown: {node.astext()[:60]!r}")


def inlines(node: nodes.Element) -> str:
    return "".join(map(inline, node.children))


def blocks(node: nodes.Node, folder: Path) -> Iterator[str]:
    """The paragraphs, formulas, lists and so on that a part of a page consists of. Images lie in `folder`."""
    match node:
        case nodes.title():
            level = sum(isinstance(above, nodes.section) for above in ancestors(node))
            yield f"{'#' * level} {inlines(node)}"
        case nodes.paragraph():
            yield inlines(node)
        case nodes.math_block():
            yield equation(node)
        case nodes.literal_block():
            yield f"```{node.get('language', '')}\n{node.astext().rstrip()}\n```"
        case nodes.bullet_list() | nodes.enumerated_list():
            numbers = isinstance(node, nodes.enumerated_list)
            items = enumerate((joined(item.children, folder) for item in node.children), node.get("start", 1))
            yield "\n".join(entry(f"{i}." if numbers else "-", text) for i, text in items)
        case nodes.definition_list():
            for item in node.children:
                terms = ", ".join(inlines(term) for term in item.findall(nodes.term))
                yield entry("-", f"**{terms}**: {joined(item.children[-1].children, folder)}")
        case nodes.table():
            yield table(node)
        case nodes.image():
            yield picture((folder / node["uri"]).read_text(encoding="utf-8"), node.get("alt", ""))
        case nodes.caption():
            yield f"*{inlines(node)}*"
        case nodes.raw():
            yield SVG.sub(lambda svg: picture(svg[0]), node.astext().strip())
        case nodes.document() | nodes.section() | nodes.container() | nodes.figure() | nodes.compound():
            for child in node.children:
                yield from blocks(child, folder)
        case node if not isinstance(node, SILENT):
            raise NotImplementedError(f"{type(node).__name__} has no translation to Markdown: {node.astext()[:60]!r}")


def ancestors(node: nodes.Node) -> Iterator[nodes.Node]:
    while node := node.parent:
        yield node


def joined(parts: Iterable[nodes.Node], folder: Path) -> str:
    return "\n\n".join(block for part in parts for block in blocks(part, folder))


def entry(mark: str, text: str) -> str:
    """An entry of a list, whose further lines stand below its first word."""
    return f"{mark} {textwrap.indent(text, ' ' * (len(mark) + 1)).lstrip()}"


def table(node: nodes.table) -> str:
    """A line for each row. The first is the head, which Markdown wants, if only an empty one."""
    rows = [
        [" ".join(map(inline, cell.children)) for cell in row.findall(nodes.entry)] for row in node.findall(nodes.row)
    ]
    if node.next_node(nodes.thead) is None:
        rows.insert(0, [""] * len(rows[0]))
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
