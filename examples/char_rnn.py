"""A character RNN
===============

Train it on a text, then let it write::

    python examples/char_rnn.py train
    python examples/char_rnn.py generate char_rnn.safetensors --prompt "The "

Without `--text` it trains on the manual that comes with every Python, for about a minute. Ctrl-C stops and saves the
training. `train --resume char_rnn.safetensors` resumes it, with the same results as without the interruption.
"""

import argparse
import lzma
import math
import signal
import sys
import time
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from tqdm import tqdm

import tinygrad_rnn as rnn
from tinygrad_rnn import datasets

CELLS: dict[str, Any] = {"rnn": rnn.RNNCell, "lstm": rnn.LSTMCell, "gru": rnn.GRUCell}
OPTIMIZERS: dict[str, Any] = {"adagrad": rnn.Adagrad, "adam": rnn.Adam, "sgd": rnn.SGD}
LEARNING_RATES = {"adagrad": 0.02, "adam": 0.003, "sgd": 0.5}
NOT_SAVED = ("command", "resume", "device")  # the other arguments are, and a resumed training takes them over


def train(args: argparse.Namespace, saved: rnn.Checkpoint | None) -> None:
    text = datasets.read_text(args.text) if args.text else datasets.pydoc_topics()
    checksum = zlib.crc32(text.encode())
    if saved and saved.metadata["text"] != checksum:
        raise ValueError(f"{args.resume} was trained on another text: give that one by --text")
    special = ("<start>", "<end>") if args.documents else ()
    tokenizer = saved.tokenizer if saved else rnn.CharTokenizer.from_text(text, special=special)
    parts = datasets.paragraphs(text) if args.documents else [text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]]
    cut = len(parts) * 9 // 10 or 1  # the tail is held out
    V, ends = len(tokenizer), range(len(tokenizer.special))  # the ids of the start and the end of a document
    documents = [np.concatenate([ends[:1], tokenizer.encode(part), ends[1:]]).astype("int32") for part in parts]
    stream = rnn.TokenStream(documents[:cut], batch=args.batch, steps=args.steps)
    held_out = rnn.TokenStream(documents[cut:], batch=1, steps=args.steps)

    device = rnn.Device(args.device)
    model = saved.model if saved else build(V, args).to(device)
    criterion, lr = rnn.SoftmaxCrossEntropy(), args.lr or LEARNING_RATES[args.optimizer]
    if args.schedule == "cosine":
        lr = rnn.schedules.cosine(lr, steps=args.iterations)
    optimizer = OPTIMIZERS[args.optimizer](model, lr, clip=rnn.ClipValue(args.clip))
    if saved:
        optimizer.restore(saved.optimizer)
    state = saved.state if saved else None
    print(f"{stream.tokens + held_out.tokens:,} characters, {V} different\n\n{model.summary()}\n")

    def save() -> None:
        arguments = {name: value for name, value in vars(args).items() if name not in NOT_SAVED}
        metadata = {"iterations": optimizer.steps, "text": checksum, "arguments": arguments}
        rnn.save(args.out, model, tokenizer=tokenizer, metadata=metadata, optimizer=optimizer, state=state)

    for _ in islice(sample(model, tokenizer, args, np.random.default_rng(0)), 2):
        pass  # a prompt of other characters is an error now, not when the training is over

    interrupted: list[Any] = []
    signal.signal(signal.SIGINT, lambda *what: interrupted.append(what))  # an iteration that has begun is ended
    losses: list[float] = []
    for i in iterations(args, optimizer.steps, losses):
        batch = stream[(i - 1) % len(stream)]
        xs, targets, starts = (device.asarray(array) for array in (batch.xs, batch.targets, batch.starts))
        logits, state, cache = model.forward(xs, state, starts=starts)  # where a document begins
        loss, loss_cache = criterion.forward(logits, targets)
        model.zero_grad()
        model.backward(criterion.backward(loss_cache), None, cache)  # None: nothing flows in from the future
        losses.append(float(device.to_host(loss)))
        if not math.isfinite(losses[-1]):
            squares = [sum(float((p.grad * p.grad).sum()) for p in layer.parameters()) for layer in model.layers]
            norms = ", ".join(f"layers.{k} {math.sqrt(square):.3g}" for k, square in enumerate(squares))
            raise ValueError(f"iteration {i}: the loss is {losses[-1]}; gradient norms: {norms}. Try a smaller --lr")
        optimizer.step()
        if interrupted:
            save()
            sys.exit(f"\nstopped after {i} iterations and saved; go on by train --resume {args.out}")
        if args.validate_every and i % args.validate_every == 0:
            save()
            tqdm.write(f"iteration {i}: held out {rnn.evaluate(model, held_out):.3f} nats; saved")
        if args.sample_every and i % args.sample_every == 0:
            tqdm.write("".join(sample(model, tokenizer, args, np.random.default_rng(args.seed))) + "\n")
    save()

    rows = [("training, last 100", float(np.mean(losses[-100:]))), ("held out", rnn.evaluate(model, held_out))]
    rows.append(("  bigram counts", bigram_loss(stream, held_out, V)))
    head, tail = "\n\n".join(parts[:cut]).encode(), "\n\n".join(parts[cut:]).encode()
    for name, compress in (("  zlib", zlib.compress), ("  xz", lzma.compress)):
        more = len(compress(head + tail)) - len(compress(head))  # what the tail costs, once the head is known
        rows.append((name, more * 8 * math.log(2) / held_out.transitions))
    print("                        nats    bits  perplexity  a character")
    for name, nats in rows:
        print(f"{name:20} {nats:7.3f} {nats / math.log(2):7.3f}  {np.exp(nats):10.2f}")
    print(f"saved as {args.out}; a sample:\n")
    print("".join(sample(model, tokenizer, args, np.random.default_rng(args.seed))))


def build(V: int, args: argparse.Namespace) -> rnn.Sequential:
    rng, size = np.random.default_rng(args.seed), args.embedding or V
    layers: list[Any] = [rnn.Embedding(V, size, rng=rng) if args.embedding else rnn.OneHot(V)]
    for _ in range(args.layers):
        layers.append(CELLS[args.cell](size, args.hidden, rng=rng))
        layers += [rnn.Dropout(args.dropout, rng=rng)] * (args.dropout > 0)
        size = args.hidden
    return rnn.Sequential(*layers, rnn.Linear(size, V, rng=rng))


def iterations(args: argparse.Namespace, done: int, losses: list[float]) -> Iterator[int]:
    """Counts those after `done` until there are enough, or the seconds are over; with a bar."""
    if args.iterations and done >= args.iterations:
        raise ValueError(f"{args.resume} has had {done} iterations: give more, in all, by --iterations")
    last, start = args.iterations or math.inf, time.monotonic()
    with tqdm(total=args.iterations, initial=done, unit=" iterations") as bar:
        while done < last and (args.iterations or time.monotonic() - start < args.seconds):
            done += 1
            yield done
            bar.set_postfix_str(f"loss {np.mean(losses[-100:]):.3f} nats", refresh=False)
            bar.update()


def bigram_loss(train: rnn.TokenStream, test: rnn.TokenStream, V: int) -> float:
    """What a character tells of the next one: counted, one added to every count."""
    counts = np.zeros((2, V, V))
    for k, stream in enumerate((train, test)):
        for xs, targets, *_ in stream:
            np.add.at(counts[k], (xs[targets >= 0], targets[targets >= 0]), 1)
    probabilities = (counts[0] + 1) / (counts[0] + 1).sum(axis=1, keepdims=True)
    return float(-(counts[1] * np.log(probabilities)).sum() / test.transitions)


def sample(model: Any, tokenizer: Any, args: argparse.Namespace, rng: np.random.Generator) -> Iterator[str]:
    """The prompt and what follows; where the tokenizer knows documents, from the start of one to its end."""
    start, end = range(2) if tokenizer.special else (None, None)
    prompt = args.prompt if args.prompt is not None else "" if tokenizer.special else tokenizer.characters[0]
    yield prompt
    how: dict[str, Any] = {name: getattr(args, name) for name in ("length", "temperature", "top_k", "top_p")}
    yield from rnn.generate_text(model, tokenizer, prompt, start=start, end=end, rng=rng, **how)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    trainer = commands.add_parser("train", help="train a model and save it")
    add = trainer.add_argument
    add("--text", metavar="FILE", help="what to learn (default: Python's manual)")
    add("--documents", action="store_true", help="each paragraph is a document, with a start and an end")
    add("--cell", choices=CELLS, default="rnn")
    add("--layers", type=int, default=1, help="of such cells (1)")
    add("--hidden", type=int, default=256, help="units of a layer (256)")
    add("--embedding", type=int, metavar="D", help="D features a character, in place of one-hot rows")
    add("--dropout", type=float, default=0.0, help="rate, after each layer of cells (0)")
    add("--batch", type=int, default=32, help="rows read side by side (32)")
    add("--steps", type=int, default=64, help="steps of back-propagation through time (64)")
    add("--iterations", type=int, help="how long, in steps of the optimizer, those before --resume too")
    add("--seconds", type=float, default=60.0, help="how long, where --iterations is not given (60)")
    add("--optimizer", choices=OPTIMIZERS, default="adagrad")
    add("--lr", type=float, help=f"learning rate (default: {LEARNING_RATES})")
    add("--schedule", choices=("constant", "cosine"), default="constant", help="of the rate; cosine needs --iterations")
    add("--clip", type=float, default=5.0, help="clip each entry of the gradient to this (5)")
    add("--validate-every", type=int, metavar="N", help="measure the held-out loss, and save, every N iterations")
    add("--sample-every", type=int, metavar="N", help="write a sample every N iterations")
    add("--sample-temperature", type=float, default=0.8, dest="temperature", metavar="T", help="of samples (0.8)")
    add("--device", default="cpu", help="cpu, cuda or cuda:1")
    add("--out", default="char_rnn.safetensors", help="where to save the model (char_rnn.safetensors)")
    add("--resume", metavar="MODEL", help="go on with this training; what is not given is as it was there")
    writer = commands.add_parser("generate", help="write with a saved model")
    writer.add_argument("model")
    writer.add_argument("--samples", type=int, default=1, metavar="N", help="how many texts (1)")
    writer.add_argument("--temperature", type=float, default=0.8, help="0 is greedy, 1 as learnt (0.8)")
    for add in (trainer.add_argument, writer.add_argument):
        add("--prompt", help="what a sample goes on from")
        add("--length", type=int, default=400, help="characters of a sample (400)")
        add("--top-k", type=int, metavar="K", help="draw from the K likeliest characters only")
        add("--top-p", type=float, metavar="P", help="draw from the likeliest that have probability P together")
        add("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    if args.command == "train":
        saved = rnn.load(args.resume, device=args.device) if args.resume else None
        trainer.set_defaults(**saved.metadata["arguments"] if saved else {})
        train(parser.parse_args(arguments), saved)
        return
    model, tokenizer, *_ = rnn.load(args.model)
    for rng in np.random.default_rng(args.seed).spawn(args.samples):
        for piece in sample(model, tokenizer, args, rng):
            print(piece, end="", flush=True)
        print("\n" * (1 if args.samples == 1 else 2), end="")


if __name__ == "__main__":
    try:
        with np.errstate(all="ignore"):  # a loss that is not finite gets a message of its own
            main()
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        sys.exit(f"char_rnn: {error}")
