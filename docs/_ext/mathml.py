"""Formulas as MathML, which browsers draw by themselves: no script, no font and no network."""

from __future__ import annotations

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

ACCENTED = r"\\(?:hat|bar|tilde|dot|vec|wide(?:hat|tilde)|overline) *(?:{(?:[^{}]|{[^{}]*})*}|\\[A-Za-z]+|[A-Za-z])"
REWRITES = [
    # docutils knows one environment of aligned rows; the style sheet centres a row that has no `&`, as in `gathered`.
    (re.compile(r"\\(begin|end){(?:align|split|gather|gathered)\*?}"), r"\\\1{aligned}"),
    (re.compile(r"\\(?:begin|end){equation\*?}"), ""),
    # docutils would set the subscript of `\hat{y}_t` below the y, as a limit: in a group of two it is a subscript.
    (re.compile(f"({ACCENTED})(?=_)"), r"{\1{}}"),
    # What a backward adds to a gradient: docutils has no \mathrel, so one operator is spelt as a text and its spaces.
    (re.compile(r"\\mathrel *{(.)} *="), r"\\;\\text{\1=}\\;"),
]
MENDED = {
    '<mtable class="ams-align">': '<mtable class="ams-align" displaystyle="true">',
    # A bar is as long as what it covers, for \bar{dh} is a bar over both letters; docutils stretches an underscore.
    '<mo stretchy="false">ˉ</mo>': "<mo>‾</mo>",
    '<mo accent="true">_</mo>': "<mo>‾</mo>",
}
"""What browsers understand better than what docutils writes."""


def translate(node: nodes.math | nodes.math_block, as_block: bool) -> str:
    """The formula of `node`; TeX that is not understood is a warning, and so stops the build."""
    parts = [part for part in re.split(r"\n\s*\n", node.astext()) if part.strip()]
    tex = r" \\ ".join(parts)
    for pattern, replacement in REWRITES:
        tex = pattern.sub(replacement, tex)
    try:
        mathml: str = tex2mathml(tex, as_block)
    except MathError as error:
        logging.getLogger(__name__).warning("%s in the formula %r", error, tex, location=node)
        return f"<code>{nodes.unescape(tex)}</code>"
    for written, better in MENDED.items():
        mathml = mathml.replace(written, better)
    return mathml


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{translate(node, as_block=False)}</span>')
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    if node.get("number"):
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(f"{translate(node, as_block=True)}</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.add_css_file("mathml.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
