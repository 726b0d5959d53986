"""The pictures of the chapter on vanishing gradients: `python docs/pictures/vanishing.py`.

It trains three models on Python's manual, for some seconds, and keeps how long their gradients are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import svg
import tinygrad_rnn as rnn
from svg import BLUE, GREEN, GREY, INK, ORANGE, WIDTH, Chart, arrow, dots, line, maths, picture, tag, text
from tinygrad_rnn import datasets

STEPS = 100
CELLS: dict[str, tuple[Any, str]] = {
    "RNN": (rnn.RNNCell, ORANGE),
    "GRU": (rnn.GRUCell, GREEN),
    "LSTM": (rnn.LSTMCell, BLUE),
}


def measure() -> dict[str, list[float]]:
    """By cell: the norm of the gradient of the last loss w.r.t. the state, 0 to 99 steps back, of 32 held-out texts."""
    words = datasets.pydoc_topics()
    tokenizer = rnn.CharTokenizer.from_text(words)
    ids, V = tokenizer.encode(words), len(tokenizer)
    cut = len(ids) * 9 // 10
    starts = np.random.default_rng(0).integers(cut, len(ids) - STEPS, size=32)
    texts = ids[starts + np.arange(STEPS + 1)[:, None]]
    last = np.where(np.arange(STEPS)[:, None] == STEPS - 1, texts[1:].astype(int), -1)  # -1: no loss at this step
    norms = {}
    for name, (kind, _) in CELLS.items():
        rng = np.random.default_rng(0)
        model = rnn.Sequential(rnn.Embedding(V, 32, rng=rng), kind(32, 64, rng=rng), rnn.Linear(64, V, rng=rng))
        optimizer = rnn.Adam(model, rnn.schedules.cosine(0.005, steps=400), clip=rnn.ClipNorm(1.0))
        rnn.fit(model, rnn.SoftmaxCrossEntropy(), optimizer, rnn.TokenStream(ids[:cut], batch=32, steps=64), steps=400)
        found = rnn.record(model.to(dtype="float64"), texts[:-1], last)["layers.1"].gradients["h"]
        norms[name] = [float(f"{norm:.3g}") for norm in np.linalg.norm(found, axis=(1, 2))[::-1]]
    return norms


def flow() -> str:
    """What is left of a gradient, on a logarithmic scale."""
    norms = {name: np.array(found) for name, found in svg.kept(__file__).items()}
    left = {name: np.log10(found / found[0]) for name, found in norms.items()}
    low = int(np.floor(min(found.min() for found in left.values())))
    chart = Chart(42, 16, WIDTH - 42, 236, (0, STEPS - 1), (low, 0))
    parts = chart.rows({0: 1} | dict.fromkeys(range(-4, low - 1, -4), ""))
    for power in range(-4, low - 1, -4):
        parts.append(maths(36, chart.at(0, power)[1] + 5, f"10^{{{svg.signed(power)}}}", "end", size=13))
    parts += chart.columns({step: step for step in range(0, STEPS, 20)})
    parts.append(text((chart.left + chart.right) / 2, chart.bottom + 34, "steps back"))
    free = 0.0
    for name, found in sorted(left.items(), key=lambda item: -item[1][-1]):
        colour, y = CELLS[name][1], max(free, chart.at(0, found[-1])[1] + 4)
        parts.append(chart.curve(range(STEPS), found, colour, width=2.2))
        parts.append(text(chart.right + 6, y, name, "start", fill=colour))
        free = y + 13
    title = "What is left of a gradient 0 to 99 steps back. " + "; ".join(
        f"{name}: {found[-1] / found[0]:.0e}" for name, found in norms.items()
    )
    return picture("flow", title, 278, parts)


GRADIENTS = np.array([[2.0, 8], [8.5, 3], [-8, 6.5], [-3, -2], [3, -9]])


def clipping() -> str:
    """Gradients of two entries, before and after."""
    parts: list[str] = []
    square = svg.box(86, 108, 78, 78, fill=ORANGE, fill_opacity="0.12", stroke=ORANGE)
    circle = tag("circle", cx=264, cy=108, r=39, fill=ORANGE, fill_opacity="0.12", stroke=ORANGE)
    kinds: dict[str, tuple[float, str, Any]] = {
        "by value, at 5": (86, square, rnn.ClipValue(5.0)),
        "by norm, at 5": (264, circle, rnn.ClipNorm(5.0)),
    }
    for name, (middle, limit, clip) in kinds.items():
        chart = Chart(middle - 78, 30, middle + 78, 186, (-10, 10), (-10, 10))
        x, y = chart.at(0, 0)
        parts += [text(middle, 14, name, font_weight="bold"), limit]
        parts += [
            line([(chart.left, y), (chart.right, y)], GREY, width=0.5),
            line([(x, 30), (x, 186)], GREY, width=0.5),
        ]
        for gradient in GRADIENTS:
            after = gradient.copy()
            clip(after)
            parts.append(arrow([(x, y), chart.at(*gradient)], GREY, "3 3"))
            parts.append(arrow([(x, y), chart.at(*after)], BLUE, width=2))
    title = (
        "Five gradients of two entries. Clipped by value, they end in a square, and long ones change their direction; "
        "clipped by norm, they end in a circle and keep their direction."
    )
    return picture("clipping", title, 196, parts)


def cliff() -> str:
    """Gradient descent of one weight, over a loss with a cliff."""
    cell = rnn.RNNCell(1, 1, rng=np.random.default_rng(0)).to(dtype="float64")
    cell.b.value[:] = -0.3

    def loss(w: float) -> tuple[float, Any]:
        """Of h after 15 steps from 0.5, whose target is 0.3; and its gradient w.r.t. w."""
        cell.w_h.value[:] = w
        cell.zero_grad()
        _, (h,), cache = cell.forward(np.zeros((15, 1, 1)), (np.full((1, 1), 0.5),))
        cell.backward(None, (2 * (h - 0.3),), cache)
        return ((h - 0.3) ** 2).item(), cell.w_h.grad.ravel()

    def descent(clip: Any) -> list[tuple[float, float]]:
        w, path = 2.2, []
        for _ in range(14):
            value, gradient = loss(w)
            path.append((w, value))
            clip(gradient)
            w -= 0.15 * gradient.item()
        return path

    chart = Chart(34, 18, WIDTH - 14, 214, (1.5, 2.25), (0, 1.7))
    ws = np.arange(1.5, 2.2501, 0.0025)
    parts = chart.rows({0: 0, 0.5: "0.5", 1: 1, 1.5: "1.5"}) + chart.columns({w: w for w in (1.6, 1.8, 2.0, 2.2)})
    parts += [chart.curve(ws, [loss(w)[0] for w in ws], INK, width=1.2), text(34, 8, "loss", "end")]
    parts.append(maths((chart.left + chart.right) / 2, 246, "w"))
    plain, clip = descent(lambda gradient: None), descent(rnn.ClipNorm(1.0))
    fall = next(i for i, (w, _) in enumerate(plain) if w > 2.25)
    parts.append(dots([chart.at(*point) for point in clip[:fall]], INK, 3))
    x, y = chart.at(*plain[fall - 1])
    parts.append(arrow([(x, y), (chart.right, y)], ORANGE, width=2))
    parts.append(text(chart.right, y - 8, f"not clipped: on to w = {plain[fall][0]:.0f}", "end", fill=ORANGE))
    after = chart.at(*clip[fall])
    parts.append(arrow([(x, y), (after[0], after[1] - 5)], BLUE, width=2))
    parts.append(dots([chart.at(*point) for point in clip[fall:]], BLUE, 4))
    parts.append(text(after[0] + 12, after[1] - 28, "clipped", "start", fill=BLUE))
    title = (
        "The loss over one recurrent weight has a cliff. Gradient descent steps on it, and is thrown far away; if the "
        "gradient is clipped, it takes a short step back."
    )
    return picture("cliff", title, 252, parts)


PICTURES = {"flow": flow, "clipping": clipping, "cliff": cliff}


if __name__ == "__main__":
    svg.keep(__file__, measure())
    svg.write(PICTURES)
