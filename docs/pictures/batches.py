"""The pictures of the chapter on batches: `python docs/pictures/batches.py`."""

from __future__ import annotations

import numpy as np

import svg
import tinygrad_rnn as rnn
from svg import BLUE, GREY, GROUND, INK, ORANGE, WIDTH, arrow, box, dots, line, maths, picture, tag, text


def step(x: float, y: float, token: str) -> str:
    """An input above the line of the state at y, and the step that reads it."""
    circle = tag("circle", cx=x, cy=y, r=8, fill=GROUND, stroke=BLUE, stroke_width=2.2)
    above = box(x, y - 34, 24, 24, fill=GROUND, stroke=INK) + text(x, y - 29, token, font_size=14)
    return above + arrow([(x, y - 22), (x, y - 9)]) + circle


def begins(x: float, y: float) -> str:
    """The initial state."""
    return dots([(x, y)], ORANGE, 4.5)


def readers() -> str:
    """Two cells that read four inputs, one from each end."""
    forth, back, columns = 152, 98, [52 + 82 * t for t in range(4)]
    parts = [arrow([(12, forth), (WIDTH - 8, forth)], BLUE, width=2.6)]
    parts.append(arrow([(WIDTH - 8, back), (12, back)], ORANGE, width=2.6))
    for t, x in enumerate(columns, 1):
        parts += [maths(x, 228, f"x_{t}"), maths(x, 22, f"y_{t}")]
        for side, y, name, colour in ((-15, forth, "f", BLUE), (15, back, "g", ORANGE)):
            parts.append(arrow([(x + side * 0.35, 212), (x + side, 196), (x + side, y + 14)]))
            parts.append(arrow([(x + side, y - 14), (x + side, 46), (x + side * 0.35, 30)]))
            parts.append(tag("circle", cx=x + side, cy=y, r=14, fill=GROUND, stroke=colour, stroke_width=2.2))
            parts.append(maths(x + side, y + 4, f"{name}_{t}", size=14))
    title = "Two cells read four inputs, one from each end; each output holds the states of both."
    return picture("readers", title, 236, parts)


def padded() -> str:
    """A batch of three rows: past its length, the state of a row is handed on as it is."""
    ids, lengths = rnn.pad([np.array([3, 1, 4, 1, 5]), np.array([2, 7]), np.array([1, 8, 2])])
    columns = [64 + 44 * t for t in range(len(ids))]
    parts = [text(columns[-1] + 44, 12, "lengths")]
    parts += [maths(x, 12, f"t = {t}" if t == 1 else str(t), size=13) for t, x in enumerate(columns, 1)]
    for row, length in enumerate(lengths.tolist()):
        y = 66 + 66 * row
        parts.append(line([(24, y), (columns[length - 1], y)], BLUE, width=2.6))
        parts.append(arrow([(columns[length - 1], y), (WIDTH - 24, y)], BLUE, "5 3" * (length < 5), 2.6))
        parts += [begins(24, y), maths(WIDTH - 20, y + 5, "h", "start", BLUE)]
        parts.append(text(columns[-1] + 44, y - 29, length, font_size=14, font_weight="bold"))
        for x, token, reads in zip(columns, ids[:, row], np.arange(len(ids)) < length, strict=True):
            if reads:
                parts.append(step(x, y, token))
            else:
                parts.append(box(x, y - 34, 24, 24, fill="none", stroke=GREY, stroke_dasharray="3 3"))
                parts.append(text(x, y - 29, token, font_size=14, fill=GREY))
    title = (
        "Three rows of 5, 2 and 3 inputs in one batch. Each row reads only its own inputs; past them, its state stays "
        "unchanged."
    )
    return picture("padded", title, 212, parts)


def starts() -> str:
    """Four documents in two rows, which are read in two chunks."""
    texts = ["the sun", "is up", "a bird", "sings."]
    tokenizer = rnn.CharTokenizer.from_text("".join(texts))
    chunks = list(rnn.TokenStream([tokenizer.encode(words) for words in texts], batch=2, steps=5))
    columns = [40 + 30 * t + 10 * (t >= 5) for t in range(10)]
    border = (columns[4] + columns[5]) / 2
    parts = [line([(border, 0), (border, 156)], GREY, "3 3")]
    parts += [text(columns[2], 12, "first chunk"), text(columns[7], 12, "second chunk")]
    for row in range(2):
        y = 70 + 66 * row
        letters = tokenizer.decode(np.concatenate([chunk.xs[:, row] for chunk in chunks]))
        begin = np.flatnonzero(np.concatenate([chunk.starts[:, row] for chunk in chunks]))
        for first, last in zip(begin, [*begin[1:], 10], strict=True):
            end = columns[last - 1] + (28 if last == 10 else 0)
            parts.append((arrow if last == 10 else line)([(columns[first] - 12.5, y), (end, y)], BLUE, width=2.6))
            parts.append(begins(columns[first] - 12.5, y))
        parts += [step(x, y, letter.replace(" ", "␣")) for x, letter in zip(columns, letters, strict=True)]
    title = (
        "Four documents in two rows. The state is carried from the first chunk to the second, and becomes the initial "
        "state where a document begins."
    )
    return picture("starts", title, 160, parts)


PICTURES = {"readers": readers, "padded": padded, "starts": starts}


if __name__ == "__main__":
    svg.write(PICTURES)
