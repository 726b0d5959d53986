"""A look inside an LSTM
=====================

This script shows what a character LSTM expects, what its units keep, and what one of them has learnt to detect::

    python examples/look_inside.py --folder pictures

The LSTM is trained on Python's manual for some 20 seconds on one core. Then it reads a held-out part, and the script
draws::

    losses.png         the training loss, and the loss on the held-out tenth, which ends above it
    probabilities.png  the next character: inside a word one letter may be nearly sure, at its beginning none is
    states.png         state, memory and gates of 24 units: rows that keep their colour are units that remember
    unit.png           a text, coloured by the memory of one unit, chosen as described below
    pca.png, tsne.png  states as points: states after the same character lie together
    parameters.png     weights and gradients of each layer
    report.html        all of this on an interactive page: point at a character, choose a unit

A careful reader knows more than the last characters: whether the text is inside quotes, whether it is inside
parentheses, and how long the line is so far. Nobody tells the network. On one half of the held-out part, the memory of
each unit, tanh c, is correlated with each of these three. The script prints the best unit for each, and draws the best
of all on the other half. With each of the seeds 0, 1 and 2, it is a unit that detects quotes: it changes its colour at
an opening quote, and again soon after a closing one.

This needs matplotlib and scikit-learn, `python -m pip install 'tinygrad-rnn[plot]'`.

Karpathy, Johnson and Li, *Visualizing and Understanding Recurrent Networks*, 2015; van der Maaten and Hinton,
*Visualizing Data using t-SNE*, 2008.
"""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_rnn as rnn
from options import add_text, check_ranges, check_text, make_folder, make_parser, read_text, run

LSTM = "layers.1"  # where it stands in the model
Curve = tuple[list[int], list[float]]
"""Iterations and losses."""


def train(model: rnn.Sequential, ids: np.ndarray, held_out: rnn.TokenStream, args: argparse.Namespace) -> list[Curve]:
    """The losses of the training, mean of ten iterations each, and those of the held-out text."""
    stream = rnn.TokenStream(ids, batch=args.batch, steps=64)
    criterion = rnn.SoftmaxCrossEntropy()
    lr = rnn.schedules.cosine(args.lr, steps=args.iterations)
    optimizer = rnn.Adam(model, lr, clip=rnn.ClipNorm(1.0))
    state, losses, validated = None, list[float](), list[float]()
    for i in range(1, args.iterations + 1):
        model.zero_grad()
        loss, _, state = rnn.gradients(model, criterion, stream[(i - 1) % len(stream)], state)
        optimizer.step()
        losses.append(float(loss))
        if i % args.every == 0:
            validated.append(rnn.evaluate(model, held_out))
            print(f"iteration {i}: {np.mean(losses[-args.every :]):.3f} nats, held out {validated[-1]:.3f}", flush=True)
    tens = [float(np.mean(losses[i : i + 10])) for i in range(0, len(losses), 10)]
    return [
        (list(range(5, len(losses) + 5, 10)), tens),
        (list(range(args.every, len(losses) + 1, args.every)), validated),
    ]


def properties(text: str) -> dict[str, np.ndarray]:
    """What a reader knows after each character who has counted since the text began: arrays (T,)."""
    found: dict[str, list[float]] = {name: [] for name in ("in quotes", "in parentheses", "column")}
    quoted, depth, column = False, 0, 0
    for before, character in zip("\n" + text, text, strict=False):
        paragraph = before == character == "\n"  # where what was left open is closed
        quoted = not paragraph and quoted != (character == '"')
        depth = 0 if paragraph else max(0, depth + (character == "(") - (character == ")"))
        column = 0 if character == "\n" else column + 1
        for numbers, number in zip(found.values(), (quoted, depth > 0, column), strict=True):
            numbers.append(number)
    return {name: np.array(numbers, float) for name, numbers in found.items()}


def correlations(units: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Pearson's, of each of the units (T, H) with what is known (T,); 0 where one of the two never changes."""
    units, known = units - units.mean(axis=0), known - known.mean()
    spread = np.sqrt((units**2).sum(axis=0) * (known**2).sum())
    found: np.ndarray = known @ units / np.maximum(spread, np.finfo(float).tiny)
    return found


def look_inside(args: argparse.Namespace) -> None:
    """Train an LSTM, find the unit that knows most of what a reader knows, and draw."""
    text = read_text(args)
    tokenizer = rnn.CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    # Nine tenths are learnt. In half of the rest the units are judged, in the other half they are looked at.
    cut, middle = len(ids) * 18 // 20, len(ids) * 19 // 20
    start = middle + text[middle:].find("\n") + 1
    if not 3 <= args.states < len(ids) - start:
        raise ValueError(f"--states must be 3 to {len(ids) - start - 1}, as there are no more, not {args.states}")
    if not 1 <= args.steps <= args.states:
        raise ValueError(f"--steps must be 1 to --states, {args.states}, not {args.steps}")
    held_out = rnn.TokenStream(ids[cut:], batch=16, steps=64)
    from tinygrad_rnn import plotting

    make_folder(args.folder)  # if nothing can be written there, this says so now, and not after the training
    import sklearn  # noqa: F401  # and if scikit-learn is missing, this does

    V, weights = len(tokenizer), np.random.default_rng(args.seed)
    cell = rnn.LSTMCell(64, args.hidden, rng=weights)
    model = rnn.Sequential(rnn.Embedding(V, 64, rng=weights), cell, rnn.Linear(args.hidden, V, rng=weights))
    print(f"{model!r}, {sum(parameter.size for parameter in model.parameters()):,} parameters")
    training, validation = train(model, ids[:cut], held_out, args)

    memory = np.tanh(rnn.record(model, ids[cut:middle, None])[LSTM].values["c"][:, 0])
    best = ("", 0, 0.0)
    for name, known in properties(text[cut:middle]).items():
        found = correlations(memory, known)
        k = int(np.abs(found).argmax())
        print(f"{name}: the memory of unit {k} has a correlation of {found[k]:+.2f}")
        best = max(best, (name, k, found[k]), key=lambda one: abs(one[2]))
    name, k, _ = best
    print(f"drawn: unit {k}, {name}")

    xs, targets = ids[start : start + args.states, None], ids[start + 1 : start + 1 + args.states, None]
    seen = rnn.record(model, xs, tokenizer=tokenizer)
    labels, values = seen.labels[:, 0], {name: array[:, 0] for name, array in seen[LSTM].values.items()}
    part = slice(args.steps)
    figures = {
        "losses": plotting.losses({"training, mean of ten": training, "held out": validation}, unit="nats a character"),
        "probabilities": plotting.probabilities(
            rnn.Softmax()(seen.outputs[part, 0]), labels[part], tokenizer.characters, top=16, targets=targets[part, 0]
        ),
        "states": plotting.states({name: array[part, :24] for name, array in values.items()}, labels[part]),
        "unit": plotting.unit(np.tanh(values["c"][:, k]), labels),
        "pca": plotting.projection(values["h"], labels),
        "tsne": plotting.projection(values["h"], labels, method="tsne"),
        "parameters": plotting.parameters(model),
    }
    for name, figure in figures.items():
        figure.savefig(args.folder / f"{name}.{args.format}")
    rnn.inspection.report(
        model,
        text[start : start + args.states],
        args.folder / "report.html",
        tokenizer=tokenizer,
        unit=(LSTM, "c", k),
        title="An LSTM reads Python's manual",
    )
    print(f"{len(figures)} pictures and report.html are in {args.folder}")


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--folder", type=Path, default=Path("pictures"), help="where the pictures are written (pictures)")
    add("--format", choices=("png", "svg", "pdf"), default="png", help="of the pictures (png)")
    add_text(parser)
    add("--hidden", type=int, default=128, help="units of the LSTM (128)")
    add("--batch", type=int, default=32, help="texts read side by side (32)")
    add("--lr", type=float, default=0.01, help="learning rate, which falls to 0 (0.01)")
    add("--iterations", type=int, default=1000, help="of 64 characters a text (1000)")
    add("--every", type=int, default=100, metavar="N", help="measure every N iterations (100)")
    add("--steps", type=int, default=70, help="characters of the pictures over a text (70)")
    add("--states", type=int, default=800, help="characters of the other pictures (800)")
    add("--seed", type=int, default=0, help="of the weights (0)")
    args = parser.parse_args(arguments)
    if not 1 <= args.every <= args.iterations:
        parser.error(f"--every must be 1 to --iterations, {args.iterations}, not {args.every}")
    check_ranges(parser, args, {"at least 1": "steps"})
    if args.states < 3:
        parser.error(f"--states must be at least 3, not {args.states}")
    check_text(parser, args)
    look_inside(args)


if __name__ == "__main__":
    run(main)
