"""Tagging letters
===============

A network reads a text without its spaces, and predicts for each letter whether a word ends there::

    python examples/tagger.py
    python examples/tagger.py --one-way
    python examples/tagger.py --plot tagger.png

The text is Python's manual (here that of 3.11). The last tenth is held out, and the results are measured on it. Each
command takes about 20 seconds on one core::

    the usual tag of a letter, "end" only for d and y    F1 22 %    79 % of letters right
    one LSTM, which reads forward                        F1 79 %    91 %
    two LSTMs of half the units, one reading backward    F1 93 %    97 %

Whether a word ends after "the" depends on the letters that follow: "the map" or "thermometer". So one LSTM reads the
sentence from its start and another one from its own end, also in a padded batch. The tag of a letter is predicted from
the outputs of both. F1 is the harmonic mean of precision, the share of the predicted ends that are right, and recall,
the share of the true ends that are found.

Graves and Schmidhuber, *Framewise Phoneme Classification with Bidirectional LSTM and Other Neural Network
Architectures*, 2005; Huang, Xu and Yu, *Bidirectional LSTM-CRF Models for Sequence Tagging*, 2015.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinygrad_rnn as rnn
from options import add_text, check_picture, check_ranges, check_text, make_parser, read_text, run

LETTERS = "abcdefghijklmnopqrstuvwxyz"
Sentence = tuple[np.ndarray, np.ndarray]
"""Its letters (T,), 0 to 25, and their tags (T,): 1 where a word ends, else 0."""


def sentences(text: str) -> list[Sentence]:
    """Those of at least two words, each once."""
    parts = re.split(r"[.:;!?]\s|\n\n", text.lower())
    found = dict.fromkeys(tuple(re.findall("[a-z]+", part)) for part in parts)
    return [tagged(words) for words in found if len(words) > 1]


def tagged(words: tuple[str, ...]) -> Sentence:
    letters = np.array([LETTERS.index(letter) for letter in "".join(words)])
    tags = np.zeros_like(letters)
    tags[np.cumsum([len(word) for word in words]) - 1] = 1
    return letters, tags


def with_spaces(letters: np.ndarray, tags: np.ndarray) -> str:
    return "".join(LETTERS[x] + " " * tag for x, tag in zip(letters.tolist(), tags.tolist(), strict=True))


def batches(data: list[Sentence], batch: int, rng: Any = None) -> Iterator[rnn.Batch]:
    """Letters and tags (T, B), and lengths (B,): one epoch, in which sentences of like lengths come together."""
    for indices in rnn.length_batches([len(letters) for letters, _ in data], batch=batch, rng=rng):
        letters, lengths = rnn.pad([data[i][0] for i in indices])
        tags, _ = rnn.pad([data[i][1] for i in indices])
        yield rnn.Batch(letters, tags, lengths)


def measured(tag: Callable[[np.ndarray, np.ndarray], np.ndarray], data: list[Sentence]) -> str:
    """How good the tags (T, B) are that `tag` gives to letters (T, B), padded from their lengths (B,) on."""
    size = right = given = ends = both = 0
    for letters, targets, lengths, *_ in batches(data, 128):
        there = np.arange(len(letters))[:, None] < lengths
        tags, targets = tag(letters, lengths)[there], targets[there]
        size, right = size + tags.size, right + (tags == targets).sum()
        given, ends, both = given + tags.sum(), ends + targets.sum(), both + (tags * targets).sum()
    return f"F1 {100 * 2 * both / (given + ends):.1f} %, accuracy {100 * right / size:.1f} %"


def train(args: argparse.Namespace) -> None:
    """For some epochs; then put the spaces into sentences that were held out."""
    data = sentences(read_text(args))
    if len(data) < 10:
        raise ValueError(f"a tenth is held out: the text must have at least 10 sentences of two words, not {len(data)}")
    train, held_out = data[: len(data) * 9 // 10], data[len(data) * 9 // 10 :]
    weights, order = np.random.default_rng(args.seed).spawn(2)
    V, H = len(LETTERS), args.hidden
    reader: rnn.Recurrent
    if args.one_way:
        reader = rnn.LSTMCell(V, 2 * H, rng=weights)
    else:
        reader = rnn.Bidirectional(rnn.LSTMCell(V, H, rng=weights), rnn.LSTMCell(V, H, rng=weights))
    model = rnn.Sequential(rnn.OneHot(V), reader, rnn.Linear(2 * H, 2, rng=weights))
    criterion = rnn.SoftmaxCrossEntropy()
    lr = rnn.schedules.cosine(args.lr, steps=args.epochs * -(-len(train) // args.batch))
    optimizer = rnn.Adam(model, lr, clip=rnn.ClipNorm(1.0))
    print(f"{model!r}, {sum(parameter.size for parameter in model.parameters()):,} parameters")

    def likeliest(letters: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        scores, _ = model(letters, lengths=lengths)
        tags: np.ndarray = scores.argmax(axis=-1)
        return tags

    letters, tags = (np.concatenate(part) for part in zip(*train, strict=True))
    usual = 2 * np.bincount(letters, tags, V) > np.bincount(letters, minlength=V)
    print(f"{len(train)} sentences, {len(held_out)} more held out")
    print(f"the usual tag of a letter: held out {measured(lambda letters, _: usual[letters], held_out)}")
    for epoch in range(1, args.epochs + 1):
        losses = []
        for batch in batches(train, args.batch, order):
            model.zero_grad()
            loss, _, _ = rnn.gradients(model, criterion, batch)
            optimizer.step()
            losses.append(float(loss))
        print(f"epoch {epoch}: loss {np.mean(losses):.4f}; held out {measured(likeliest, held_out)}", flush=True)
    for letters, _ in held_out[:: -(-len(held_out) // 5)]:
        print(with_spaces(letters, likeliest(letters[:, None], np.array([len(letters)]))[:, 0]))
    if args.plot is not None:
        plot(args.plot, model, [letters for letters, _ in held_out[:: -(-len(held_out) // 12)]])


def plot(path: str, model: rnn.Sequential, sentences: list[np.ndarray], width: int = 60) -> None:
    """The beginning of each sentence, each letter coloured by the probability that a word ends there."""
    from tinygrad_rnn import plotting

    ends, text = [], ""
    for letters in sentences:
        ends += [rnn.Softmax()(model(letters[:, None])[0])[:width, 0, 1], np.zeros(1, "float32")]
        text += "".join(LETTERS[x] for x in letters[:width]) + "\n"
    figure = plotting.unit(np.concatenate(ends), text, width=width + 1)
    figure.axes[1].set_xlabel("probability that a word ends here")
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--one-way", action="store_true", help="read forward only, with as many units in all")
    add_text(parser)
    add("--hidden", type=int, default=64, help="units that read in one direction (64)")
    add("--batch", type=int, default=32, help="sentences an iteration (32)")
    add("--lr", type=float, default=0.02, help="learning rate, which falls to 0 (0.02)")
    add("--epochs", type=int, default=10, help="how often to go through all sentences (10)")
    add("--plot", metavar="FILE", help="draw where it says that words end: .png, .svg or .pdf")
    add("--seed", type=int, default=0, help="of weights and order (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args)
    check_text(parser, args)
    check_picture(parser, args.plot)
    train(args)


if __name__ == "__main__":
    run(main)
