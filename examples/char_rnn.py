"""A character RNN
===============

Train it on a text, then let it write::

    python examples/char_rnn.py train
    python examples/char_rnn.py generate char_rnn.safetensors --prompt "The "

Without `--text` it trains on the manual that comes with every Python, for about a minute. Ctrl-C, or SIGTERM, stops the
training after the step that has begun, and saves it. `train --resume char_rnn.safetensors` resumes it, with the same
results as without the interruption.
"""

import argparse
import io
import lzma
import math
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import tinygrad_rnn as rnn
from tinygrad_rnn import datasets

CELLS: dict[str, Any] = {"rnn": rnn.RNNCell, "lstm": rnn.LSTMCell, "gru": rnn.GRUCell}
OPTIMIZERS: dict[str, Any] = {"adagrad": rnn.Adagrad, "adam": rnn.Adam, "sgd": rnn.SGD}
LEARNING_RATES = {"adagrad": 0.02, "adam": 0.003, "sgd": 0.5}
NOT_SAVED = ("command", "resume", "device")  # the other arguments are, and a resumed training takes them over
FIXED = ("documents", "cell", "layers", "hidden", "embedding", "dropout", "batch", "steps", "optimizer", "seed")
"""What a resumed training cannot change: its model, its state or its place in the text would not fit."""


def train(args: argparse.Namespace, saved: rnn.Checkpoint | None) -> None:
    text = datasets.pydoc_topics()
    if args.text is not None:
        text = datasets.read_text(args.text, encoding="utf-8" if args.encoding is None else args.encoding)
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
    criterion, lr = rnn.SoftmaxCrossEntropy(), LEARNING_RATES[args.optimizer] if args.lr is None else args.lr
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

    interrupted: list[Any] = []  # an iteration that has begun is ended
    stops = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.signal(stop, lambda *what: interrupted.append(what)) for stop in stops]
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
        if args.validate_every is not None and i % args.validate_every == 0:
            save()
            tqdm.write(f"iteration {i}: held out {rnn.evaluate(model, held_out):.3f} nats; saved")
        if args.sample_every is not None and i % args.sample_every == 0:
            save()  # first: where the sample goes, such as a pipe, may have gone
            tqdm.write("".join(sample(model, tokenizer, args, np.random.default_rng(args.seed))) + "\n")
    save()
    for stop, handler in zip(stops, handlers, strict=True):
        signal.signal(stop, handler)

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
    rng, size = np.random.default_rng(args.seed), V if args.embedding is None else args.embedding
    layers: list[Any] = [rnn.OneHot(V) if args.embedding is None else rnn.Embedding(V, size, rng=rng)]
    for _ in range(args.layers):
        layers.append(CELLS[args.cell](size, args.hidden, rng=rng))
        layers += [rnn.Dropout(args.dropout, rng=rng)] * (args.dropout > 0)
        size = args.hidden
    return rnn.Sequential(*layers, rnn.Linear(size, V, rng=rng))


def iterations(args: argparse.Namespace, done: int, losses: list[float]) -> Iterator[int]:
    """Counts those after `done` until there are enough, or the seconds are over; with a bar."""
    last, start = math.inf if args.iterations is None else args.iterations, time.monotonic()
    if done >= last:
        raise ValueError(f"{args.resume} has had {done} iterations: give more, in all, by --iterations")
    with tqdm(total=args.iterations, initial=done, unit=" iterations") as bar:
        while done < last and (args.iterations is not None or time.monotonic() - start < args.seconds):
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


def opened(parser: argparse.ArgumentParser, path: str, device: str = "cpu") -> rnn.Checkpoint:
    """What `train` has saved."""
    saved = rnn.load(path, device=device)
    if not isinstance(saved.tokenizer, rnn.CharTokenizer) or not {"text", "arguments"} <= saved.metadata.keys():
        parser.error(f"{path} was saved by another program, not by char_rnn.py train")
    return saved


def generate(args: argparse.Namespace, saved: rnn.Checkpoint) -> None:
    for rng in np.random.default_rng(args.seed).spawn(args.samples):
        for piece in sample(saved.model, saved.tokenizer, args, rng):
            print(piece, end="", flush=True)
        print("\n" * (1 if args.samples == 1 else 2), end="")


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends with a message where an option is out of range."""
    least = dict.fromkeys(("layers", "hidden", "embedding", "batch", "steps", "iterations"), 1)
    least |= dict.fromkeys(("validate_every", "sample_every", "samples", "top_k"), 1) | {"length": 0, "seed": 0}
    for name, value in vars(args).items():
        option = f"--{name.replace('_', '-')}"
        if name in least and value is not None and value < least[name]:
            parser.error(f"{option} must be at least {least[name]}, not {value}")
        if name in ("seconds", "lr", "clip", "top_p") and value is not None and not value > 0:
            parser.error(f"{option} must be above 0, not {value}")
    if not 0 <= args.temperature < math.inf:
        parser.error(f"the temperature must be at least 0, and finite, not {args.temperature}")
    if args.top_p is not None and args.top_p > 1:
        parser.error(f"--top-p must be at most 1, not {args.top_p}")


def check_training(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends with a message where options contradict each other, or where the model could not be saved at last."""
    if not 0 <= args.dropout < 1:
        parser.error(f"--dropout must be 0 to below 1, not {args.dropout}")
    if args.schedule == "cosine" and args.iterations is None:
        parser.error("--schedule cosine needs --iterations, at the end of which the rate is 0")
    if args.encoding is not None and args.text is None:
        parser.error("--encoding is that of --text, which is not given")
    target = Path(args.out).resolve()
    if target.exists() and not target.is_file():
        parser.error(f"--out {args.out} is not a file")
    if args.text is not None and target == Path(args.text).resolve():
        parser.error(f"--out {args.out} is the text")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        parser.error(f"--out {args.out}: no file can be written in {target.parent}: {error.strerror}")


def main(arguments: list[str] | None = None) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal can write every character of a sample
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    trainer = commands.add_parser("train", help="train a model and save it")
    add = trainer.add_argument
    add("--text", metavar="FILE", help="what to learn (default: Python's manual)")
    add("--encoding", help="of that file, such as latin-1 (utf-8)")
    add("--documents", action="store_true", help="each paragraph is a document, with a start and an end")
    add("--cell", choices=CELLS, default="rnn")
    add("--layers", type=int, default=1, help="of such cells (1)")
    add("--hidden", type=int, default=256, help="units of a layer (256)")
    add("--embedding", type=int, metavar="D", help="D features a character, in place of one-hot rows")
    add("--dropout", type=float, default=0.0, help="rate, after each layer of cells (0)")
    add("--batch", type=int, default=32, help="rows read side by side (32)")
    add("--steps", type=int, default=64, help="steps of back-propagation through time (64)")
    how_long = trainer.add_mutually_exclusive_group()
    how_long.add_argument(
        "--iterations", type=int, help="how long, in steps of the optimizer, those before --resume too"
    )
    how_long.add_argument("--seconds", type=float, help="how long, where --iterations is not given (60)")
    add("--optimizer", choices=OPTIMIZERS, default="adagrad")
    add("--lr", type=float, help=f"learning rate (default: {LEARNING_RATES})")
    add("--schedule", choices=("constant", "cosine"), default="constant", help="of the rate; cosine needs --iterations")
    add("--clip", type=float, default=5.0, help="clip each entry of the gradient to this (5)")
    add("--validate-every", type=int, metavar="N", help="measure the held-out loss, and save, every N iterations")
    add("--sample-every", type=int, metavar="N", help="write a sample, and save, every N iterations")
    add("--sample-temperature", type=float, default=0.8, dest="temperature", metavar="T", help="of samples (0.8)")
    add("--device", default="cpu", help="cpu, cuda or cuda:1")
    add(
        "--out",
        metavar="FILE",
        default="char_rnn.safetensors",
        help="the model (char_rnn.safetensors, or that of --resume)",
    )
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
    if args.command == "generate":
        check(writer, args)
        generate(args, opened(writer, args.model))
        return
    saved = None if args.resume is None else opened(trainer, args.resume, args.device)
    if saved:
        before = saved.metadata["arguments"] | {"out": args.resume}
        if args.iterations is not None or args.seconds is not None:
            before |= {"iterations": None, "seconds": None}
        trainer.set_defaults(**before)
        args = parser.parse_args(arguments)
        for name in FIXED:
            was = before.get(name)
            if getattr(args, name) != was:
                was = "not given" if was is None or was is False else was
                trainer.error(f"--{name} was {was} when {args.resume} was trained: leave it out, or train a new model")
    if args.iterations is None and args.seconds is None:
        args.seconds = 60.0
    check(trainer, args)
    check_training(trainer, args)
    train(args, saved)


if __name__ == "__main__":
    try:
        with np.errstate(all="ignore"):  # a loss that is not finite gets a message of its own
            main()
    except (ValueError, TypeError, OSError, RuntimeError, FloatingPointError) as error:
        sys.exit(f"char_rnn: {error}")
