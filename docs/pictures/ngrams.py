"""The pictures of the first chapter: `python docs/pictures/ngrams.py`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

import svg
from svg import BLUE, GREEN, GREY, GROUND, INK, WIDTH, Chart, box, dots, picture, text

ORDER = "([{<lmno)]}>"
HALO: dict[str, Any] = {"stroke": GROUND, "stroke_width": 4, "paint_order": "stroke"}  # keeps a line away from letters


def brackets(count: int, rng: np.random.Generator) -> str:
    """The text of the chapter, drawn as there."""
    found = ""
    for _ in range(count):
        kind = rng.integers(4)
        found += "([{<"[kind] + "".join("lmno"[i] for i in rng.integers(4, size=6)) + ")]}>"[kind]
    return found


def bigrams() -> str:
    """How often each token follows each."""
    words = brackets(2000, np.random.default_rng(0))
    counts = Counter(pairwise(words))
    side, left, top = 24, 52, 44
    parts = [text(left + 6 * side, 12, "next token")]
    parts.append(text(16, top + 6 * side, "token", transform=f"rotate(-90 16 {top + 6 * side})"))
    mono: dict[str, Any] = {"font_family": "monospace", "font_size": 14}
    for i, token in enumerate(ORDER):
        middle = (i + 0.5) * side
        parts.append(text(left + middle, top - 8, token, **mono) + text(left - 14, top + middle + 5, token, **mono))
        row = [counts[token, following] for following in ORDER]
        for j, count in enumerate(row):
            where = left + (j + 0.5) * side, top + middle, side - 2, side - 2
            how: dict[str, Any] = (
                {"fill": BLUE, "fill_opacity": f"{count / sum(row) / 0.3:.2f}"} if count else {"fill": "none"}
            )
            parts.append(box(*where, **how, stroke=GREY, stroke_opacity="0.25"))
    title = (
        "The table of bigrams; a stronger colour means a likelier next token. After an opening bracket comes a letter; "
        "after a letter a letter or, more rarely, a closing bracket; after a closing bracket an opening one."
    )
    return picture("bigrams", title, top + 12 * side + 6, parts)


def states(words: str) -> Iterator[tuple[str, int]]:
    """The kind of the bracket that is open, and how many letters are still to come."""
    kind, left = "", 0
    for token in words:
        if token in "([{<":
            kind, left = token, 6
        else:
            kind, left = (kind, left - 1) if left else ("", 0)
        yield kind, left


def windows() -> str:
    """The loss of windows of each length, and that of the state."""
    rng = np.random.default_rng(0)
    words, held_out = brackets(2000, rng), brackets(250, rng)
    best, forgetful = 7 / 8 * math.log(4), math.log(4)

    def loss(pairs: Counter[tuple[object, str]], seen: Counter[object], met: list[tuple[object, str]]) -> float:
        return float(-np.log([(pairs[condition, x] + 1) / (seen[condition] + 12) for condition, x in met]).mean())

    def conditions(words: str, k: int) -> list[tuple[object, str]]:
        return [(words[i - k : i], words[i]) for i in range(k, len(words))]

    losses = []
    for k in range(8):
        pairs = conditions(words, k)
        met = conditions(held_out, k)[8 - k :]
        losses.append(loss(Counter(pairs), Counter(condition for condition, _ in pairs), met))
    pairs = list(zip(states(words), words[1:], strict=False))
    met = list(zip(states(held_out), held_out[1:], strict=False))
    kept = loss(Counter(pairs), Counter(condition for condition, _ in pairs), met)
    chart = Chart(38, 24, WIDTH - 10, 214, (0, 7), (1, 2.6))
    parts = [text(38, 10, "nats", "end"), *chart.rows({1.0: "1.0", 1.5: "1.5", 2.0: "2.0", 2.5: "2.5"})]
    parts += chart.columns({k: k for k in range(8)})
    parts.append(text((chart.left + chart.right) / 2, chart.bottom + 34, "length of the window"))
    for value, colour, dashes in ((forgetful, INK, "3 3"), (kept, GREEN, "")):
        parts.append(chart.curve((0, 7), (value, value), colour, dashes))
    parts.append(text(chart.right, chart.at(0, forgetful)[1] - 6, f"without memory {forgetful:.2f}", "end", **HALO))
    name = f"state {kept:.2f}; the best possible loss is {best:.2f}"
    parts.append(text(chart.right, chart.at(0, kept)[1] + 16, name, "end", fill=GREEN))
    parts += [
        chart.curve(range(8), losses, BLUE),
        dots([chart.at(k, value) for k, value in enumerate(losses)], BLUE, 3),
    ]
    parts.append(text(*chart.at(4.4, 2.38), "windows", "end", fill=BLUE))
    title = (
        f"The loss of windows falls to {min(losses):.2f} and rises with their length; counting with the state gives "
        f"{kept:.2f}, near the best possible {best:.2f}."
    )
    return picture("windows", title, 256, parts)


PICTURES = {"bigrams": bigrams, "windows": windows}


if __name__ == "__main__":
    svg.write(PICTURES)
