"""The pictures of the pages are what their scripts draw."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["turning.svg", "parity.svg"])
def test_a_picture_is_what_its_script_draws(name: str) -> None:
    drawn = runpy.run_path(str(DOCS / "pictures" / "linear.py"))["PICTURES"][name]()
    assert (DOCS / "_static" / "learn" / name).read_text(encoding="utf-8") == drawn
