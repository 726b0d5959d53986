"""Odd or even
===========

A network reads bits, and says after each whether the number of ones so far is odd::

    python examples/parity.py --plot parity.png

This takes 18 seconds on one core. Each cell has 32 units and learns from strings of 3 to 40 bits. The table says how
many of 1,000 new strings it gets right, by their length; chance is 0.5. These are the seeds 0 to 2::

    length                 3             10            40            128           256
    RNN, LSTM, sLSTM       1.00          1.00          1.00          1.00          1.00
    minGRU                 0.64 to 0.89  0.44 to 0.47  0.50          0.50          0.47 to 0.50
    LRU                    0.48 to 0.52  0.49 to 0.50  0.49 to 0.50  0.51 to 0.52  0.50 to 0.53
    signed                 1.00          1.00          1.00          0.70 to 0.92  0.50 to 0.51

One bit has to be remembered, and each 1 must flip it. Cells that multiply their state by a matrix learn this, and are
right far beyond the lengths of the training.

The minGRU and the LRU multiply the state of a unit by a factor instead. The factors of the minGRU are never negative:
while it reads ones, each of its units moves in one direction, so a few units can count a few ones, and no more. The
factors of the LRU are complex, but always the same: they turn the state at a 0 as well as at a 1. With all angles,
`--max-phase 6.28`, it stays at chance, too.

The signed cell is written below. It is a minGRU with the factor 1 - 2z, from -1 to 1, in place of 1 - z. It can flip a
state, and learns all lengths of the training. But nothing rounds its state to one of two values, as a tanh does, and
its factors stay a little above -1. So what it remembers fades in longer strings.

Sarrof, Veitsman and Hahn, *The Expressive Capacity of State Space Models*, 2024; Grazzi, Siems, Zela, Franke, Hutter
and Pontil, *Unlocking State-Tracking in Linear RNNs Through Negative Eigenvalues*, 2024; Beck et al., *xLSTM*, 2024.
"""

import argparse
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as rnn
from options import check_picture, check_ranges, make_parser, run

SHORTEST, LONGEST = 3, 40  # strings of the training
LENGTHS = (3, 10, 40, 128, 256)  # of the table


class SignedCache(NamedTuple):
    x: Any
    h_prev: Any
    z: Any
    n: Any


class SignedCell(rnn.Cell):
    """h' = (1 - 2z) * h + z * n, with z = sigmoid(x w_z + b_z) and n = x w_n + b_n."""

    def __init__(self, in_size: int, out_size: int, *, rng: np.random.Generator) -> None:
        self.in_size, self.out_size, self.state_sizes = in_size, out_size, (out_size,)
        self.w_x = rnn.Parameter(rnn.initializers.glorot((in_size, 2 * out_size), rng=rng))
        self.b = rnn.Parameter(rnn.initializers.zeros((2 * out_size,)))

    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        (h_prev,), H = state, self.out_size
        a = x @ self.w_x.value + self.b.value
        z, n = rnn.sigmoid(a[:, :H]), a[:, H:]
        h = (1 - 2 * z) * h_prev + z * n
        return h, (h,), SignedCache(x, h_prev, z, n)

    def step_backward(self, dy: Any, dstate: Any, cache: SignedCache) -> Any:
        x, h_prev, z, n = cache
        dh = dy + dstate[0]
        da = rnn.namespace(dh).concatenate([dh * (n - 2 * h_prev) * z * (1 - z), dh * z], axis=1)
        self.w_x.grad += x.T @ da
        self.b.grad += da.sum(axis=0)
        return da @ self.w_x.value.T, (dh * (1 - 2 * z),)


CELLS: dict[str, Any] = {
    "RNN": rnn.RNNCell,
    "LSTM": rnn.LSTMCell,
    "sLSTM": rnn.SLSTMCell,
    "minGRU": rnn.MinGRUCell,
    "LRU": rnn.LRUCell,
    "signed": SignedCell,
}


def strings(rng: np.random.Generator, length: int, batch: int) -> rnn.Batch:
    """Random bits (T, B), and after each whether the number of ones so far is odd."""
    bits = rng.integers(0, 2, (length, batch))
    return rnn.Batch(bits, np.cumsum(bits, axis=0) % 2)


def compare(args: argparse.Namespace) -> None:
    """Train a model of each cell, and count what it gets right at each length."""
    print("right of 1,000 strings, by their length:")
    print(f"{'':6}" + "".join(f"{length:6}" for length in LENGTHS))
    criterion, right = rnn.SoftmaxCrossEntropy(), {}
    for name in args.cells:
        weights, data, fresh = np.random.default_rng(args.seed).spawn(3)
        make = partial(CELLS[name], max_phase=args.max_phase) if name == "LRU" else CELLS[name]
        cell = make(2, args.hidden, rng=weights)
        model = rnn.Sequential(rnn.OneHot(2), cell, rnn.Linear(args.hidden, 2, rng=weights))
        optimizer = rnn.Adam(model, rnn.schedules.cosine(args.lr, steps=args.iterations), clip=rnn.ClipNorm(1.0))
        for _ in range(args.iterations):
            batch = strings(data, int(data.integers(SHORTEST, LONGEST + 1)), args.batch)
            model.zero_grad()
            rnn.gradients(model, criterion, batch)
            optimizer.step()
        test = strings(fresh, max(LENGTHS), 1000)  # what is said after n bits is what is said of a string of n
        logits, _ = model(test.xs)
        right[name] = (logits.argmax(axis=-1) == test.targets).mean(axis=1)
        figures = "".join(f"{right[name][length - 1]:6.3f}" for length in LENGTHS)
        print(f"{name:6}{figures}", flush=True)
    if args.plot is not None:
        plot(args.plot, right)


def plot(path: str, right: dict[str, np.ndarray]) -> None:
    """How many are right, by length, with a panel for each cell."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.1 * len(right) + 0.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(right), sharex=True, sharey=True))
    for axes, (name, values) in zip(panels, right.items(), strict=True):
        axes.axvspan(SHORTEST, LONGEST, color="0.5", alpha=0.2)
        axes.axhline(0.5, color="0.6", linewidth=0.8)
        axes.plot(1 + np.arange(len(values)), values, linewidth=1.2)
        axes.set(ylim=(0.35, 1.05), yticks=(0.5, 1), ylabel=name)
    panels[-1].set_xlabel("length of the string; grey: those of the training")
    figure.suptitle("right of 1,000 strings; chance is 0.5", fontsize="medium")
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--cells", nargs="+", choices=CELLS, default=list(CELLS), metavar="CELL", help=f"{', '.join(CELLS)} (all)")
    add("--hidden", type=int, default=32, help="units (32)")
    add("--max-phase", type=float, default=0.1, help="the largest angle of a factor of the LRU at first (0.1)")
    add("--batch", type=int, default=64, help="strings an iteration (64)")
    add("--lr", type=float, default=0.02, help="learning rate, which falls to 0 (0.02)")
    add("--iterations", type=int, default=1000, help="training iterations (1000)")
    add("--plot", metavar="FILE", help="draw how many are right at each length: .png, .svg or .pdf")
    add("--seed", type=int, default=0, help="of weights and strings (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args, {"above 0": "max_phase"})
    check_picture(parser, args.plot)
    compare(args)


if __name__ == "__main__":
    run(main)
