"""Learning without going back
===========================

A system has one weight, which later acts against itself: a larger weight pushes the output up at once, and pulls it
down more strongly some steps later. An online learner changes the weight after every step::

    python examples/online.py
    python examples/online.py --plot online.svg

Truncated back-propagation sees only the first steps of what a change does. It sees that a larger weight gives a larger
output, and makes the weight larger, which is the wrong way: the loss grows, for each of these truncations. They are too
short for this system, and nothing in their gradients says so. RTRL carries the whole influence of the weight forward,
so its gradient is right at every step, though it never goes back. UORO carries a random product in its place, which is
right on average: its path is noisy, but it leads to the same weight. Because of the noise, the learning rate must be
small: at three times this rate, UORO diverges with some seeds. The script takes some seconds.

The system has a row of units. Unit i takes half of itself and half of unit i + 1, so what happens in the last unit
reaches the first some steps later. The weight is added to the first `--plus` units and subtracted from the `--minus`
others. The output is the first unit, and its target is 1. The cell that is written below is all that the methods of
`through_time` need: a step, and a step backward.

Tallec and Ollivier, *Unbiased Online Recurrent Optimization*, 2018, who call it influence balancing.
"""

import argparse
from typing import Any

import numpy as np

import tinygrad_rnn as rnn
from options import check_every, check_picture, check_ranges, make_parser, run
from tinygrad_rnn import through_time

DIVERGED = 1000.0


class Row(rnn.Cell):
    r"""A row of units that pass on what they hold, :math:`s_t = s_{t-1} A^\top + w \, (1, \ldots, -1)`."""

    def __init__(self, plus: int, minus: int) -> None:
        units = plus + minus
        self.plus, self.minus = plus, minus
        self.in_size, self.out_size, self.state_sizes = 1, 1, (units,)
        self.w = rnn.Parameter(np.zeros(1))
        self.a = np.eye(units) / 2 + np.eye(units, k=1) / 2
        self.signs = np.repeat([1.0, -1.0], [plus, minus])

    def step_forward(self, x: Any, state: Any, *, training: bool = True) -> Any:
        s = state[0] @ self.a.T + self.w.value * self.signs
        return s[:, :1], (s,), None

    def step_backward(self, dy: Any, dstate: Any, cache: Any) -> Any:
        ds = dstate[0].copy()
        ds[:, :1] += dy
        self.w.grad += (ds * self.signs).sum()
        return np.zeros_like(dy), (ds @ self.a,)


def learn(method: Any, args: argparse.Namespace) -> tuple[float, list[float]]:
    """The weight at the end, and the loss of each step until then, or until it has grown beyond all bounds."""
    cell, criterion = Row(args.plus, args.minus), rnn.MeanSquaredError()
    optimizer = rnn.SGD(cell, rnn.schedules.cosine(args.lr, steps=args.iterations))
    one_step = rnn.Batch(np.zeros((1, 1, 1)), np.ones((1, 1, 1)))
    losses: list[float] = []
    carry = None
    for _ in range(args.iterations):
        cell.zero_grad()
        loss, _, carry = method(cell, criterion, one_step, carry)
        optimizer.step()
        losses.append(float(loss))
        if losses[-1] > DIVERGED:
            break
    return float(cell.w.value[0]), losses


def compare(args: argparse.Namespace) -> None:
    """Learn the weight by each method."""
    methods: dict[str, Any] = {f"truncated at {k}": through_time.TruncatedBPTT(1, k) for k in args.truncate}
    methods |= {"RTRL": through_time.RTRL(), "UORO": through_time.UORO(np.random.default_rng(args.seed))}
    print(f"the weight that gives an output of 1: {0.5 / (args.plus - args.minus):.4f}")
    curves: dict[str, Any] = {}
    for name, method in methods.items():
        weight, losses = learn(method, args)
        curves[name] = losses
        shown = "  ".join(f"{loss:.3g}" for loss in losses[:: args.every])
        if losses[-1] > DIVERGED:
            print(f"{name}: diverged after {len(losses)} steps; losses {shown}", flush=True)
        else:
            print(f"{name}: weight {weight:.4f}, loss {losses[-1]:.2g}; losses {shown}", flush=True)
    if args.plot:
        from tinygrad_rnn import plotting

        figure = plotting.losses(curves, unit="squared error", xlabel="step")
        figure.axes[0].set_yscale("symlog", linthresh=1)
        figure.savefig(args.plot)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--plus", type=int, default=3, help="units to which the weight is added (3)")
    add("--minus", type=int, default=5, help="units behind them, from which it is subtracted (5)")
    add("--truncate", type=int, nargs="+", default=[1, 5, 10], metavar="K", help="steps to go back (1 5 10)")
    add("--lr", type=float, default=0.0001, help="learning rate, which falls to 0 (0.0001)")
    add("--iterations", type=int, default=4000, help="steps, with an update after each (4000)")
    add("--every", type=int, default=500, metavar="N", help="print the loss every N iterations (500)")
    add("--plot", metavar="FILE", help="draw the losses: a file that ends in .png, .svg or .pdf")
    add("--seed", type=int, default=0, help="of the signs of UORO (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args, {"at least 1": "plus minus"})
    check_every(parser, args)
    if min(args.truncate) < 1:
        parser.error(f"--truncate must be at least 1, not {min(args.truncate)}")
    if args.plus == args.minus:
        parser.error(f"--plus and --minus must differ, or no weight gives an output of 1, not both {args.plus}")
    check_picture(parser, args.plot)
    compare(args)


if __name__ == "__main__":
    run(main)
