"""The chapters as notebooks: every part of a page becomes Markdown that Jupyter shows, every block of code a cell."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason="needs what builds the pages: run `nox -s docs`")
pytest.importorskip("myst_parser", reason="needs what builds the pages: run `nox -s docs`")

from docutils import nodes
from docutils.core import publish_doctree
from myst_parser.parsers.docutils_ import Parser

from _ext.markdown import blocks, inline, picture
from _ext.notebooks import NEEDS, Chapter

PAGE = r"""
# A *chapter*

Text with $a_1 \cdot b$, **strong** `co_de` and an
[address](https://example.org); 2 \* 3 \$ a_b_c.

## Part

- one

  more
- two

3. three
4. four

term
: what it *means*

| $a$ | b |
|---|---|
| `c` | d |

$$
x = 1
$$

```
$ command
```
"""

MARKDOWN = r"""
# A *chapter*

Text with $a_1 \cdot b$, **strong** `co_de` and an [address](https://example.org); 2 \* 3 \$ a\_b\_c.

## Part

- one

  more
- two

3. three
4. four

- **term**: what it *means*

| $a$ | b |
| --- | --- |
| `c` | d |

$$
x = 1
$$

```
$ command
```
"""

SVG = """<svg viewBox="0 0 640 250" role="img" style="max-width: 560px; width: 100%">
<title>From a to b, a &lt; b</title><path stroke="var(--color-brand-primary, #2962ff)" d="M0 0H1"/></svg>"""


def read(text: str) -> nodes.document:
    settings = {"myst_enable_extensions": ["deflist", "dollarmath"], "doctitle_xform": False}
    return publish_doctree(text, parser=Parser(), settings_overrides=settings)


def program(code: str, output: str) -> Chapter:
    """The notebook of a page with one block of code and what it prints."""
    page = read(f"# Title\n\nText.\n\n```python\n{code}\n```\n\n```output\n{output}\n```\n\nEnd.\n")
    for block, kind in zip(page.findall(nodes.literal_block), ("testcode", "testoutput"), strict=True):
        block["testnodetype"] = kind
    return Chapter(page, Path())


def test_a_page_becomes_markdown() -> None:
    assert "\n\n".join(blocks(read(PAGE), Path())) == MARKDOWN.strip()


def test_an_equation_keeps_its_number_and_the_alignment_of_its_rows() -> None:
    text = "a &= b \\\\\nc &= d"
    expected = f"$$\n\\begin{{aligned}}\n{text}\n\\end{{aligned}} \\tag{{3}}\n$$"
    assert list(blocks(nodes.math_block(text, text, number=3), Path())) == [expected]


def test_a_link_to_another_page_is_its_name() -> None:
    name = nodes.inline("", "", nodes.Text("2. Loss"), classes=["std", "std-doc", "doc"])
    assert inline(nodes.reference("", "", name, internal=True, refuri="softmax.html")) == "*2. Loss*"


def test_a_picture_is_part_of_the_text() -> None:
    (text,) = blocks(nodes.raw("", SVG, format="html"), Path())
    found = re.fullmatch(r'<img alt="(.*)" width="576" src="data:image/svg\+xml;base64,(.*)">', text)
    assert found is not None
    assert found[1] == "From a to b, a &lt; b"
    svg = base64.b64decode(found[2]).decode()
    assert 'xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 656 266" style="background: white"' in svg
    assert "var(--color-brand-primary, #2962ff)" in svg


def test_a_colour_that_a_notebook_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"fallback.*var\(--color-brand-primary\)"):
        picture(SVG.replace(", #2962ff", ""))


def test_what_has_no_translation_is_an_error() -> None:
    with pytest.raises(NotImplementedError, match="block_quote"):
        list(blocks(read("> quoted\n"), Path()))


def test_a_page_becomes_cells_that_run() -> None:
    chapter = program("print(1 / 4)", "0.25")
    kinds = [(cell.cell_type, cell.source) for cell in chapter.notebook.cells]
    assert kinds == [("markdown", f"# Title\n\n{NEEDS}\n\nText."), ("code", "print(1 / 4)"), ("markdown", "End.")]
    assert chapter.run(0) == []
    assert chapter.notebook.cells[1].outputs[0].text == "0.25\n"


@pytest.mark.parametrize(("code", "message"), [("print(2)", "prints\n2\nwhere"), ("1 / 0", "ZeroDivisionError")])
def test_a_notebook_that_does_other_than_its_page_is_reported(code: str, message: str) -> None:
    (found,) = program(code, "1").run(0)
    assert message in found
