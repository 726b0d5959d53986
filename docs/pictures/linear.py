"""The pictures of the chapter on linear recurrences: `python docs/pictures/linear.py`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import svg
from svg import BLUE, INK, WIDTH, Chart, dots, line, picture, signed, text

LEFT, HEIGHT, GAP = 30, 56, 30  # of what is left of a panel, of a panel, and above it
Values = NDArray[np.float64]


def panel(top: float, title: str, low: float, first: Values, second: Values | None = None) -> list[str]:
    """One row, up to 1: a title, ticks, the line of 0, the first values with dots, and the second ones dashed."""
    chart = Chart(LEFT, top, WIDTH - 8, top + HEIGHT, (0, len(first) - 1), (low, 1))
    steps = range(len(first))
    parts = [text(LEFT, top - 9, title, "start"), *chart.rows({tick: signed(tick) for tick in sorted({low, 0, 1})})]
    if second is not None:
        parts.append(chart.curve(steps, second, INK, "3 3", 1.2))
    points = [chart.at(step, value) for step, value in zip(steps, first, strict=True)]
    return [*parts, line(points, BLUE), dots(points, BLUE)]


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
        parts += panel(GAP + row * (HEIGHT + GAP), title, -1, left.real, second)
    bottom = len(factors) * (HEIGHT + GAP) + 16
    x = [LEFT + (WIDTH - LEFT - 8) * step / 30 for step in (0, 10, 20, 30)]
    parts += [text(at, bottom, step) for at, step in zip(x, (0, 10, 20, 30), strict=True)]
    parts.append(text((LEFT + WIDTH - 8) / 2, bottom + 16, "steps since the input"))
    title = (
        "What is left of an input after 0 to 30 steps: with the factor 0.9 it fades, with −0.9 it also changes its "
        "sign, and with a complex factor it oscillates."
    )
    return picture("turning", title, bottom + 24, parts)


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
        "a 1 multiplies by −1 and adds 1: it flips": signed,
        "the RNN of two units, with a product: it flips": product,
    }
    parts: list[str] = []
    for row, (title, values) in enumerate(rows.items()):
        parts += panel(GAP + row * (HEIGHT + GAP), title, 0, np.array(values[1:]))
    bottom = len(rows) * (HEIGHT + GAP) + 18
    xs = LEFT + (WIDTH - LEFT - 8) * np.arange(len(bits)) / (len(bits) - 1)
    parts += [text(x, bottom, bit) for x, bit in zip(xs, bits, strict=True)]
    parts.append(text(LEFT - 12, bottom, "bit", "end"))
    title = (
        "Three memories that read the same bits. With a positive factor the memory only grows; with a factor of −1, "
        "and in an RNN of two units, each 1 flips it."
    )
    return picture("parity", title, bottom + 8, parts)


PICTURES = {"turning": turning, "parity": parity}


if __name__ == "__main__":
    svg.write(PICTURES)
