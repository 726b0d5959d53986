"""Gestures from a sensor
======================

A network tells four gestures apart by the readings of a sensor, in recordings of different lengths with gaps::

    python examples/sensors.py --plot sensors.png

It takes 7 seconds or less on one core. Of 1,000 recordings 15 % are held out to choose the best epoch, and 15 % to
measure. The figures are those of the seeds 0 to 2::

    linear model of summary statistics    accuracy 0.42 to 0.47    F1 0.42 to 0.47
    GRU of 32 units                       accuracy 0.98 to 1.00    F1 0.98 to 1.00

A recording has 20 to 80 readings of three channels, the acceleration along x, y and z. A hand draws a circle to the
left or to the right, an eight or a line; speed, size and beginning differ. 5 % of the readings are missing, and in a
third of the recordings one channel is silent for a while. Such a gap is NaN.

The linear model sees mean, deviation, minimum, maximum and share of gaps of each channel. These are the same for a
circle to the left and one to the right, which differ only in the order of the readings. For the GRU, `Standardize`
scales the channels, puts 0 into a gap, and says in three more channels where the gaps are. It is a part of the model
and of its file, so the model takes the readings as they come from the sensor.

Afterwards the model reads a recording of each gesture step by step. The picture shows the readings, and the probability
of the right gesture after each of them.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import tinygrad_rnn as rnn
from options import check_picture, check_ranges, make_parser, run
from tinygrad_rnn.training import metrics

GESTURES = ("left circle", "right circle", "eight", "line")


def record(gesture: int, rng: np.random.Generator) -> np.ndarray:
    """The readings (T, 3) of a gesture."""
    steps = rng.integers(20, 81)
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.uniform(0.25, 0.5) + 0.1 * rng.standard_normal(steps))
    y = (np.sin(angle), -np.sin(angle), np.sin(2 * angle), np.cos(angle))[gesture]
    z = 0.5 * np.cos(2 * angle) if gesture > 1 else np.zeros(steps)
    xs = rng.uniform(1, 3) * np.stack([np.cos(angle), y, z], axis=1) + [0, 0, 9.8] + 0.5 * rng.standard_normal(3)
    xs += 0.8 * rng.standard_normal(xs.shape)
    xs[rng.random(xs.shape) < 0.05] = np.nan
    if rng.random() < 1 / 3:
        start = rng.integers(steps)
        xs[start : start + steps // 3, rng.integers(3)] = np.nan
    return xs.astype("float32")


def statistics(xs: np.ndarray) -> np.ndarray:
    """What the linear model sees of a recording (T, 3), (15,)."""
    of_values = [f(xs, axis=0) for f in (np.nanmean, np.nanstd, np.nanmin, np.nanmax)]
    return np.concatenate([*of_values, np.isnan(xs).mean(axis=0)]).astype("float32")


def compare(args: argparse.Namespace) -> None:
    """A linear model of statistics, and a GRU that reads the recordings."""
    weights, data, order = np.random.default_rng(args.seed).spawn(3)
    labels = np.arange(args.recordings) % 4
    recordings = [record(label, data) for label in labels]
    train, valid, test = rnn.split(labels, fractions=(0.7, 0.15, 0.15), rng=data, stratify=labels)

    def batches(part: np.ndarray, rng: np.random.Generator | None = None) -> rnn.SequenceBatches:
        return rnn.SequenceBatches([recordings[i] for i in part], labels[part], batch=args.batch, rng=rng)

    criterion = rnn.SoftmaxCrossEntropy()
    measures = {"accuracy": metrics.Accuracy(), "F1": metrics.F1(4), "confusion": metrics.ConfusionMatrix(4)}
    features = np.stack([statistics(xs) for xs in recordings])
    linear = rnn.Sequential(rnn.Standardize.fit([features[train]]), rnn.Linear(15, 4, rng=weights))
    whole, tested = (rnn.Batch(features[None, part], labels[None, part]) for part in (train, test))
    rnn.fit(linear, criterion, rnn.Adam(linear, lr=0.05), [whole], steps=200, progress=False)
    found = rnn.measure(linear, criterion, [tested], metrics=measures)
    print(f"linear model of statistics: accuracy {found['accuracy']:.3f}, F1 {found['F1']:.3f}", flush=True)

    scale = rnn.Standardize.fit([recordings[i] for i in train], gaps="mark")
    encoder = rnn.Sequential(scale, rnn.GRUCell(scale.out_size, args.hidden, rng=weights))
    model = rnn.ManyToOne(encoder, rnn.Linear(args.hidden, 4, rng=weights), pool="last")
    optimizer = rnn.Adam(model, args.lr, clip=rnn.ClipNorm(1.0))
    source, held_out = batches(train, order), batches(valid)
    with TemporaryDirectory() as folder:
        best = Path(folder) / "best.safetensors"
        ways: list[Any] = [rnn.BestCheckpoint(best), rnn.EarlyStopping(args.patience)]
        history = rnn.fit(model, criterion, optimizer, source, epochs=args.epochs, validation=held_out, callbacks=ways)
        model = rnn.load(best).model
    found = rnn.measure(model, criterion, batches(test), metrics=measures)
    print(f"{len(history)} epochs; the best was {history.best('validation_loss') + 1}")
    print(f"GRU of {args.hidden} units: accuracy {found['accuracy']:.3f}, F1 {found['F1']:.3f}")
    print("how often each gesture (a row) was taken for each (a column):")
    for gesture, row in zip(GESTURES, found["confusion"], strict=True):
        print(f"    {gesture:12}" + "".join(f"{n:5}" for n in row))

    print("the probability of the right gesture, after so many readings:")
    streams = {}
    for label, gesture in enumerate(GESTURES):
        xs = recordings[test[labels[test] == label][0]]
        state, probabilities = None, []
        for reading in xs:
            logits, state = model.step(reading[None], state)  # a batch of one
            probabilities.append(rnn.Softmax()(logits)[0, label])
        seen = "".join(f"{n:7}: {probabilities[n - 1]:.2f}" for n in (1, 5, 10, len(xs)))
        print(f"    {gesture:12}{seen}")
        streams[gesture] = xs, np.array(probabilities)
    if args.plot is not None:
        plot(args.plot, streams)


def plot(path: str, streams: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Of each gesture the readings (T, 3), and below them the probability of the right one after each of them (T,)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    rows = figure.subplots(2, len(streams), sharex="col", sharey="row")
    for (above, below), (gesture, (xs, probabilities)) in zip(rows.T, streams.items(), strict=True):
        for channel, name in enumerate("xyz"):
            colour, dash = ("#0072B2", "#D55E00", "#009E73")[channel], ("-", "--", "-.")[channel]
            above.plot(xs[:, channel], color=colour, linestyle=dash, marker=".", markersize=3, label=name)
        below.plot(probabilities, color="0.5")
        below.axhline(1 / len(GESTURES), color="grey", linestyle=":", label="by chance")
        above.set_title(gesture)
        below.set(xlabel="reading", ylim=(-0.03, 1.03))
    rows[0, 0].set_ylabel("acceleration")
    rows[1, 0].set_ylabel("probability of the gesture")
    lines = zip(above.get_legend_handles_labels(), below.get_legend_handles_labels(), strict=True)
    figure.legend(*(a + b for a, b in lines), loc="outside upper right", ncols=4)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--recordings", type=int, default=1000, help="how many, in all (1000)")
    add("--hidden", type=int, default=32, help="units (32)")
    add("--batch", type=int, default=32, help="recordings an iteration (32)")
    add("--lr", type=float, default=0.01, help="learning rate (0.01)")
    add("--epochs", type=int, default=30, help="how often to go through all of them, at most (30)")
    add("--patience", type=int, default=5, help="epochs without an improvement before it stops (5)")
    add("--plot", metavar="FILE", help="draw how it reads a recording of each gesture: .png, .svg or .pdf")
    add("--seed", type=int, default=0, help="of recordings, weights and order (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args, {"at least 1": "patience"})
    if args.recordings < 40:
        parser.error(f"--recordings must be at least 40, not {args.recordings}")
    check_picture(parser, args.plot)
    compare(args)


if __name__ == "__main__":
    run(main)
