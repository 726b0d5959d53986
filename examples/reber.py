"""The embedded Reber grammar
==========================

A network must predict which symbols may come next, and remember one bit until the last symbol but one::

    python examples/reber.py
    python examples/reber.py --cell rnn
    python examples/reber.py --plot reber.png

After 1,100 to 1,600 iterations, 4 seconds or less on one core, the LSTM of 8 units is right about every symbol of 1000
new strings. The simple RNN of 8 units needs 2,800 to 3,700 iterations. With 16 units all cells need 200 to 700.

In BTBPVVETE, a string of a small grammar, BPVVE, stands between two T; other strings of the same grammar stand between
two P. The inner string is independent of the symbols around it. So to predict the last symbol but one, a model must
remember the second symbol over the inner string, which has 8 symbols on average. A guess is right half of the time.

From most positions in the grammar two symbols may follow, each with probability 1/2; from the others only one. So the
best possible prediction is known: 1/2 for each of two symbols, or 1 for one symbol. The script takes a symbol as legal
if its predicted probability is above 1/4, half of the smaller of these.

Hochreiter and Schmidhuber, *Long Short-Term Memory*, 1997. There the LSTM needed 8,000 strings or more, and the simple
networks mostly failed. With Adam, clipping and an orthogonal initialisation they do not.
"""

import argparse

import numpy as np

import tinygrad_rnn as rnn
from options import check_every, check_picture, check_ranges, make_parser, run
from tinygrad_rnn import datasets

CELLS: dict[str, type[rnn.RNNCell | rnn.GRUCell | rnn.LSTMCell]] = {
    "rnn": rnn.RNNCell,
    "gru": rnn.GRUCell,
    "lstm": rnn.LSTMCell,
}


def measure(
    model: rnn.Sequential, grammar: datasets.ReberGrammar, strings: list[np.ndarray], threshold: float
) -> tuple[float, float, float]:
    """Nats a symbol above the optimum; the parts that are right of the sets of symbols and of the last but one."""
    ids, lengths = rnn.pad(strings)
    steps = lengths - 1  # nothing follows the last symbol
    ys, _ = model(ids[:-1], lengths=steps)
    given = np.concatenate([rnn.Softmax()(ys[:n, b]) for b, n in enumerate(steps)])
    true = np.concatenate([grammar.probabilities(string)[:-1] for string in strings])  # as given, (N, V)
    legal = true > 0
    excess = (true[legal] * np.log(true[legal] / given[legal])).sum() / len(true)
    sets = ((given > threshold) == legal).all(axis=-1).mean()
    last_but_one = np.cumsum(steps) - 2
    kept = (given.argmax(axis=-1) == true.argmax(axis=-1))[last_but_one].mean()
    return float(excess), float(sets), float(kept)


def train(args: argparse.Namespace) -> None:
    """Until all symbols of new strings are predicted right."""
    grammar = datasets.ReberGrammar(embedded=True)
    weights, data, fresh = np.random.default_rng(args.seed).spawn(3)
    V, H = grammar.vocab_size, args.hidden
    model = rnn.Sequential(rnn.OneHot(V), CELLS[args.cell](V, H, rng=weights), rnn.Linear(H, V, rng=weights))
    criterion = rnn.SoftmaxCrossEntropy()
    optimizer = rnn.Adam(model, args.lr, clip=rnn.ClipNorm(1.0))
    print(f"{model!r}, {sum(parameter.size for parameter in model.parameters()):,} parameters")

    for i in range(1, args.iterations + 1):
        ids, lengths = rnn.pad(grammar.sample(args.batch, rng=data))
        model.zero_grad()
        rnn.gradients(model, criterion, rnn.Batch(ids[:-1], ids[1:], lengths - 1))  # nothing follows the last symbol
        optimizer.step()
        if i % args.every == 0:
            strings = grammar.sample(1000, rng=fresh)
            excess, sets, kept = measure(model, grammar, strings, args.threshold)
            print(
                f"iteration {i}: {excess:.4f} nats a symbol above the optimum {grammar.entropy:.4f}; exactly the legal "
                f"symbols {100 * sets:.2f} %, the last but one {100 * kept:.1f} %",
                flush=True,
            )
            if sets == kept == 1:
                print(f"all right in 1000 fresh strings after {i} iterations")
                break
    else:
        print(f"not all right after {args.iterations} iterations")
    if args.plot is not None:
        plot(args.plot, model, grammar, next(ids for ids in strings if len(ids) >= 12))


def plot(path: str, model: rnn.Sequential, grammar: datasets.ReberGrammar, string: np.ndarray) -> None:
    """What the model predicts after each symbol of the string, and what came next."""
    from tinygrad_rnn import plotting

    ys, _ = model(string[:-1, None])
    read, symbols = grammar.tokenizer.decode(string[:-1]), grammar.tokenizer.characters
    plotting.probabilities(rnn.Softmax()(ys)[:, 0], read, symbols, targets=string[1:]).savefig(path)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--cell", choices=CELLS, default="lstm", help="what reads (lstm)")
    add("--hidden", type=int, default=8, help="units (8)")
    add("--batch", type=int, default=32, help="strings an iteration (32)")
    add("--lr", type=float, default=0.01, help="learning rate (0.01)")
    add("--iterations", type=int, default=5000, help="when to give up (5000)")
    add("--every", type=int, default=100, metavar="N", help="measure every N iterations (100)")
    add("--threshold", type=float, default=0.25, help="the probability above which a symbol is held for legal (0.25)")
    add("--plot", metavar="FILE", help="draw what it predicts in one string: .png, .svg or .pdf")
    add("--seed", type=int, default=0, help="of weights and strings (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args)
    check_every(parser, args)
    check_picture(parser, args.plot)
    if not 0 < args.threshold < 0.5:
        parser.error(f"a legal symbol has 1/2 or 1: --threshold must be between 0 and 1/2, not {args.threshold}")
    train(args)


if __name__ == "__main__":
    run(main)
