"""A character RNN: train it on a text, then let it write.

    python examples/char_rnn.py train
    python examples/char_rnn.py generate char_rnn.safetensors --prompt "The "

Without a text it learns the manual that comes with every Python, for about a minute.
"""

import argparse
import itertools
import lzma
import math
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import tinygrad_rnn as rnn
from tinygrad_rnn import datasets

LEARNING_RATES = {"adagrad": 0.02, "sgd": 0.5}


def train(args: argparse.Namespace) -> None:
    text = datasets.read_text(args.text) if args.text else datasets.pydoc_topics()
    tokenizer = rnn.CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    cut = round(0.9 * len(ids))  # the tail is held out
    stream = rnn.TokenStream(ids[:cut], batch=args.batch, steps=args.steps)
    held_out = rnn.TokenStream(ids[cut:], batch=1, steps=args.steps)

    rng, V, H = np.random.default_rng(args.seed), len(tokenizer), args.hidden
    model = rnn.Sequential(rnn.OneHot(V), rnn.RNNCell(V, H, rng=rng), rnn.Linear(H, V, rng=rng)).to(args.device)
    device = rnn.Device(args.device)
    criterion = rnn.SoftmaxCrossEntropy()
    lr = args.lr or LEARNING_RATES[args.optimizer]
    optimizer = {"adagrad": rnn.Adagrad, "sgd": rnn.SGD}[args.optimizer](model, lr, clip=rnn.ClipValue(args.clip))
    print(f"{len(ids):,} characters, {V} different; {model!r}, {sum(p.size for p in model.parameters()):,} parameters")

    state: Any = None
    losses: list[float] = []
    for xs, targets, fresh in progress(stream, args, losses):
        xs, targets, fresh = (device.asarray(array) for array in (xs, targets, fresh))
        state = model.restart(state, fresh)  # rows where a document begins
        logits, state, cache = model.forward(xs, state)
        loss, loss_cache = criterion.forward(logits, targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)  # None: nothing flows in from the future
        optimizer.step()
        losses.append(float(device.to_host(loss)))

    print("                        nats    bits  perplexity  a character")
    report("training, last 100", sum(losses[-100:]) / len(losses[-100:]))
    report("held out", evaluate(model, held_out, device))
    report("  bigram counts", bigram_loss(ids[:cut], ids[cut:], V))
    head, tail = text[:cut].encode(), text[cut:].encode()
    for name, compress in (("zlib", zlib.compress), ("xz", lzma.compress)):
        more = len(compress(head + tail)) - len(compress(head))  # what the tail costs, once the head is known
        report(f"  {name}", more * 8 * math.log(2) / (len(text) - cut))

    rnn.save(args.out, model, tokenizer=tokenizer, metadata={"iterations": len(losses)})
    print(f"saved as {args.out}; a sample:\n")
    write(model, tokenizer, text[cut], 400, 0.8, args.seed)


def progress(stream: rnn.TokenStream, args: argparse.Namespace, losses: list[float]) -> Iterator[Any]:
    """Chunks, epoch after epoch, until the iterations or the seconds are over; with a bar."""
    total, start = args.iterations or args.seconds, time.monotonic()
    with tqdm(total=total, bar_format="{percentage:3.0f}% |{bar}| {desc}") as bar:
        for i, chunk in enumerate(itertools.chain.from_iterable(itertools.repeat(stream))):
            done = i if args.iterations else min(time.monotonic() - start, total)
            if losses:
                recent = sum(losses[-100:]) / len(losses[-100:])
                shown = f"{i} iterations, loss {recent:.3f} nats, {recent / math.log(2):.3f} bits"
                bar.set_description_str(shown, refresh=done == total)
            bar.update(done - bar.n)
            if losses and done == total:
                return
            yield chunk


def evaluate(model: rnn.Sequential, stream: rnn.TokenStream, device: rnn.Device) -> float:
    """The mean loss in nats, the state carried over the whole text."""
    criterion, total = rnn.SoftmaxCrossEntropy(reduction="sum"), 0.0
    state: Any = None
    for xs, targets, _ in stream:
        logits, state = model(device.asarray(xs), state)
        total += float(device.to_host(criterion(logits, device.asarray(targets))))
    return total / stream.transitions


def bigram_loss(train: Any, test: Any, V: int) -> float:
    """What a character tells of the next one: counted, one added to every count."""
    counts = 1.0 + np.bincount(train[:-1].astype(int) * V + train[1:], minlength=V * V).reshape(V, V)
    return float(-np.log(counts / counts.sum(axis=1, keepdims=True))[test[:-1], test[1:]].mean())


def report(name: str, nats: float) -> None:
    print(f"{name:20} {nats:7.3f} {nats / math.log(2):7.3f}  {math.exp(nats):10.2f}")


def write(model: Any, tokenizer: Any, prompt: str, length: int, temperature: float, seed: int) -> None:
    ids, rng = tokenizer.encode(prompt), np.random.default_rng(seed)
    print(prompt, end="")
    for token in rnn.generate(model, ids, length=length, temperature=temperature, rng=rng):
        print(tokenizer.decode([token]), end="", flush=True)
    print()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("train", help="train a model and save it").add_argument
    add("--text", metavar="FILE", help="what to learn (default: Python's manual)")
    add("--hidden", type=int, default=256, help="units (256)")
    add("--batch", type=int, default=32, help="rows read side by side (32)")
    add("--steps", type=int, default=64, help="steps of back-propagation through time (64)")
    add("--iterations", type=int, help="how long, in steps of the optimizer")
    add("--seconds", type=float, default=60.0, help="how long, where --iterations is not given (60)")
    add("--optimizer", choices=LEARNING_RATES, default="adagrad")
    add("--lr", type=float, help=f"learning rate (default: {LEARNING_RATES})")
    add("--clip", type=float, default=5.0, help="clip each entry of the gradient to this (5)")
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="cpu, cuda or cuda:1")
    add("--out", default="char_rnn.safetensors", help="where to save the model")
    add = commands.add_parser("generate", help="write with a saved model").add_argument
    add("model")
    add("--prompt", default="\n")
    add("--length", type=int, default=400, help="characters (400)")
    add("--temperature", type=float, default=0.8, help="0 is greedy, 1 as learnt (0.8)")
    add("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    if args.command == "train":
        train(args)
    else:
        model, tokenizer, _ = rnn.load(args.model)
        write(model, tokenizer, args.prompt, args.length, args.temperature, args.seed)


if __name__ == "__main__":
    try:
        with threadpool_limits(1):  # more BLAS threads slow down products as small as these
            main()
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        sys.exit(f"char_rnn: {error}")
