"""Words by heart
==============

A small network learns a list of words by heart, and then completes a prefix::

    python examples/vanilla_words.py --prefix str

Words with the same prefix have the same states up to there. So the next letter must depend on all letters before it.
"""

import argparse

import numpy as np

from options import check_ranges, make_parser, run
from tinygrad_rnn import VanillaRNN

FRUIT = (
    "apple apricot banana blueberry cherry coconut damson elderberry fig grape kiwi lemon mango melon nectarine "
    "orange papaya peach pear plum quince raspberry strawberry"
)
END = "."
"""Ends each word, so that the network learns how long it is."""


def train(args: argparse.Namespace) -> None:
    """Learn the words, and then complete each prefix."""
    words = [word + END for word in args.words]
    idx_to_char = dict(enumerate(sorted(set("".join(words)))))
    char_to_idx = {character: i for i, character in idx_to_char.items()}
    V = len(char_to_idx)
    model = VanillaRNN(V, args.hidden, V, args.lr, rng=np.random.default_rng(args.seed))
    print(f"{len(words)} words of {V} different characters")
    prefixes = sorted({word[:2] for word in args.words}) if args.prefix is None else args.prefix
    for prefix in prefixes:
        model.predict(prefix, char_to_idx, idx_to_char, 0)  # another character is an error now, not after the training
    model.train_words(words, char_to_idx, epochs=args.epochs, print_interval=max(args.epochs // 6, 1))

    length = max(map(len, words))
    for prefix in prefixes:
        word, *_ = model.predict(prefix, char_to_idx, idx_to_char, length).split(END)
        print(f"{prefix:>10} -> {word}{'' if word in args.words else '   (not one of the words)'}")


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--words", nargs="+", metavar="WORD", default=FRUIT.split(), help="what to learn (fruit)")
    parser.add_argument("--prefix", nargs="+", metavar="TEXT", help="what to complete (the start of each word)")
    parser.add_argument("--epochs", type=int, default=300, help="how often to go through all words (300)")
    parser.add_argument("--hidden", type=int, default=64, help="units (64)")
    parser.add_argument("--lr", type=float, default=0.2, help="learning rate (0.2)")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args)
    if not all(args.words) or END in "".join([*args.words, *(args.prefix or [])]):
        parser.error(f"a word has a character, and {END!r} only at its end, where it is put by itself")
    train(args)


if __name__ == "__main__":
    run(main)
