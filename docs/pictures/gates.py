"""The pictures of the chapter on the LSTM and the GRU: `python docs/pictures/gates.py`.

The circuits have one layout: x enters from below, the state from the left, a circle is a gate, and the blue line is the
way of the state to the next step. For the coloured text it trains an LSTM on Python's manual for half a minute.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import svg
import tinygrad_rnn as rnn
from svg import (
    BLUE,
    GREEN,
    GROUND,
    INK,
    ORANGE,
    WIDTH,
    Chart,
    arrow,
    box,
    dots,
    maths,
    picture,
    signed,
    tag,
    text,
    wire,
)
from tinygrad_rnn import datasets

TOP, PRODUCT, GATES, SUM, BIAS, INPUT, HEIGHT = 30, 92, 152, 210, 272, 304, 350  # rows
START, X, END = 38, 106, 322  # columns: where states enter, that of x, and where states leave
WIDE = 2.6  # the way of the state


def operation(x: float, y: float, sign: str) -> str:
    """A sum or a product, entry by entry."""
    circle = tag("circle", cx=x, cy=y, r=9, fill=GROUND, stroke=INK, stroke_width=1.2)
    return circle + text(x, y + 5.5, sign, font_size=17)


def gate(x: float, name: str) -> str:
    circle = tag("circle", cx=x, cy=GATES, r=14, fill=GROUND, stroke=ORANGE, stroke_width=1.8)
    return circle + maths(x, GATES + 5, "σ", colour=ORANGE) + maths(x + 5, GATES - 20, name, "start", ORANGE)


def tanh(x: float, y: float, name: str = "") -> str:
    around = box(x, y, 38, 24, rx=5, fill=GROUND, stroke=GREEN, stroke_width=1.8)
    return around + maths(x, y + 5, "tanh", colour=GREEN) + maths(x + 5, y - 20, name, "start", GREEN)


def product(x: float, y: float, name: str) -> str:
    """With a matrix."""
    return box(x, y, 28, 24, fill=GROUND, stroke=INK, stroke_width=1.2) + maths(x, y + 4, name)


def sums() -> list[str]:
    """What all three have: x from below and h from the left, each times its weights, are added."""
    return [
        arrow([(X, HEIGHT - 20), (X, INPUT + 12)]),
        arrow([(X, INPUT), (X, BIAS + 9)]),
        arrow([(X, BIAS), (X, SUM + 9)]),
        arrow([(X + 30, BIAS), (X + 9, BIAS)]),
        maths(X, HEIGHT - 6, "x_t"),
        product(X, INPUT, "W_x"),
        operation(X, BIAS, "+"),
        maths(X + 33, BIAS + 5, "b", "start"),
        product(START + 32, SUM, "W_h"),
        operation(X, SUM, "+"),
    ]


def leaves(y: float, name: str) -> str:
    return maths(END + 4, y + 5, name, "start")


def output(y: float) -> str:
    return leaves(y, "h_t") + maths(WIDTH, y + 24, "= y_t", "end")


def enters(y: float, name: str) -> str:
    return maths(START - 4, y + 5, name, "end")


def rnn_() -> str:
    out = 224
    parts = [
        wire([(START, TOP), (START + 4, TOP), (START + 4, SUM), (X, SUM)], BLUE, width=WIDE),
        arrow([(X, SUM), (out, SUM), (out, TOP), (END, TOP)], BLUE, width=WIDE),
        *sums(),
        maths(X + 14, SUM - 8, "a_t", "start"),
        tanh(out, GATES),
        enters(TOP, "h_{t−1}"),
        output(TOP),
    ]
    title = "An RNN as a circuit. The state goes to the next step only through the weights and the tanh."
    return picture("rnn", title, HEIGHT, parts, half=True)


def lstm() -> str:
    f, i, g, o, h = 142, 182, 224, 264, 296
    parts = [
        arrow([(START, TOP), (END, TOP)], BLUE, width=WIDE),
        wire([(START, SUM), (X, SUM)]),
        wire([(X, SUM), (o, SUM), (o, GATES)]),
        *(wire([(x, SUM), (x, GATES)]) for x in (f, i, g)),
        dots([(x, SUM) for x in (f, i, g)]),
        *sums(),
        *(maths(x + 4, SUM - 14, f"a^{name}_t", "start") for x, name in ((f, "f"), (i, "i"), (g, "g"), (o, "o"))),
        arrow([(f, GATES), (f, TOP + 9)], ORANGE),
        arrow([(i, GATES), (i, PRODUCT), (g - 9, PRODUCT)], ORANGE),
        arrow([(g, GATES), (g, PRODUCT + 9)], GREEN),
        arrow([(g, PRODUCT), (g, TOP + 9)]),
        dots([(h, TOP)], BLUE, 3),
        arrow([(h, TOP), (h, GATES - 9)]),
        arrow([(o, GATES), (h - 9, GATES)], ORANGE),
        arrow([(h, GATES), (h, SUM), (END, SUM)]),
        operation(f, TOP, "×"),
        operation(g, TOP, "+"),
        operation(g, PRODUCT, "×"),
        operation(h, GATES, "×"),
        gate(f, "f_t"),
        gate(i, "i_t"),
        tanh(g, GATES, "g_t"),
        gate(o, "o_t"),
        tanh(h, (TOP + GATES) / 2),
        enters(TOP, "c_{t−1}"),
        leaves(TOP, "c_t"),
        enters(SUM, "h_{t−1}"),
        output(SUM),
    ]
    title = (
        "An LSTM as a circuit. The memory c goes straight to the next step: it is multiplied by the gate f, and i "
        "times g is added. The output h is the gate o times the tanh of the memory."
    )
    return picture("lstm", title, HEIGHT, parts, half=True)


def gru() -> str:
    z, r, reset, n = 142, 182, 234, 266
    low, lower = SUM + 22, SUM + 42  # what n gets of h, and of x
    bias = (r + reset) / 2
    parts = [
        arrow([(START, TOP), (END, TOP)], BLUE, width=WIDE),
        dots([(START + 4, TOP)], BLUE, 3),
        wire([(START + 4, TOP), (START + 4, SUM), (X, SUM)]),
        wire([(X, SUM), (r, SUM), (r, GATES)]),
        wire([(z, SUM), (z, GATES)]),
        dots([(z, SUM), (X - 16, SUM), (X, lower)]),
        *sums(),
        wire([(X - 16, low), (X + 16, low)], GROUND, width=6),
        wire([(X - 16, SUM), (X - 16, low), (n, low), (n, GATES)]),
        arrow([(X, lower), (n, lower), (n, low + 9)]),
        arrow([(bias, SUM - 2), (bias, low - 9)]),
        arrow([(z, GATES), (z, TOP + 9)], ORANGE),
        arrow([(z, PRODUCT), (n - 9, PRODUCT)], ORANGE),
        dots([(z, PRODUCT)], ORANGE),
        arrow([(r, GATES), (r, GATES - 30), (reset, GATES - 30), (reset, low - 9)], ORANGE),
        arrow([(n, GATES), (n, PRODUCT + 9)], GREEN),
        arrow([(n, PRODUCT), (n, TOP + 9)]),
        operation(z, TOP, "×"),
        operation(n, TOP, "+"),
        operation(n, PRODUCT, "×"),
        operation(bias, low, "+"),
        operation(reset, low, "×"),
        operation(n, low, "+"),
        maths(bias, SUM - 7, "b_h"),
        box((z + n) / 2, PRODUCT, 28, 22, rx=5, fill=GROUND, stroke=ORANGE, stroke_width=1.2),
        maths((z + n) / 2, PRODUCT + 5, "1−", colour=ORANGE),
        gate(z, "z_t"),
        gate(r, "r_t"),
        tanh(n, GATES, "n_t"),
        enters(TOP, "h_{t−1}"),
        output(TOP),
    ]
    title = (
        "A GRU as a circuit. The state h goes straight to the next step: it is multiplied by the gate z, and 1 − z "
        "times n is added. The gate r multiplies what n gets of the state."
    )
    return picture("gru", title, HEIGHT, parts)


def measure() -> dict[str, Any]:
    """The unit of a trained LSTM that tells best what is in quotes, on a held-out passage; as `look_inside.py` does."""
    words = datasets.pydoc_topics()
    tokenizer = rnn.CharTokenizer.from_text(words)
    ids, V, rng = tokenizer.encode(words), len(tokenizer), np.random.default_rng(0)
    model = rnn.Sequential(rnn.Embedding(V, 64, rng=rng), rnn.LSTMCell(64, 128, rng=rng), rnn.Linear(128, V, rng=rng))
    optimizer = rnn.Adam(model, rnn.schedules.cosine(0.01, steps=400), clip=rnn.ClipNorm(1.0))
    cut, middle = len(ids) * 18 // 20, len(ids) * 19 // 20  # for training, to find the unit, and to show it
    rnn.fit(model, rnn.SoftmaxCrossEntropy(), optimizer, rnn.TokenStream(ids[:cut], batch=32, steps=64), steps=400)

    def read(first: int, last: int) -> dict[str, Any]:
        values = rnn.record(model, ids[first:last, None])["layers.1"].values
        return {name: array[:, 0].astype(float) for name, array in values.items()}

    before, quoted = np.tanh(read(cut, middle)["c"]), in_quotes(words[cut:middle])
    correlations = [float(np.corrcoef(unit, quoted)[0, 1]) for unit in before.T]
    k = int(np.abs(correlations).argmax())
    sign = np.sign(correlations[k])
    start = words.index("   * if", middle)
    passage = words[start : words.index("\n\n", start + 400)]
    seen = {name: array[start - middle :, k] for name, array in read(middle, start + len(passage)).items()}
    print(f"unit {k}, correlation {correlations[k]:+.2f}")
    kept = {"f": seen["f"], "i g": sign * seen["i"] * seen["g"], "tanh c": sign * np.tanh(seen["c"])}
    return {
        "unit": k,
        "correlation": round(correlations[k], 2),
        "text": passage,
        "values": {name: array.round(2).tolist() for name, array in kept.items()},
    }


def in_quotes(words: str) -> Any:
    """Whether each character is; a quote that is open at the end of a paragraph is closed there."""
    paragraphs = re.split(r"(?<=\n\n)", words)
    return np.concatenate([np.cumsum([letter == '"' for letter in part]) % 2 for part in paragraphs if part])


class Word(NamedTuple):
    """A word of the passage, and the space after it."""

    letters: str
    start: int
    row: int
    column: int
    values: list[float]
    """Of the unit, from -1 to 1: one for each letter, and that for the space where the row goes on."""


def passage(columns: int) -> Iterator[Word]:
    """The words in rows of so many letters at most. Spaces and ends of lines are one space."""
    numbers = svg.kept(__file__)
    row, column = 0, 0
    for found in re.finditer(r"(\S+)(\s*)", numbers["text"]):
        letters, space = found.groups()
        if column + len(letters) > columns:
            row, column = row + 1, 0
        count = min(len(letters) + 1, columns - column)
        yield Word(letters, found.start(), row, column, numbers["values"]["tanh c"][found.start() :][:count])
        row, column = (row + 2, 0) if "\n\n" in space else (row, column + len(letters) + 1)


def unit() -> str:
    across, down, parts, rows = 7.9, 20, [], 0
    for word in passage(44):
        places = [(word.column + i + 0.5) * across for i in range(len(word.letters) + 1)]
        for x, value in zip(places, word.values, strict=False):
            if value > 0.05:
                tile = {"fill": ORANGE, "fill_opacity": f"{0.4 * value:.2f}"}
                parts.append(box(x, 14 + down * word.row, across - 0.7, down - 2, **tile))
        xs = " ".join(map(svg.number, places[:-1]))
        parts.append(text(xs, 18 + down * word.row, word.letters, font_size=13, font_family="monospace"))
        rows = word.row + 1
    title = "A passage of Python's manual, coloured by one unit of an LSTM: the text in quotes has a strong colour."
    return picture("unit", title, 10 + down * rows, parts)


def memory() -> str:
    """What that unit does over a few words: the forget gate, what is added, and the memory."""
    numbers = svg.kept(__file__)
    first = numbers["text"].index('to an "')
    words = numbers["text"][first : numbers["text"].index("\n", first)]
    parts: list[str] = []
    top = 10.0
    for name, low, colour in (("f", 0, ORANGE), ("i g", -1, GREEN), ("tanh c", -1, BLUE)):
        chart = Chart(72, top, WIDTH - 4, top + 40 * (1 - low), (0, len(words)), (low, 1))
        parts += chart.rows({tick: signed(tick) for tick in sorted({low, 0, 1})})
        for i, value in enumerate(numbers["values"][name][first : first + len(words)]):
            (x, zero), (_, y) = chart.at(i + 0.5, 0), chart.at(i, value)
            parts.append(box(x, (zero + y) / 2, 11, abs(zero - y), fill=colour))
        parts.append(maths(0, (chart.top + chart.bottom) / 2 + 5, name, "start", colour))
        top = chart.bottom + 14
    xs = " ".join(svg.number(chart.at(i + 0.5, 0)[0]) for i in range(len(words)))
    parts.append(text(xs, top + 6, words.replace(" ", "␣"), font_size=13, font_family="monospace"))
    title = (
        "The same unit over one word in quotes. At both quotes the forget gate is closed; at the opening one something "
        "is added; in between the gate is open, and the memory stays."
    )
    return picture("memory", title, top + 14, parts)


PICTURES = {"rnn": rnn_, "lstm": lstm, "gru": gru, "unit": unit, "memory": memory}


if __name__ == "__main__":
    svg.keep(__file__, measure())
    svg.write(PICTURES)
