"""Forecasts with bands
====================

A network learns to predict the next value of a series, and then forecasts a hundred values from its own predictions::

    python examples/forecast.py --plot forecast.png

It takes 15 seconds on one core. The Mackey-Glass series is chaotic: it follows a rule exactly, but a small error is
twice as large after 36 steps. The seasonal series has periods of 12 and 30 steps, and noise. The model is trained on
the first three quarters of each; the rest is forecast, from 40 places. The mean absolute errors, in standard
deviations::

                              Mackey-Glass              seasonal
    steps ahead               1-25    76-100         1-25    76-100
    persistence               1.09      1.04         1.11      1.03
    seasonal-naive            0.52      1.00         0.30      0.27
    forecast                  0.04      0.34         0.22      0.21
    truth in the band            88 %                   82 %

Persistence is the last value, again and again. The seasonal-naive forecast repeats the last season, whose length is the
lag at which the training part is most like itself. A useful forecast has a smaller error than these two.

The model gives the mean and the log-variance of the next value; the loss is minus the log-likelihood. A trajectory
draws a value from that distribution, reads it as the next input, and so on. The forecast is the median of 100 of them,
and the band goes from their 10 to their 90 % quantile: it should hold 80 % of the truth. For the chaotic series it is
narrow at first and becomes wider; for the seasonal one it is soon as wide as the noise.

Mackey and Glass, *Oscillation and Chaos in Physiological Control Systems*, 1977; Nix and Weigend, *Estimating the Mean
and Variance of the Target Probability Distribution*, 1994.
"""

import argparse
from typing import Any

import numpy as np

import tinygrad_rnn as rnn
from options import check_picture, check_ranges, make_parser, run

SIZE, TRAIN, WINDOW = 4000, 3000, 120


def mackey_glass(rng: np.random.Generator) -> np.ndarray:
    """x' = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x(t), in steps of 0.1; every third unit of time is a value."""
    x = np.full(170 + 5000 + 30 * SIZE, 1.2)
    x[:171] += 0.1 * rng.standard_normal()
    for t in range(170, len(x) - 1):
        late = x[t - 170]
        x[t + 1] = x[t] + 0.1 * (0.2 * late / (1 + late**10) - 0.1 * x[t])
    return x[-30 * SIZE :: 30]


def seasonal(rng: np.random.Generator) -> np.ndarray:
    """Periods of 12 and 30 steps, and noise of which 0.7 is left in the next step."""
    t, noise = np.arange(SIZE), 0.15 * rng.standard_normal(SIZE)
    for i in t[1:]:
        noise[i] += 0.7 * noise[i - 1]
    fast, slow = 2 * np.pi * t / 12, 2 * np.pi * t / 30
    return np.sin(fast) + 0.4 * np.cos(2 * fast) + 0.5 * np.sin(slow + 1) + noise


def compare(args: argparse.Namespace) -> None:
    """Learn each series, forecast it, and compare with two forecasts that need no network."""
    pictures = {}
    for title, make in {"Mackey-Glass": mackey_glass, "seasonal": seasonal}.items():
        weights, data, order, draws = np.random.default_rng(args.seed).spawn(4)
        series = make(data)[:, None]
        scale = rnn.Standardize.fit([series[:TRAIN]])
        train, test = np.split(scale(series).astype("float32"), [TRAIN])
        xs, targets = rnn.windows(train, steps=WINDOW, stride=12, shifted=True)  # the target of a step is the next one
        batches = rnn.SequenceBatches(xs, targets, batch=args.batch, rng=order)

        model = rnn.Sequential(rnn.GRUCell(1, args.hidden, rng=weights), rnn.Linear(args.hidden, 2, rng=weights))
        criterion = rnn.GaussianNLL()
        lr = rnn.schedules.cosine(args.lr, steps=args.epochs * len(batches))
        optimizer = rnn.Adam(model, lr, clip=rnn.ClipNorm(1.0))
        history = rnn.fit(model, criterion, optimizer, batches, epochs=args.epochs)

        before, after = rnn.windows(test, steps=WINDOW, horizon=args.ahead, stride=20)
        before, after = before.swapaxes(0, 1), after.T[..., None]  # (WINDOW, B, 1) and (ahead, B, 1)
        paths, _ = rnn.forecast(model, before, steps=args.ahead, criterion=criterion, samples=args.samples, rng=draws)
        low, middle, high = np.quantile(paths, [0.1, 0.5, 0.9], axis=0)
        season = min(range(10, WINDOW), key=lambda lag: np.abs(train[lag:] - train[:-lag]).mean())
        forecasts = {
            "persistence": np.broadcast_to(before[-1:], after.shape),
            "seasonal-naive": np.resize(before[-season:], after.shape),
            "forecast": middle,
        }
        print(f"{title}: {history[-1]['loss']:.2f} nats a step in training, a season of {season} steps")
        part = args.ahead // 4
        print(f"mean absolute error    steps 1-{part}    {args.ahead - part + 1}-{args.ahead}")
        for name, values in forecasts.items():
            errors = np.abs(values - after)
            print(f"    {name:18} {errors[:part].mean():9.2f} {errors[-part:].mean():9.2f}")
        print(f"{((low < after) & (after < high)).mean():.0%} of the truth is in the band of 80 %\n", flush=True)
        pictures[title] = tuple(values[:, 0, 0] for values in (before, after, low, middle, high))
    if args.plot is not None:
        plot(args.plot, pictures)


def plot(path: str, pictures: dict[str, tuple[Any, ...]]) -> None:
    """Of each series the end of what was read, the true values after it, and the forecast with its band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2 * len(pictures)), layout="constrained")
    for axes, (name, (before, after, low, middle, high)) in zip(figure.subplots(2), pictures.items(), strict=True):
        past, ahead = np.arange(1 - len(before), 1), np.arange(1, len(after) + 1)
        axes.fill_between(ahead, low, high, color="#D55E00", alpha=0.25, linewidth=0, label="10 to 90 %")
        axes.plot(np.append(past, ahead), np.append(before, after), color="0.5", linewidth=1.2, label="truth")
        axes.plot(ahead, middle, color="#D55E00", linestyle="--", label="forecast")
        axes.axvline(0.5, color="grey", linewidth=0.8)
        axes.set(title=name, xlabel="steps ahead", ylabel="standard deviations", xlim=(past[0], ahead[-1]))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=3)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--hidden", type=int, default=32, help="units (32)")
    add("--batch", type=int, default=16, help="windows an iteration (16)")
    add("--lr", type=float, default=0.02, help="learning rate, which falls to 0 (0.02)")
    add("--epochs", type=int, default=40, help="how often to go through all windows (40)")
    add("--ahead", type=int, default=100, help="how many values to forecast (100)")
    add("--samples", type=int, default=100, help="trajectories of a forecast (100)")
    add("--plot", metavar="FILE", help="draw the forecasts: .png, .svg or .pdf")
    add("--seed", type=int, default=0, help="of series, weights and trajectories (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args, {"at least 1": "samples"})
    if args.ahead < 4:
        parser.error(f"--ahead must be at least 4, not {args.ahead}")
    if args.ahead > SIZE - TRAIN - WINDOW:
        parser.error(f"--ahead must be at most {SIZE - TRAIN - WINDOW}, not {args.ahead}")
    check_picture(parser, args.plot)
    compare(args)


if __name__ == "__main__":
    run(main)
