"""The picture of the chapter on one step and its backward: `python docs/pictures/one_step.py`."""

from __future__ import annotations

import numpy as np

import svg
import tinygrad_rnn as rnn
from svg import BLUE, GROUND, INK, WIDTH, arrow, box, maths, picture, signed, tag, text


def graph() -> str:
    """A step with one unit and one input: what each edge carries forward, and below it, what comes back."""
    cell = rnn.RNNCell(1, 1, rng=np.random.default_rng(0)).to(dtype="float64")
    cell.w_x.value[:], cell.w_h.value[:], cell.b.value[:] = 0.8, -0.5, 0.1
    x, h_prev, dh = np.full((1, 1), 1.5), np.full((1, 1), 0.6), np.full((1, 1), 1.0)
    _, (h,), cache = cell.step_forward(x, (h_prev,))
    dx, (dh_prev,) = cell.step_backward(np.zeros((1, 1)), (dh,), cache)
    a, da = x @ cell.w_x.value + h_prev @ cell.w_h.value + cell.b.value, dh * (1 - h**2)
    inputs = {
        "x": (x, dx),
        "W_x": (cell.w_x.value, cell.w_x.grad),
        "h_{prev}": (h_prev, dh_prev),
        "W_h": (cell.w_h.value, cell.w_h.grad),
        "b": (cell.b.value, cell.b.grad),
    }

    def shown(value: object) -> str:
        return signed(np.asarray(value).item(), ".2f")

    products, add, squash = 146, (222, 138), 282
    rows = dict(zip(inputs, (26.0, 76.0, 140.0, 190.0, 248.0), strict=True))
    parts: list[str] = []
    for (name, (value, gradient)), y in zip(inputs.items(), rows.values(), strict=True):
        parts.append(maths(0, y, f"{name} = {shown(value)}", "start"))
        parts.append(maths(0, y + 18, f"d{name} = {shown(gradient)}", "start", BLUE))
    nodes = []
    for first, second in (("x", "W_x"), ("h_{prev}", "W_h")):
        y = (rows[first] + rows[second]) / 2 + 4
        for end, side in ((first, -9), (second, 9)):
            parts.append(arrow([(100, rows[end] + 4), (products, rows[end] + 4), (products, y + side)]))
        nodes.append((products, y, "×"))
        product = inputs[first][0] * inputs[second][0]
        parts += [text(products + 28, y - 7, shown(product)), text(products + 28, y + 17, shown(da), fill=BLUE)]
    (x0, above, _), (_, below, _) = nodes
    parts.append(arrow([(x0, above), (add[0], above), (add[0], add[1] - 9)]))
    parts.append(arrow([(x0, below), (add[0] - 24, below), (add[0] - 24, add[1]), (add[0] - 9, add[1])]))
    parts.append(arrow([(100, rows["b"] + 4), (add[0], rows["b"] + 4), (add[0], add[1] + 9)]))
    parts.append(arrow([add, (squash - 20, add[1])]) + arrow([(squash, add[1]), (WIDTH - 26, add[1])]))
    parts += [maths(246, add[1] - 28, "a"), text(246, add[1] - 10, shown(a))]
    parts.append(text(246, add[1] + 20, shown(da), fill=BLUE))
    parts += [maths(WIDTH - 22, add[1] - 28, "h"), text(WIDTH, add[1] - 10, shown(h), "end")]
    parts.append(text(WIDTH, add[1] + 20, shown(dh), "end", fill=BLUE))
    for at_x, at_y, sign in (*nodes, (*add, "+")):
        parts.append(tag("circle", cx=at_x, cy=at_y, r=9, fill=GROUND, stroke=INK, stroke_width=1.2))
        parts.append(text(at_x, at_y + 5.5, sign, font_size=17))
    parts.append(box(squash, add[1], 40, 24, rx=5, fill=GROUND, stroke=INK, stroke_width=1.2))
    parts.append(maths(squash, add[1] + 5, "tanh"))
    title = "One step with numbers: values go forward along the edges, and gradients come back along the same edges."
    return picture("graph", title, 276, parts)


PICTURES = {"graph": graph}


if __name__ == "__main__":
    svg.write(PICTURES)
