"""The pictures of the chapter on softmax and cross-entropy: `python docs/pictures/softmax.py`."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np

import svg
import tinygrad_rnn as rnn
from svg import BLUE, GREY, ORANGE, WIDTH, Chart, box, line, maths, picture, signed, text
from tinygrad_rnn import datasets


def bars(chart: Chart, values: list[float], names: str, colours: list[str]) -> list[str]:
    """A bar for each value, from 0, with its name below the chart."""
    parts = [line([chart.at(-0.6, 0), chart.at(len(values) - 0.4, 0)], GREY)]
    for i, (value, name, colour) in enumerate(zip(values, names, colours, strict=True)):
        x, y = chart.at(i, value / 2)
        high = abs(chart.at(i, value)[1] - chart.at(i, 0)[1])
        parts.append(box(x, y, 0.72 * (chart.at(1, 0)[0] - chart.at(0, 0)[0]), high, fill=colour))
        parts.append(text(x, chart.bottom + 16, name))
    return parts


def measure() -> dict[str, int]:
    """How often the ten commonest letters follow an r in Python's manual, which is not the same in each version."""
    words = datasets.pydoc_topics().lower()
    counts = Counter(after for before, after in pairwise(words) if before == "r" and after.isalpha())
    return dict(counts.most_common(10))


def temperature() -> str:
    """The letters after an r, at three temperatures."""
    names, numbers = zip(*svg.kept(__file__).items(), strict=True)
    parts: list[str] = []
    for row, tau in enumerate((0.5, 1.0, 2.0)):
        p = rnn.Softmax()(np.log(numbers) / tau)
        chart = Chart(84, 14 + 104 * row, WIDTH - 14, 84 + 104 * row, (0, 9), (0, 0.62))
        parts += bars(chart, list(p), "".join(names), [BLUE] * 10)
        parts.append(maths(8, chart.bottom - 20, f"τ = {tau:g}", "start"))
        parts += [text(chart.at(i, 0)[0], chart.at(i, p[i])[1] - 5, f"{p[i]:.2f}") for i in (0, 9)]
    title = (
        "The probabilities of ten letters at the temperatures 0.5, 1 and 2: at a lower temperature, the likeliest "
        "letter has more of the probability."
    )
    return picture("temperature", title, 312, parts)


def difference() -> str:
    """One row of logits: the probabilities, the target, and the gradient of the loss."""
    logits = np.array([[1.0, 2.0, 0.5, -1.0, 0.0]])
    p = rnn.Softmax()(logits)[0]
    q = np.eye(5)[2]
    criterion = rnn.SoftmaxCrossEntropy()
    _, cache = criterion.forward(logits, np.array([2]))
    gradient = criterion.backward(cache)[0]
    parts: list[str] = []
    top = 22.0
    rows = {
        "p": ("probabilities", p, (0, 0.7)),
        "q": ("target", q, (0, 1)),
        "p − q": ("gradient", gradient, (-1.1, 0.7)),
    }
    for name, (meaning, values, (low, high)) in rows.items():
        chart = Chart(120, top, WIDTH - 26, top + 74 * (high - low), (0, 4), (low, high))
        colours = [ORANGE if value < 0 else GREY if name == "q" else BLUE for value in values]
        parts += bars(chart, list(values), "01234" if low else "     ", colours)
        for i, value in enumerate(values):
            x, y = chart.at(i, value)
            if value:
                parts.append(text(x, y + (13 if value < 0 else -5), signed(value, ".2g" if name == "q" else ".2f")))
        zero = chart.at(0, 0)[1]
        parts += [maths(8, zero - 20, name, "start"), text(8, zero - 4, meaning, "start")]
        top = chart.bottom + (30 if low else 34)
    title = "The probabilities, the target, and the gradient, their difference, which is negative only at the target."
    return picture("difference", title, top, parts)


PICTURES = {"temperature": temperature, "difference": difference}


if __name__ == "__main__":
    svg.keep(__file__, measure())
    svg.write(PICTURES)
