"""The embedded Reber grammar
==========================

Which symbols may come next, and a bit to keep until the last but one::

    python examples/reber.py
    python examples/reber.py --cell rnn

The LSTM of 8 units is right about every symbol of 1000 fresh strings after 1,100 to 1,600 iterations, 4 seconds or
less on one core; the simple RNN of 8 units after 2,800 to 3,700. With 16 units all cells need 200 to 700.

In BTBPVVETE a string of a small grammar, BPVVE, stands between two T; between two P stand others of the same grammar.
What is within says nothing of what is around it. So the last but one is known only to who has kept the second symbol
through the string within, 8 symbols in the mean; to guess is right half the time.

Two ways lead on from most places, each taken half the time. So the best that can be done is known: to give 1/2 to each
of two symbols, or 1 to one. A symbol is held for legal if it is given more than half of the lesser, 1/4.

Hochreiter and Schmidhuber, *Long Short-Term Memory*, 1997. There the LSTM took 8,000 strings or more, and the simple
networks mostly failed; with Adam, clipping and an orthogonal start they do not.
"""

import argparse
import sys

import numpy as np

import tinygrad_rnn as rnn

CELLS: dict[str, type[rnn.RNNCell | rnn.GRUCell | rnn.LSTMCell]] = {
    "rnn": rnn.RNNCell,
    "gru": rnn.GRUCell,
    "lstm": rnn.LSTMCell,
}


def measure(
    model: rnn.Sequential, grammar: rnn.datasets.ReberGrammar, strings: list[np.ndarray], threshold: float
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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cell", choices=CELLS, default="lstm", help="what reads (lstm)")
    add("--hidden", type=int, default=8, help="units (8)")
    add("--batch", type=int, default=32, help="strings an iteration (32)")
    add("--lr", type=float, default=0.01, help="learning rate (0.01)")
    add("--iterations", type=int, default=5000, help="when to give up (5000)")
    add("--every", type=int, default=100, metavar="N", help="measure every N iterations (100)")
    add("--threshold", type=float, default=0.25, help="the probability above which a symbol is held for legal (0.25)")
    add("--seed", type=int, default=0, help="of weights and strings (0)")
    args = parser.parse_args(arguments)
    if not 0 < args.threshold < 0.5:
        raise ValueError(f"a legal symbol has 1/2 or 1: --threshold must be between 0 and 1/2, not {args.threshold}")

    grammar = rnn.datasets.ReberGrammar(embedded=True)
    weights, data, fresh = np.random.default_rng(args.seed).spawn(3)
    V, H = grammar.vocab_size, args.hidden
    model = rnn.Sequential(rnn.OneHot(V), CELLS[args.cell](V, H, rng=weights), rnn.Linear(H, V, rng=weights))
    criterion = rnn.SoftmaxCrossEntropy()
    optimizer = rnn.Adam(model, args.lr, clip=rnn.ClipNorm(1.0))
    print(f"{model!r}, {sum(parameter.size for parameter in model.parameters()):,} parameters")

    for i in range(1, args.iterations + 1):
        ids, lengths = rnn.pad(grammar.sample(args.batch, rng=data))
        ys, _, cache = model.forward(ids[:-1], lengths=lengths - 1)  # nothing follows the last symbol
        _, loss_cache = criterion.forward(ys, ids[1:], lengths=lengths - 1)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)
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
                return
    print(f"not all right after {args.iterations} iterations")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, TypeError, FloatingPointError) as error:
        sys.exit(f"reber: {error}")
