"""Draws the pictures of docs/learn/linear.md from computed numbers: `python docs/pictures/linear.py`.

They are SVG that stands inside a page, so that it takes the colours of the page, in the light and in the dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parents[1] / "_static" / "learn"
WIDTH, LEFT, HEIGHT, GAP = 380, 40, 56, 30  # of a picture, of what is left of a panel, of a panel, and above it
ACCENT = "var(--color-brand-primary, #2962ff)"
Values = NDArray[np.float64]


def line(xs: Values, ys: Values, colour: str, dashes: str = "") -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    dashed = f' stroke-dasharray="{dashes}"' * bool(dashes)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"{dashed}/>'


def dots(xs: Values, ys: Values, colour: str) -> str:
    return "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{colour}"/>' for x, y in zip(xs, ys, strict=True))


def text(x: float, y: float, words: Any, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def panel(top: float, title: str, low: float, high: float, first: Values, second: Values | None = None) -> list[str]:
    """One row: a title, two ticks, the line of 0, the first values with dots, and the second ones dashed."""
    xs = LEFT + (WIDTH - LEFT - 8) * np.arange(len(first)) / (len(first) - 1)

    def y(values: Any) -> Any:
        return top + HEIGHT * (high - values) / (high - low)

    parts = [text(LEFT, top - 9, title, "start")]
    for tick in sorted({low, 0.0, high}):
        parts.append(text(LEFT - 8, y(tick) + 4, f"{tick:.0f}".replace("-", "−"), "end"))
    parts.append(line(np.array([xs[0], xs[-1]]), np.array([y(0), y(0)]), "currentColor"))
    if second is not None:
        parts.append(line(xs, y(second), "currentColor", "3 3"))
    return [*parts, line(xs, y(first), ACCENT), dots(xs, y(first), ACCENT)]


def picture(name: str, title: str, height: float, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="{name}-title" '
            'style="max-width: 560px; width: 100%; height: auto" font-size="12" fill="currentColor" stroke="none">',
            f'<title id="{name}-title">{title}</title>',
            *parts,
            "</svg>\n",
        ]
    )


def turning() -> str:
    """What is left of an input after 0 to 30 steps, for three factors."""
    k = np.arange(31)
    factors: dict[str, complex] = {
        "factor 0.9: it fades": 0.9,
        "factor −0.9: it changes its sign": -0.9,
        "size 0.9, angle 30°: it turns (dashed: imaginary part)": 0.9 * np.exp(1j * np.pi / 6),
    }
    parts: list[str] = []
    for row, (title, factor) in enumerate(factors.items()):
        left = np.power(factor, k)
        second = left.imag if factor.imag else None
        parts += panel(GAP + row * (HEIGHT + GAP), title, -1, 1, left.real, second)
    bottom = len(factors) * (HEIGHT + GAP) + 16
    x = [LEFT + (WIDTH - LEFT - 8) * step / 30 for step in (0, 10, 20, 30)]
    parts += [text(at, bottom, step) for at, step in zip(x, (0, 10, 20, 30), strict=True)]
    parts.append(text((LEFT + WIDTH - 8) / 2, bottom + 16, "steps since the input"))
    return picture("turning", "What three factors leave of an input after k steps", bottom + 24, parts)


def parity() -> str:
    """Three memories that read the same bits: a positive factor, a factor that turns, and a product with the state."""
    bits = np.array([0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1])
    positive, signed, product = [0.0], [0.0], [0.0]
    for x in bits:
        positive.append(positive[-1] if x == 0 else 0.6 * positive[-1] + 0.4)
        signed.append((1 - 2 * x) * signed[-1] + x)
        first, second = np.tanh(8 * (x + product[-1]) - np.array([4, 12]))
        product.append((first - second) / 2)
    rows = {
        "a 1 multiplies by 0.6 and adds 0.4: it cannot go back": positive,
        "a 1 multiplies by −1 and adds 1: it turns over": signed,
        "the RNN of two units, with a product: it turns over": product,
    }
    parts: list[str] = []
    for row, (title, values) in enumerate(rows.items()):
        parts += panel(GAP + row * (HEIGHT + GAP), title, 0, 1, np.array(values[1:]))
    bottom = len(rows) * (HEIGHT + GAP) + 18
    xs = LEFT + (WIDTH - LEFT - 8) * np.arange(len(bits)) / (len(bits) - 1)
    parts += [text(x, bottom, bit) for x, bit in zip(xs, bits, strict=True)]
    parts.append(text(LEFT - 12, bottom, "bit", "end"))
    return picture("parity", "Three memories that read the same bits", bottom + 8, parts)


PICTURES = {"turning.svg": turning, "parity.svg": parity}


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
