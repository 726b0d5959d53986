"""The pictures of the chapter "Without going back": `python docs/pictures/without_going_back.py`.

It trains a small LSTM on Python's manual for half a minute, and keeps what each method saw of its gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import svg
import tinygrad_rnn as rnn
from svg import BLUE, GREEN, ORANGE, WIDTH, Chart, box, dots, line, picture, text
from tinygrad_rnn import datasets
from tinygrad_rnn.through_time import EProp, SnAp1, TruncatedBPTT, bias_report
from tinygrad_rnn.through_time.schedule import first_stop

STYLES = {
    "truncated at 1": (BLUE, "2 3"),
    "truncated at 5": (BLUE, "6 3"),
    "truncated at 25": (BLUE, ""),
    "SnAp-1": (ORANGE, ""),
    "e-prop": (GREEN, ""),
}


def blocks_over_time(blocks: int, states: int) -> tuple[list[tuple[int, int, bool]], list[tuple[int, int, int]]]:
    """Of a schedule: each run of a block, (time, block, with its backward); and each state, (block, from, to)."""
    runs: list[tuple[int, int, bool]] = []
    kept: list[tuple[int, int, int]] = []

    def back(first: int, last: int, room: int) -> None:
        while last - first > 1:
            stop = first + first_stop(last - first, room)
            for block in range(first, stop):
                runs.append((len(runs), block, False))
            since = len(runs)
            back(stop, last, room - 1)
            kept.append((stop, since, len(runs) - 1))
            last = stop
        runs.append((len(runs), first, True))

    back(0, blocks, states)
    return runs, [*kept, (0, 0, len(runs) - 1)]


def schedule() -> str:
    """Three ways to go back through ten blocks."""
    parts: list[str] = []
    top, height = 28, 84
    for states in (9, 3, 1):
        runs, kept = blocks_over_time(10, states)
        chart = Chart(24, top, WIDTH - 6, top + height, (0, 54), (0, 9))
        name = f"{states} state{'s' * (states > 1)}: {len(runs)} blocks are run"
        parts.append(text(12, top - 13, name, "start", font_weight="bold"))
        parts += [text(12, chart.at(0, block)[1] + 4, block) for block in (0, 9)]
        for block, since, until in kept:
            parts.append(line([chart.at(since - 0.4, block - 0.5), chart.at(until + 0.4, block - 0.5)], GREEN, width=2))
        parts.append(dots([chart.at(time, block) for time, block, both in runs if not both], BLUE))
        parts += [box(*chart.at(time, block), 6, 6, fill=ORANGE) for time, block, both in runs if both]
        top += height + 38
    parts.append(text(WIDTH / 2 + 9, top - 14, "time"))
    title = "Back through ten blocks: nine stored states take 19 runs of a block, three take 25, one takes 55."
    return picture("schedule", title, top - 8, parts)


def measure() -> dict[str, Any]:
    """What each method sees of the gradient of an LSTM that has read the manual for a while."""
    words = datasets.pydoc_topics()[:200_000]
    tokenizer = rnn.CharTokenizer.from_text(words)
    ids, rng, V = tokenizer.encode(words), np.random.default_rng(0), len(tokenizer)
    layers = rnn.Embedding(V, 8, rng=rng), rnn.LSTMCell(8, 24, rng=rng), rnn.Linear(24, V, rng=rng)
    model = rnn.Sequential(*layers)
    optimizer = rnn.Adam(model, rnn.schedules.cosine(0.01, steps=1500), clip=rnn.ClipNorm(1.0))
    rnn.fit(model, rnn.SoftmaxCrossEntropy(), optimizer, rnn.TokenStream(ids, batch=32, steps=64), steps=1500)
    model.to(dtype="float64")
    starts = rng.integers(len(ids) - 65, size=8)
    texts = ids[starts + np.arange(65)[:, None]]
    methods: dict[str, Any] = {
        "truncated at 1": TruncatedBPTT(1, 1),
        "truncated at 5": TruncatedBPTT(1, 5),
        "truncated at 25": TruncatedBPTT(1, 25),
        "SnAp-1": SnAp1(),
        "e-prop": EProp(),
    }
    report = bias_report(methods, model, rnn.SoftmaxCrossEntropy(), [rnn.Batch(texts[:-1], texts[1:])])
    print(report)
    seen = {  # the length of a part along the exact one
        name: [0.0 if part.norm == 0 else round(part.cosine * part.norm, 4) for part in found]
        for name, found in report.by_distance.items()
    }
    cosines = {name: round(found[""].cosine, 4) for name, found in report.parameters.items()}
    return {"distances": report.distances, "seen": seen, "cosines": cosines}


def bias() -> str:
    """How much of the gradient each method sees, by distance; in the legend how close the whole gradient is."""
    numbers = svg.kept(__file__)
    bands = [f"{first}" if first == last else f"{first}–{last}" for first, last in numbers["distances"]]
    chart = Chart(36, 132, WIDTH - 20, 290, (0, len(bands) - 1), (0, 1))
    parts = chart.rows({0: "0", 0.5: "½", 1: "all"}) + chart.columns(dict(enumerate(bands)))
    parts.append(text(176, 14, "cosine of the whole gradient", "start"))
    for row, (name, (colour, dashes)) in enumerate(STYLES.items()):
        y = 32 + 17 * row
        parts.append(chart.curve(range(len(bands)), numbers["seen"][name], colour, dashes))
        parts.append(dots([chart.at(i, value) for i, value in enumerate(numbers["seen"][name])], colour, 2.6))
        parts.append(line([(36, y - 4), (62, y - 4)], colour, dashes, 1.8) + dots([(49, y - 4)], colour, 2.6))
        parts.append(text(70, y, name, "start") + text(176, y, f"{numbers['cosines'][name]:.3f}", "start"))
    parts.append(text((36 + WIDTH - 20) / 2, 324, "steps between the loss and the use of a weight"))
    title = (
        "How much of the gradient each method sees. Truncation sees all up to its last step and nothing beyond; "
        "SnAp-1 and e-prop see a part at every distance."
    )
    return picture("bias", title, 332, parts)


PICTURES = {"schedule": schedule, "bias": bias}


if __name__ == "__main__":
    svg.keep(__file__, measure())
    svg.write(PICTURES)
