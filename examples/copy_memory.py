"""The copy task
=============

A network must read ten symbols, wait for a hundred steps, and then write the ten symbols from memory::

    python examples/copy_memory.py
    python examples/copy_memory.py --no-chrono
    python examples/copy_memory.py --plot copy_memory.png

After some 2,300 to 3,000 iterations, half a minute on one core, the loss of the GRU is below a tenth of chance. Without
chrono initialisation, as in the second command, it is still above half of chance after 5,000 iterations.

While the network waits, it reads blanks and must write blanks; then a marker tells it to begin. A model that knows all
this but remembers nothing has a loss of ln 8 for each of the ten symbols. This is 10 ln 8 / T nats per step, which the
output calls chance.

A cell learns this sooner if its memory lasts long from the start of training. So the bias of the gate that keeps the
memory, z in the GRU and f in the LSTM, is drawn such that the units forget within 2 to T steps. This is chrono
initialisation.

Hochreiter and Schmidhuber, *Long Short-Term Memory*, 1997; Arjovsky, Shah and Bengio, *Unitary Evolution Recurrent
Neural Networks*, 2016; Tallec and Ollivier, *Can Recurrent Neural Networks Warp Time?*, 2018.
"""

import argparse

import numpy as np

import tinygrad_rnn as rnn
from options import check_every, check_picture, check_ranges, make_parser, run
from tinygrad_rnn import datasets


def chrono(cell: rnn.GRUCell | rnn.LSTMCell, longest: int, rng: np.random.Generator) -> None:
    """Biases with which the units forget within 2 to `longest` steps."""
    H = cell.out_size
    keep = np.log(rng.uniform(1, longest - 1, H))
    cell.b.value[H : 2 * H] = keep  # z, the second of r, z, n; or f, the second of i, f, o, g
    if isinstance(cell, rnn.LSTMCell):
        cell.b.value[:H] = -keep  # i: who keeps much takes in little, for which the GRU has 1 - z


def train(args: argparse.Namespace) -> None:
    """Until the loss of new sequences is a small part of chance."""
    source = datasets.CopySource(8, length=10, delay=args.delay)
    weights, data, fresh = np.random.default_rng(args.seed).spawn(3)
    cell = {"gru": rnn.GRUCell, "lstm": rnn.LSTMCell}[args.cell](source.vocab_size, args.hidden, rng=weights)
    if args.chrono:
        chrono(cell, source.steps, weights)
    scores = rnn.Linear(args.hidden, source.symbols + 1, rng=weights)  # of the symbols and the blank
    model = rnn.Sequential(rnn.OneHot(source.vocab_size), cell, scores)
    criterion = rnn.SoftmaxCrossEntropy()
    lr = rnn.schedules.cosine(args.lr, steps=args.iterations)
    optimizer = rnn.Adam(model, lr, clip=rnn.ClipNorm(1.0))
    print(f"{model!r}, {sum(parameter.size for parameter in model.parameters()):,} parameters")

    for i in range(1, args.iterations + 1):
        model.zero_grad()
        rnn.gradients(model, criterion, rnn.Batch(*source.sample(args.batch, rng=data)))
        optimizer.step()
        if i % args.every == 0:
            xs, targets = source.sample(500, rng=fresh)  # never seen in training
            ys, _ = model(xs)
            loss = float(criterion(ys, targets))
            right = (ys.argmax(axis=-1) == targets)[-source.length :].mean()
            print(
                f"iteration {i}: {loss:.4f} nats a step, {loss / source.chance:.3f} of chance {source.chance:.4f}; "
                f"{100 * right:.0f} % of symbols right",
                flush=True,
            )
            if loss <= args.goal * source.chance:
                print(f"at most {args.goal} of chance after {i} iterations")
                break
    else:
        print(f"still above {args.goal} of chance after {args.iterations} iterations")
    if args.plot is not None:
        plot(args.plot, xs[:, 0], rnn.Softmax()(ys)[:, 0], targets[:, 0])


def plot(path: str, read: np.ndarray, written: np.ndarray, targets: np.ndarray) -> None:
    """What is read (T,), the probabilities (T, V) of what is to be written, and what is right (T,)."""
    from tinygrad_rnn import plotting

    names = [*"abcdefgh", "-", ">"]  # the blank, and the marker, which is never written
    figure = plotting.probabilities(written, [names[x] for x in read], names[:-1], targets=targets)
    figure.axes[0].set(xlabel="symbol read; the circle is round what is to be written", ylabel="symbol written")
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--cell", choices=("gru", "lstm"), default="gru", help="what remembers (gru)")
    add("--chrono", action=argparse.BooleanOptionalAction, default=True, help="begin with a long memory (yes)")
    add("--hidden", type=int, default=128, help="units (128)")
    add("--delay", type=int, default=100, help="steps from the last symbol read to the first one written (100)")
    add("--batch", type=int, default=16, help="sequences an iteration (16)")
    add("--lr", type=float, default=0.02, help="learning rate, which falls to 0 (0.02)")
    add("--iterations", type=int, default=5000, help="when to give up (5000)")
    add("--every", type=int, default=250, metavar="N", help="measure every N iterations (250)")
    add("--goal", type=float, default=0.1, help="the part of the chance loss to reach (0.1)")
    add("--plot", metavar="FILE", help="draw what it writes at each step of a sequence: .png, .svg or .pdf")
    add("--seed", type=int, default=0, help="of weights and sequences (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args, {"above 0": "goal"})
    check_every(parser, args)
    check_picture(parser, args.plot)
    if args.delay < 1:
        parser.error(f"the marker needs a step: --delay must be at least 1, not {args.delay}")
    train(args)


if __name__ == "__main__":
    run(main)
