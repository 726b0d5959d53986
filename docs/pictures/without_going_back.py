"""The pictures of the chapter "Without going back": run it with `python docs/pictures/without_going_back.py`.

It trains a small LSTM on Python's manual for half a minute, and needs matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import tinygrad_rnn as rnn
from tinygrad_rnn import datasets, plotting
from tinygrad_rnn.plotting.colours import PALETTE
from tinygrad_rnn.through_time import EProp, SnAp1, TruncatedBPTT, bias_report
from tinygrad_rnn.through_time.schedule import first_stop

FOLDER = Path(__file__).parents[1] / "_static" / "learn"


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


def schedule() -> Figure:
    """Three ways to go back through ten blocks."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, states in zip(figure.subplots(1, 3, sharey=True, width_ratios=(19, 25, 55)), (9, 3, 1), strict=True):
        runs, kept = blocks_over_time(10, states)
        for block, since, until in kept:
            axes.plot((since - 0.4, until + 0.4), (block - 0.5, block - 0.5), color=PALETTE[4], linewidth=2)
        for time, block, both in runs:
            axes.plot(time, block, "s" if both else "o", color=PALETTE[1 if both else 0], markersize=5 if both else 3)
        axes.set_title(f"{states} state{'s' * (states > 1)}: {len(runs)} blocks", fontsize="medium")
        axes.set_xlabel("time")
        axes.set_yticks(range(10))
        axes.grid(alpha=0.2)
        if states == 9:
            axes.set_ylabel("block")
    return figure


def bias() -> Figure:
    """What each method sees of the gradient of an LSTM that has read the manual for a while."""
    text = datasets.pydoc_topics()[:200_000]
    tokenizer = rnn.CharTokenizer.from_text(text)
    ids, rng, V = tokenizer.encode(text), np.random.default_rng(0), len(tokenizer)
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
    return plotting.bias(report)


def main() -> None:
    mpl.rcParams["svg.hashsalt"] = "1"  # so that the same picture is the same file
    for name, figure in (("schedule", schedule()), ("bias", bias())):
        figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
