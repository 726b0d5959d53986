"""The pictures of pages are what their scripts draw, and can be read: on a phone, in the dark, and aloud."""

from __future__ import annotations

import re
import runpy
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
FOLDERS = ("learn", "measured")  # of pages, and below _static those of their pictures
README = DOCS.parent / "README.md"
SCRIPTS = sorted(path for path in (DOCS / "pictures").glob("*.py") if path.name != "svg.py")
FILES = {path.stem: path for folder in (*FOLDERS, "readme") for path in sorted((DOCS / "_static" / folder).iterdir())}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def drawn() -> dict[str, Callable[[], str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS / "pictures")
        return {name: draw for path in SCRIPTS for name, draw in runpy.run_path(str(path))["PICTURES"].items()}


def test_each_file_has_a_script_and_stands_in_one_page(drawn: dict[str, Callable[[], str]]) -> None:
    pages = "".join(path.read_text(encoding="utf-8") for folder in FOLDERS for path in (DOCS / folder).glob("*.md"))
    names = re.findall(rf"^:file: .*/(?:{'|'.join(FOLDERS)})/(.*)\.svg$", pages, re.MULTILINE)
    names += re.findall(r"\(docs/_static/readme/(.*)\.svg\)", README.read_text(encoding="utf-8"))
    assert sorted(drawn) == sorted(FILES) == sorted(names)


@pytest.mark.parametrize("name", FILES)
def test_a_picture_is_what_its_script_draws(name: str, drawn: dict[str, Callable[[], str]]) -> None:
    """But for one unit in the last digit of a number: another machine may round another way."""
    found, expected = FILES[name].read_text(encoding="utf-8"), drawn[name]()
    assert NUMBER.sub("0", found) == NUMBER.sub("0", expected)
    for one, other in zip(NUMBER.findall(found), NUMBER.findall(expected), strict=True):
        digits = max(len(number.partition(".")[2]) for number in (one, other))
        assert abs(float(one) - float(other)) < 1.01 * 10**-digits * (digits > 0) + 1e-9


@pytest.mark.parametrize("name", FILES)
def test_a_picture_can_be_read(name: str) -> None:
    text = FILES[name].read_text(encoding="utf-8")
    picture = ET.fromstring(text.replace(' xmlns="http://www.w3.org/2000/svg"', ""))
    title = picture.find("title")
    assert title is not None
    assert len(title.text or "") > 20
    assert picture.attrib["role"] == "img"
    assert [picture.attrib["aria-labelledby"]] == [title.attrib["id"]] == re.findall(r'\bid="(.*?)"', text)
    assert title.attrib["id"] == f"{name}-title"  # of its own: several pictures stand in a page
    width = float(picture.attrib["viewBox"].split()[2])
    sizes = [float(size) for size in re.findall(r'font-size="(.*?)"', text)]
    assert min(sizes) * 358 / width >= 11  # pixels on a phone of 390, less the margins
    assert not re.search(r'(?:fill|stroke)="(?!none|currentColor|var\()', text)  # else it would not follow the page
