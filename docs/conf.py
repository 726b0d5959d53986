"""Sphinx, by `nox -s docs`. The pages ask nothing of the network."""

from __future__ import annotations

import doctest
import importlib.metadata
import re
import sys
from pathlib import Path

import jaxtyping  # noqa: F401  # before the package, which then gives its signatures with their shapes
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))  # for the extensions

project = "tinygrad_rnn"
author = "the tinygrad_rnn authors"
copyright = f"2026, {author}"
release = importlib.metadata.version("tinygrad-rnn")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.doctest",
    "sphinx_copybutton",
    "_ext.mathml",
    "_ext.run_blocks",
    "_ext.steps",
    "_ext.names",
    "_ext.gallery",
    "_ext.columns",
    "_ext.notebooks",
    "_ext.coverage",
    "_ext.offline",
    "_ext.progress",
]
exclude_patterns = ["_build"]
default_role = "code"  # what stands between single backquotes in a docstring

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

napoleon_numpy_docstring = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
add_module_names = False
maximum_signature_line_length = 100

doctest_default_flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
doctest_show_successes = False

html_theme = "furo"
pygments_dark_style = "a11y-high-contrast-dark"  # in the light, the theme takes the same one
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["report.js"]
html_math_renderer = "mathml"
html_copy_source = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def name_arrays(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write `Float[Array, ...]` and `State`, as in the source: when the package runs, these are `Any` and a tuple."""
    shaped = re.compile(r"\b(Float|Integer|Bool|Shaped)\[Any,")

    def named(text: str | None) -> str | None:
        return text and shaped.sub(r"\1[Array,", text).replace("tuple[Any, ...]", "State")

    return named(signature), named(returns)


def keep_first_line(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Put a comment before the docstring of an attribute: Napoleon takes what comes before a first colon for a type."""
    if what in ("attribute", "data", "property"):
        lines[:0] = [".. of an attribute", ""]


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-signature", name_arrays)
    app.connect("autodoc-process-docstring", keep_first_line, priority=400)  # before Napoleon, which has 500
