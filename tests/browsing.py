"""A real browser, and what the tests of pages ask it. `nox -s browser` has one."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: run `nox -s browser`")
    path = os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"needs a browser: one of {', '.join(NAMES)} on the path, or another as BROWSER_PATH")
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # for whom Chromium has no sandbox
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"] if root else [])
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(
    browser: Any,
    path: Path,
    *,
    site: Path | None = None,
    width: int = 1280,
    scheme: str = "light",
    touch: bool = False,
) -> Iterator[Any]:
    """A page that has asked for nothing but itself, and had nothing to complain of, when the block ends.

    One of a site may ask for the files in its folder.
    """
    asked: list[str] = []
    said: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, has_touch=touch, is_mobile=touch
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    yield page
    page.evaluate("1")  # what the page says comes before this answer
    assert said == []
    own = (path.as_uri(), "data:") if site is None else (f"{site.as_uri()}/", "data:")
    assert [url for url in asked if not url.startswith(own)] == []
    context.close()


def contrasts(page: Any) -> list[tuple[float, str]]:
    """The contrast of each text on what is behind it, the lowest first."""
    found = page.evaluate(CONTRASTS)
    return sorted((ratio, words) for ratio, words in found)


CONTRASTS = """() => {
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const kept = (make, known = new Map()) => (key) => known.get(key) ?? known.set(key, make(key)).get(key);

  const colour = kept((css) => {  // red, green, blue and opacity, from 0 to 1
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = "transparent";  // what it stays where the text is no colour, as `none`
    pen.fillStyle = css;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].map((x) => x / 255);
  });
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const linear = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  const light = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const opacity = kept((e) => (e ? +getComputedStyle(e).opacity * opacity(e.parentElement) : 1));
  const ground = kept((e) => (
    e ? over(colour(getComputedStyle(e).backgroundColor), ground(e.parentElement)) : [1, 1, 1]
  ));
  const filled = (e, style = getComputedStyle(e)) => {
    const [r, g, b, a] = colour(style.fill);
    return [r, g, b, a * style.fillOpacity * opacity(e)];
  };
  const shapes = kept((svg) => [...svg.querySelectorAll("rect, circle, ellipse, path, polygon")]
    .filter((shape) => shape.getScreenCTM() && filled(shape)[3] > 0));
  const drawn = (text, x, y) => {  // the shapes that are drawn before a text, at a point of it
    const svg = text.closest("svg");
    return shapes(svg)
      .filter((shape) => shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING)
      .filter((shape) => shape.isPointInFill(new DOMPoint(x, y).matrixTransform(shape.getScreenCTM().inverse())))
      .reduce((below, shape) => over(filled(shape), below), ground(svg));
  };

  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, e = node.parentElement;
    if (!node.data.trim() || e.closest("script, style, title, noscript, option")) continue;
    if (!e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;  // for those who hear the page
    const svg = e.closest("svg"), [r, g, b, a] = colour(getComputedStyle(e).color);
    const ink = svg ? filled(e) : [r, g, b, a * opacity(e)];
    const grounds = svg
      ? [0.1, 0.5, 0.9].map((share) => drawn(e, box.x + share * box.width, box.y + box.height / 2))
      : [ground(e)];
    if (e.style.boxShadow) grounds.push(colour(e.style.boxShadow.match(/rgba?\\([^)]*\\)/)[0]).slice(0, 3));
    for (const below of grounds) {
      const [more, less] = [light(over(ink, below)), light(below)].sort((x, y) => y - x);
      found.push([(more + 0.05) / (less + 0.05), `${e.outerHTML.slice(0, 80)} in ${e.parentElement.className}`]);
    }
  }
  return found;
}"""
