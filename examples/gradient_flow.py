"""How far gradients get
=====================

This script shows how far gradients reach back through time, in an RNN, an LSTM and a GRU with the same training::

    python examples/gradient_flow.py --folder pictures

Each model is trained on Python's manual for a few seconds. Then each reads the same 32 held-out texts of 100
characters, and the loss of the next character is back-propagated to the first step. The script draws::

    gradient_flow.png  the norm of the gradient of that loss w.r.t. the state of each step; read it from right to left
    credit_rnn.png, credit_lstm.png, credit_gru.png
                       the same for every loss of one text: one column for each loss, one row for each state. The
                       further right of the diagonal, the more steps the gradient has gone back

The gradient of the RNN shrinks by about the same factor at each step, which is a straight line on the logarithmic
scale. After 100 steps, the gradient is too small to learn from. The gradients of the LSTM and the GRU level off,
because their gates preserve the gradient of what they keep. In a credit map, a dark column is a small loss, of a
character that the model was sure of. A row where the colour changes is a step at which a cell has forgotten something,
or has stored something that later losses need, such as an opening quote.

This needs matplotlib, `python -m pip install 'tinygrad-rnn[plot]'`.

Bengio, Simard and Frasconi, *Learning Long-Term Dependencies with Gradient Descent is Difficult*, 1994; Hochreiter and
Schmidhuber, *Long Short-Term Memory*, 1997.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as rnn
from options import add_text, check_ranges, check_text, make_folder, make_parser, read_text, run

CELLS: dict[str, Any] = {"RNN": rnn.RNNCell, "LSTM": rnn.LSTMCell, "GRU": rnn.GRUCell}
CELL = "layers.1"  # where it stands in the model


def compare(args: argparse.Namespace) -> None:
    """Train an RNN, an LSTM and a GRU alike, and draw what reaches their first step."""
    from tinygrad_rnn import plotting  # what it lacks it says now, and not after the training

    text = read_text(args)
    tokenizer = rnn.CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    cut = len(ids) * 9 // 10
    T, starts = args.steps, len(ids) - cut - args.steps
    if starts < 1:
        raise ValueError(f"the held-out tenth has {len(ids) - cut} characters: --steps must be below that, not {T}")
    texts = cut + np.random.default_rng(args.seed).integers(starts, size=32) + np.arange(T + 1)[:, None]
    xs, targets = ids[texts[:-1]], ids[texts[1:]].astype(int)
    last = np.where(np.arange(T)[:, None] == T - 1, targets, -1)  # -1: no loss at this step
    stream, held_out = (rnn.TokenStream(part, batch=b, steps=64) for part, b in ((ids[:cut], 32), (ids[cut:], 8)))
    make_folder(args.folder)  # where nothing can be written it says so now, and not after the training

    norms, credits = {}, {}
    for name, kind in CELLS.items():
        weights, V, H = np.random.default_rng(args.seed), len(tokenizer), args.hidden
        model = rnn.Sequential(
            rnn.Embedding(V, 32, rng=weights), kind(32, H, rng=weights), rnn.Linear(H, V, rng=weights)
        )
        optimizer = rnn.Adam(model, rnn.schedules.cosine(args.lr, steps=args.iterations), clip=rnn.ClipNorm(1.0))
        rnn.fit(model, rnn.SoftmaxCrossEntropy(), optimizer, stream, steps=args.iterations)
        gradients = rnn.record(model, xs, last)[CELL].gradients["h"].astype(float)  # in float32, squares become 0
        norms[name] = np.linalg.norm(gradients, axis=(1, 2))
        loss, left = rnn.evaluate(model, held_out), norms[name][0] / norms[name][-1]
        print(f"{name}: held out {loss:.3f} nats; {T - 1} steps back {left:.1e} of the gradient is left", flush=True)
        credits[name] = rnn.credit_map(model, xs[T - args.credit :, :1], targets[T - args.credit :, :1])
    figures = {"gradient_flow": plotting.gradient_flow(norms)}
    for name, credit in credits.items():
        figures[f"credit_{name.lower()}"] = plotting.credit(credit, tokenizer.decode(xs[T - args.credit :, 0]))
    for name, figure in figures.items():
        figure.savefig(args.folder / f"{name}.{args.format}")
    print(f"{len(figures)} pictures are in {args.folder}")


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--folder", type=Path, default=Path("pictures"), help="where the pictures are written (pictures)")
    add("--format", choices=("png", "svg", "pdf"), default="png", help="of the pictures (png)")
    add_text(parser)
    add("--hidden", type=int, default=64, help="units of each cell (64)")
    add("--lr", type=float, default=0.005, help="learning rate, which falls to 0 (0.005)")
    add("--iterations", type=int, default=400, help="of 32 texts by 64 characters (400)")
    add("--steps", type=int, default=100, help="how far to go back (100)")
    add("--credit", type=int, default=40, help="characters of a credit map (40)")
    add("--seed", type=int, default=0, help="of the weights, and of which texts are read (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args, {"at least 1": "steps"})
    check_text(parser, args)
    if not 1 <= args.credit <= args.steps:
        parser.error(f"--credit must be 1 to --steps, {args.steps}, not {args.credit}")
    compare(args)


if __name__ == "__main__":
    run(main)
