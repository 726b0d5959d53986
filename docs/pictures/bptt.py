"""The pictures of the chapter on back-propagation through time: `python docs/pictures/bptt.py`."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import svg
import tinygrad_rnn as rnn
from svg import BLUE, GREY, INK, ORANGE, WIDTH, arrow, box, line, maths, picture, tag, text


def circle(x: float, y: float, radius: float) -> str:
    return tag("circle", cx=x, cy=y, r=radius, fill="none", stroke=INK, stroke_width=1.4)


def unrolled() -> str:
    """Three steps: forward in ink, backward in blue and dashed."""
    y, r, columns = 112, 19, (84, 178, 272)
    parts = [maths(4, y + 5, "h_0", "start")]
    for t, x in enumerate(columns, 1):
        parts += [circle(x, y, r), maths(x, y + 5, f"h_{t}")]
    starts, ends = [26, *(x + r + 3 for x in columns)], [*(x - r - 3 for x in columns), WIDTH - 2]
    for t, (left, right) in enumerate(zip(starts, ends, strict=True)):  # from h_t to the next step
        parts += [arrow([(left, y - 6), (right, y - 6)]), arrow([(right, y + 6), (left, y + 6)], BLUE, "4 3")]
        if t < 3:
            parts.append(maths((left + right) / 2, y - 14, "W_h"))
        parts.append(maths((left + right) / 2, y + 22, f"dh_{t}", colour=BLUE))
    for t, x in enumerate(columns, 1):
        parts += [maths(x, 18, f"y_{t}"), maths(x, 216, f"x_{t}")]
        parts += [arrow([(x - 6, y - r - 2), (x - 6, 28)]), arrow([(x + 6, 28), (x + 6, y - r - 2)], BLUE, "4 3")]
        parts += [arrow([(x - 6, 200), (x - 6, y + r + 2)]), arrow([(x + 6, y + r + 2), (x + 6, 200)], BLUE, "4 3")]
        parts += [maths(x - 12, 182, "W_x", "end"), maths(x + 12, 182, f"dx_{t}", "start", BLUE)]
        parts.append(maths(x + 12, 60, f"dy_{t}", "start", BLUE))
    title = (
        "The network unrolled over three steps. Forward, each state goes to its output and to the next state. "
        "Backward, the gradients take the same paths in the opposite direction."
    )
    return picture("unrolled", title, 226, parts)


def cut() -> str:
    """Two chunks of three steps: the state passes the cut, the gradient does not."""
    y, r, columns = 88, 14, [36 + 55.6 * t for t in range(6)]
    border = (columns[2] + columns[3]) / 2
    parts = [line([(border, 16), (border, y - 18)], GREY, "2 3")]
    parts += [text(border / 2 + 8, 12, "a chunk"), text((border + WIDTH) / 2 - 8, 12, "the next chunk")]
    for t, x in enumerate(columns, 1):
        parts += [circle(x, y, r), maths(x, y + 5, f"h_{t}", size=14), maths(x, 38, f"L_{t}", size=14)]
        parts += [arrow([(x - 4, y - r - 2), (x - 4, 46)]), arrow([(x + 4, 46), (x + 4, y - r - 2)], BLUE, "4 3")]
    for x, after in pairwise(columns):
        left, right = x + r + 2, after - r - 2
        parts.append(arrow([(left, y - 5), (right, y - 5)]))
        if x < border < after:
            parts.append(line([(right, y + 5), (border, y + 5)], ORANGE, "4 3"))
            parts.append(text(border, y + 10, "✕", fill=ORANGE, font_size=15, font_weight="bold"))
            parts.append(text(border, y + 27, "None", fill=ORANGE, font_family="monospace"))
        else:
            parts.append(arrow([(right, y + 5), (left, y + 5)], BLUE, "4 3"))
    title = "Truncation: the state is carried from one chunk to the next, but no gradient goes back."
    return picture("cut", title, 122, parts)


def terms() -> str:
    """The norm of each term of the gradients w.r.t. the states, and which of them chunks of four leave out."""
    T, B, H, chunk = 12, 8, 16, 4
    rng = np.random.default_rng(0)
    cell = rnn.RNNCell(8, H, rng=rng).to(dtype="float64")
    xs, dys = rng.standard_normal((T, B, 8)), rng.standard_normal((T, B, H))
    state, caches = cell.initial_state(B), []
    for x in xs:
        _, state, cache = cell.step_forward(x, state)
        caches.append(cache)
    side, left, top = 22, 62, 44
    parts = [
        text(left + T * side / 2, 12, "from the loss of step u"),
        text(left - 36, top + T * side / 2, "to the state of step t", transform=f"rotate(-90 {left - 36} 176)"),
    ]
    for u in range(T):
        parts.append(
            text(left + side * (u + 0.5), top - 8, u + 1) + text(left - 8, top + side * (u + 0.5) + 4, u + 1, "end")
        )
        dstate = (dys[u],)
        first = np.linalg.norm(dys[u])
        for t in range(u, -1, -1):
            colour, part = BLUE if t // chunk == u // chunk else ORANGE, np.linalg.norm(dstate[0]) / first
            where = left + side * (u + 0.5), top + side * (t + 0.5), side - 2, side - 2
            parts.append(box(*where, fill=colour, fill_opacity=f"{0.08 + 0.92 * part:.2f}"))
            _, dstate = cell.step_backward(np.zeros((B, H)), dstate, caches[t])
    y = top + T * side
    parts += [box(left + 9, y - 52, 16, 16, fill=BLUE), text(left + 24, y - 48, "kept", "start")]
    parts += [box(left + 9, y - 30, 16, 16, fill=ORANGE), text(left + 24, y - 26, "left out", "start")]
    title = (
        "The gradient of each loss w.r.t. each earlier state; a stronger colour means a larger norm. Chunks of four "
        "keep the triangles at the diagonal and leave out the rest, which is largest just beside the cuts."
    )
    return picture("terms", title, y + 8, parts)


PICTURES = {"unrolled": unrolled, "cut": cut, "terms": terms}


if __name__ == "__main__":
    svg.write(PICTURES)
