"""Strings written backwards
=========================

One LSTM reads a string of 1 to 20 letters. Another one writes it backwards, and looks at what was read::

    python examples/reverse_strings.py --plot reverse_strings.png

After 800 to 1,000 iterations, 13 to 17 seconds on one core, 99 % of new strings are without a mistake. After all 1,500
iterations, which `--goal 1` can need, it is 99.9 % with seed 0.

Without attention, the final state of the encoder would have to hold all letters. With attention, that state only has to
tell where the string ends: the decoder looks at the last letter first, and then one letter further back at each step.

Sutskever, Vinyals and Le, *Sequence to Sequence Learning with Neural Networks*, 2014; Luong, Pham and Manning,
*Effective Approaches to Attention-based Neural Machine Translation*, 2015.
"""

import argparse
import string

import numpy as np

import tinygrad_rnn as rnn
from options import check_every, check_picture, check_ranges, make_parser, run

LETTERS = rnn.CharTokenizer(string.ascii_lowercase, special=("<end>",))
END = 0  # also what the decoder reads first
FRESH = 1000


def strings(rng: np.random.Generator, batch: int, longest: int) -> list[np.ndarray]:
    """Letters 1 to 26."""
    return [rng.integers(1, len(LETTERS), length) for length in rng.integers(1, longest + 1, batch)]


def build(D: int, H: int, rng: np.random.Generator) -> rnn.EncoderDecoder:
    """The decoder has the sizes of the encoder, and takes over its state."""
    V = len(LETTERS)
    encoder = rnn.Sequential(rnn.Embedding(V, D, rng=rng), rnn.LSTMCell(D, H, rng=rng))
    recurrent = rnn.Sequential(rnn.Embedding(V, D, rng=rng), rnn.LSTMCell(D, H, rng=rng))
    decoder = rnn.AttentionDecoder(recurrent, rnn.DotAttention(), rnn.Linear(2 * H, V, rng=rng))
    return rnn.EncoderDecoder(encoder, decoder)


def train(args: argparse.Namespace) -> None:
    """Until enough of the new strings are written without a mistake."""
    weights, data, fresh = np.random.default_rng(args.seed).spawn(3)
    model = build(args.embedding, args.hidden, weights)
    criterion = rnn.SoftmaxCrossEntropy()
    optimizer = rnn.Adam(model, rnn.schedules.cosine(args.lr, steps=args.iterations), clip=rnn.ClipNorm(1.0))
    print(f"{model!r}, {sum(parameter.size for parameter in model.parameters()):,} parameters")

    for i in range(1, args.iterations + 1):
        texts = strings(data, args.batch, args.longest)
        sources, source_lengths = rnn.pad(texts)
        targets, lengths = rnn.pad([np.append(text[::-1], END) for text in texts], fill=-1)  # -1 is not judged
        read, _ = rnn.pad([np.append(END, text[::-1]) for text in texts])  # the same, a step late
        ys, cache = model.forward(sources, read, source_lengths=source_lengths, target_lengths=lengths)
        loss, loss_cache = criterion.forward(ys, targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), cache)
        optimizer.step()
        if i % args.every == 0:
            texts = strings(fresh, FRESH, args.longest)  # never seen in training
            sources, lengths = rnn.pad(texts)
            state = model.encode(sources, lengths=lengths)
            written = rnn.greedy_search(model.decoder, [END] * FRESH, length=args.longest + 1, state=state, stop=(END,))
            right = np.mean([row == text[::-1].tolist() for row, text in zip(written, texts, strict=True)])
            print(f"iteration {i}: loss {float(loss):.4f}, {100 * right:.1f} % of fresh strings right", flush=True)
            if right >= args.goal:
                print(f"at least {100 * args.goal:g} % after {i} iterations, such as")
                break
    else:
        print(f"still below {100 * args.goal:g} % after {args.iterations} iterations, such as")
    for text, row in list(zip(texts, written, strict=True))[:3]:
        print(f"{LETTERS.decode(text)} -> {LETTERS.decode(row)}")
    if args.plot is not None:
        plot(args.plot, model, max(texts, key=len))


def plot(path: str, model: rnn.EncoderDecoder, text: np.ndarray) -> None:
    """Where the decoder looks while it writes each letter, and the end, if what came before is right."""
    from tinygrad_rnn import plotting

    weights = model.alignments(text[:, None], np.append(END, text[::-1])[:, None])
    letters = LETTERS.decode(text)
    plotting.attention(weights[:, 0], letters, [*letters[::-1], "end"]).savefig(path)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--longest", type=int, default=20, help="letters of a string, at most (20)")
    add("--embedding", type=int, default=32, help="features of a letter (32)")
    add("--hidden", type=int, default=128, help="units of each LSTM (128)")
    add("--batch", type=int, default=32, help="strings an iteration (32)")
    add("--lr", type=float, default=0.003, help="learning rate, which falls to 0 (0.003)")
    add("--iterations", type=int, default=1500, help="when to give up (1500)")
    add("--every", type=int, default=100, metavar="N", help="measure every N iterations (100)")
    add("--goal", type=float, default=0.99, help="the part of fresh strings to reverse without a mistake (0.99)")
    add("--plot", metavar="FILE", help="draw where it looks while it writes a string: .png, .svg or .pdf")
    add("--seed", type=int, default=0, help="of weights and strings (0)")
    args = parser.parse_args(arguments)
    check_ranges(parser, args, {"at least 1": "embedding", "above 0 and at most 1": "goal"})
    check_every(parser, args)
    check_picture(parser, args.plot)
    if args.longest < 1:
        parser.error(f"a string has a letter: --longest must be at least 1, not {args.longest}")
    train(args)


if __name__ == "__main__":
    run(main)
