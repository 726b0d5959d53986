"""The adding problem
==================

A network must remember two numbers out of a hundred, and give their sum after the last one::

    python examples/adding_problem.py
    python examples/adding_problem.py --cell rnn --plot adding_problem.png

The LSTM needs about 900 iterations, 10 seconds on one core, to reach a loss below 0.005; the GRU needs 500, the IRNN
1,500. The loss of the simple RNN stays at chance.

The input of a step is a value between 0 and 1 and a marker. Two values are marked, one in each half of the sequence.
The constant answer 1 has a mean squared error of 1/6, the variance of the sum. To do better, a cell must remember a
value while it reads dozens of others.

Hochreiter and Schmidhuber, *Long Short-Term Memory*, 1997; in this form, Le, Jaitly and Hinton, *A Simple Way to
Initialize Recurrent Networks of Rectified Linear Units*, 2015.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import tinygrad_rnn as rnn
from options import check_every, check_picture, check_ranges, make_parser, run

CELLS: dict[str, Callable[..., rnn.Cell]] = {
    "rnn": rnn.RNNCell,
    "irnn": partial(rnn.RNNCell, nonlinearity="relu", recurrent_initializer="identity"),
    "lstm": rnn.LSTMCell,
    "gru": rnn.GRUCell,
}
CHANCE = 1 / 6


def sequences(rng: np.random.Generator, steps: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and markers (T, B, 2), and the sums (B, 1) of the values that are marked."""
    values, markers, rows = rng.random((steps, batch), np.float32), np.zeros((steps, batch), np.float32), range(batch)
    for first, end in ((0, steps // 2), (steps // 2, steps)):
        markers[rng.integers(first, end, batch), rows] = 1
    return np.stack([values, markers], axis=-1), (values * markers).sum(axis=0)[:, None]


def ends(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of the last output of each row. `ys[-1]` is 0 in a row that is shorter than others, past its end."""
    return lengths - 1, np.arange(len(lengths))


def train(args: argparse.Namespace) -> None:
    """Until the mean squared error of new sequences is below the goal."""
    weights, data, fresh = np.random.default_rng(args.seed).spawn(3)
    cell = CELLS[args.cell](2, args.hidden, rng=weights)
    model = rnn.Sequential(cell, rnn.Linear(args.hidden, 1, rng=weights))
    criterion = rnn.MeanSquaredError()
    optimizer = rnn.Adam(model, args.lr, clip=rnn.ClipNorm(1.0))
    print(f"{model!r}, {sum(parameter.size for parameter in model.parameters()):,} parameters")

    lengths, more = (np.full(batch, args.steps) for batch in (args.batch, 1000))  # here all are alike
    losses, iterations, errors = list[float](), list[int](), list[float]()
    for i in range(1, args.iterations + 1):
        xs, sums = sequences(data, args.steps, args.batch)
        ys, _, cache = model.forward(xs, lengths=lengths)
        loss, loss_cache = criterion.forward(ys[ends(lengths)], sums)
        dys = np.zeros_like(ys)  # only the last output of each row counts
        dys[ends(lengths)] = criterion.backward(loss_cache)
        model.zero_grad()
        model.backward(dys, None, cache)
        optimizer.step()
        losses.append(float(loss))
        if i % args.every == 0:
            xs, sums = sequences(fresh, args.steps, 1000)  # never seen in training
            ys, _ = model(xs, lengths=more)
            error = float(criterion(ys[ends(more)], sums))
            iterations.append(i)
            errors.append(error)
            print(f"iteration {i}: mean squared error {error:.4f}, chance {CHANCE:.4f}", flush=True)
            if error <= args.goal:
                print(f"at most {args.goal} after {i} iterations")
                break
    else:
        print(f"still above {args.goal} after {args.iterations} iterations")
    if args.plot is not None:
        plot(args.plot, {"training": losses, "new sequences": (iterations, errors)})


def plot(path: str, curves: dict[str, Any]) -> None:
    """The losses, and that of the constant answer."""
    from tinygrad_rnn import plotting

    figure = plotting.losses(curves, unit="mean squared error")
    axes = figure.axes[0]
    axes.axhline(CHANCE, color="0.5", linestyle=":")
    axes.text(1, CHANCE, "chance ", transform=axes.get_yaxis_transform(), ha="right", va="bottom")
    axes.set_ylim(0, 3 * CHANCE)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--cell", choices=CELLS, default="lstm", help="what reads (lstm)")
    add("--hidden", type=int, default=32, help="units (32)")
    add("--steps", type=int, default=100, help="length of the sequences (100)")
    add("--batch", type=int, default=32, help="sequences an iteration (32)")
    add("--lr", type=float, default=0.01, help="learning rate (0.01)")
    add("--iterations", type=int, default=5000, help="when to give up (5000)")
    add("--every", type=int, default=100, metavar="N", help="measure every N iterations (100)")
    add("--goal", type=float, default=0.005, help="the mean squared error to reach (0.005)")
    add("--plot", metavar="FILE", help="draw the losses: .png, .svg or .pdf")
    add("--seed", type=int, default=0, help="of weights and sequences (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args, {"above 0": "goal"})
    check_every(parser, args)
    check_picture(parser, args.plot)
    if args.steps < 2:
        parser.error(f"each half needs a step: --steps must be at least 2, not {args.steps}")
    train(args)


if __name__ == "__main__":
    run(main)
