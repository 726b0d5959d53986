"""Each page of the documentation in a browser: at the width of a desk and of a phone, in the light and in the dark."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from browsing import contrasts, opened

pytestmark = pytest.mark.browser

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
PAGES = [
    pytest.param(path, id=path.relative_to(SITE).as_posix())
    for path in sorted(SITE.rglob("*.html"))
    # A report has a test of its own. Where there is no Playwright, pages may be made while processes collect tests.
    if find_spec("playwright") and not {"_static", "reports"} & set(path.relative_to(SITE).parts)
] or [pytest.param(SITE, marks=pytest.mark.skip("needs Playwright, and the pages: run `nox -s docs browser`"))]

PREPARE = """() => {
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
  const style = document.createElement("style");
  style.textContent = "* { transition: none !important }";  // or a colour would be measured on its way to another
  document.head.append(style);
}"""
WITHOUT_TEXT = """() => [
  ...[...document.images].filter((image) => !image.alt),
  ...[...document.querySelectorAll("iframe")].filter((frame) => !frame.title),
  ...[...document.querySelectorAll("svg[role=img], article svg:not([aria-hidden], a svg, button svg)")]
    .filter((svg) => svg.role !== "img" || !svg.querySelector("title")),
].map((e) => e.outerHTML.slice(0, 120))"""
WIDER = """(but) => [...document.querySelectorAll("*")]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 2 && getComputedStyle(e).overflowX !== "visible")
  .filter((e) => !but || !e.matches(but))
  .map((e) => `${e.tagName}.${e.className}: ${e.textContent.trim().slice(0, 60)}`)"""
BOXES = "pre, .math-wrapper, div.math, .table-wrapper, div.picture"  # which may scroll, where a page is narrow


@pytest.mark.parametrize("path", PAGES)
def test_page(browser: Any, path: Path) -> None:
    with opened(browser, path, site=SITE) as page:  # which looks at requests and at the console
        page.evaluate(PREPARE)
        assert page.evaluate(WITHOUT_TEXT) == []
        if path.parent.name == "measured":
            assert page.evaluate(WIDER) == []
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(WIDER, BOXES) == []
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert [found for found in contrasts(page) if found[0] < 4.5] == [], (width, scheme)
