"""A wrong bracket in a line of code
=================================

A network reads a line of Python character by character, and says whether its brackets match::

    python examples/brackets.py --plot brackets.png

It takes half a minute on one core. The data are some 5,000 lines of Python's own library with brackets of two kinds or
more. Each line occurs once as it is, and once with two different closing brackets exchanged: `len(cache[name)]`. A
fifth is held out, by whole files. The accuracy is that of the seeds 0 to 2; other versions of Python have other lines::

    linear model of pairs of characters    0.80 to 0.81
    linear model of pairs of brackets      0.98 to 0.99
    GRU of 64 units                        0.98 to 0.99

Both versions of a line have the same characters. The first linear model counts each character with the next one: it
knows what the network knows, but sees only what stands side by side. The second counts each bracket with the next one,
after everything else is removed. The rule `match` makes no mistake, because it chooses the lines of the library.

The mistake may be anywhere, so `ManyToOne` takes the maximum of each output over the steps. The picture shows held-out
lines; the colour of a character is what the network says after it.
"""

import argparse
import re
import string
import sysconfig
from collections import Counter
from pathlib import Path
from sys import stdlib_module_names

import numpy as np

import tinygrad_rnn as rnn
from options import check_picture, check_ranges, make_parser, run
from tinygrad_rnn.training import metrics

CLOSING, OTHERS = ")]}", r"[^][(){}]"  # and what is no bracket


def match(line: str) -> bool:
    """Whether each bracket is closed by one of its kind, in the right order: then all vanish, the inner ones first."""
    rest = re.sub(OTHERS, "", line)
    while rest != (shorter := re.sub(r"\(\)|\[\]|\{\}", "", rest)):
        rest = shorter
    return not rest


def library(root: Path) -> tuple[list[str], np.ndarray]:
    """The lines whose brackets match and are of two kinds or more, each of them once, and the number of its file."""
    found: dict[str, int] = {}
    paths = [path for name in stdlib_module_names for path in (root / f"{name}.py", *(root / name).rglob("*.py"))]
    for number, path in enumerate(sorted(paths)):
        if not path.is_file() or {"test", "tests", "idle_test"} & {*path.relative_to(root).parts}:
            continue
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            line = line.strip()
            if sum(bracket in line for bracket in CLOSING) < 2:
                continue
            if len(line) <= 80 and line.isascii() and line.isprintable() and line[:1] != "#" and match(line):
                found.setdefault(line, number)
    if len(set(found.values())) < 10:
        raise ValueError(f"too few sources of Python's library are in {root}: install them")
    return list(found), np.array([*found.values()])


def exchange(line: str, rng: np.random.Generator) -> str:
    """The line with two closing brackets of unlike kinds exchanged, which never match afterwards."""
    closing = [i for i, c in enumerate(line) if c in CLOSING]
    unlike = [(i, j) for i in closing for j in closing if i < j and line[i] != line[j]]
    i, j = unlike[rng.integers(len(unlike))]
    return line[:i] + line[j] + line[i + 1 : j] + line[i] + line[j + 1 :]


def pairs(line: str) -> list[str]:
    """Each character with the one after it."""
    return [line[i : i + 2] for i in range(len(line) - 1)]


def counts(texts: list[str], kinds: list[str]) -> np.ndarray:
    """How often each kind of pair is in each text, (N, V)."""
    columns, found = {kind: i for i, kind in enumerate(kinds)}, np.zeros((len(texts), len(kinds)), "float32")
    for row, text in zip(found, texts, strict=True):
        for kind in pairs(text):
            if kind in columns:
                row[columns[kind]] += 1
    return found


def compare(args: argparse.Namespace) -> None:
    """Two linear models of pairs, and a network that reads the line."""
    weights, data, order = np.random.default_rng(args.seed).spawn(3)
    lines, files = library(Path(sysconfig.get_path("stdlib")))
    some = data.permutation(len(lines))[: args.lines]
    parts = rnn.split(files[some], fractions=(0.8, 0.2), rng=data, groups=files[some])
    train, test = ([lines[i] for i in some[part]] for part in parts)
    learnt, held_out = ([text for line in part for text in (line, exchange(line, data))] for part in (train * 8, test))
    labels, wrong = np.arange(len(learnt)) % 2, np.arange(len(held_out)) % 2
    print(f"{len(train)} lines to learn, {len(test)} of other files held out, each with a mistake and without")
    criterion, measures = rnn.SoftmaxCrossEntropy(), {"accuracy": metrics.Accuracy()}
    once = slice(2 * len(train))  # each line with and without a mistake
    for name, taken_away in {"characters": "", "brackets": OTHERS}.items():
        texts, others = ([re.sub(taken_away, "", text) for text in part] for part in (learnt[once], held_out))
        kinds = [kind for kind, _ in Counter(pair for text in texts for pair in pairs(text)).most_common(1000)]
        linear = rnn.Sequential(rnn.Linear(len(kinds), 2, rng=weights))
        whole = rnn.Batch(counts(texts, kinds)[None], labels[once][None])
        tested = rnn.Batch(counts(others, kinds)[None], wrong[None])
        rnn.fit(linear, criterion, rnn.Adam(linear, lr=0.03), [whole], steps=100, progress=False)
        found = rnn.measure(linear, criterion, [tested], metrics=measures)
        print(f"linear model of pairs of {name}: accuracy {found['accuracy']:.3f}", flush=True)

    tokenizer = rnn.CharTokenizer(string.printable)
    source = rnn.SequenceBatches([tokenizer.encode(text) for text in learnt], labels, batch=args.batch, rng=order)
    valid = rnn.SequenceBatches([tokenizer.encode(text) for text in held_out], wrong, batch=args.batch)
    encoder = rnn.Sequential(rnn.OneHot(len(tokenizer)), rnn.GRUCell(len(tokenizer), args.hidden, rng=weights))
    model = rnn.ManyToOne(encoder, rnn.Linear(args.hidden, 2, rng=weights), pool="max")
    optimizer = rnn.Adam(model, rnn.schedules.cosine(args.lr, steps=args.iterations), clip=rnn.ClipNorm(1.0))
    rnn.fit(model, criterion, optimizer, source, steps=args.iterations)
    found = rnn.measure(model, criterion, valid, metrics=measures)
    print(f"GRU of {args.hidden} units: accuracy {found['accuracy']:.3f}")
    if args.plot is not None:
        plot(args.plot, model, tokenizer, held_out[:: len(held_out) // 12 | 1][:12])


def plot(path: str, model: rnn.ManyToOne, tokenizer: rnn.CharTokenizer, lines: list[str]) -> None:
    """The lines, each character coloured by what the model says of the line up to it."""
    from matplotlib.figure import Figure

    from tinygrad_rnn import plotting

    colours = []
    for line in lines:
        ids = tokenizer.encode(line)
        logits, _ = model(np.tile(ids[:, None], len(ids)), lengths=1 + np.arange(len(ids)))  # row i ends after i + 1
        colours += [2 * rnn.Softmax()(logits)[:, 1] - 1, np.zeros(1, "float32")]  # 0 for the end of the line
    width = max(map(len, lines)) + 1
    figure = Figure(figsize=(0.2 + 0.1 * width, 0.4 + 0.19 * len(lines)), layout="constrained")
    plotting.unit(np.concatenate(colours), "".join(line + "\n" for line in lines), width=width, axes=figure.subplots())
    figure.suptitle("blue: the brackets match so far; red: one is wrong", fontsize=9)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--hidden", type=int, default=64, help="units (64)")
    add("--batch", type=int, default=64, help="lines an iteration (64)")
    add("--lr", type=float, default=0.01, help="learning rate, which falls to 0 (0.01)")
    add("--iterations", type=int, default=600, help="training iterations (600)")
    add("--lines", type=int, default=10000, help="how many lines at most (10000)")
    add("--plot", metavar="FILE", help="draw what it says after each character: .png, .svg or .pdf")
    add("--seed", type=int, default=0, help="of files, mistakes, weights and order (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args, {"at least 1": "lines"})
    check_picture(parser, args.plot)
    compare(args)


if __name__ == "__main__":
    run(main)
