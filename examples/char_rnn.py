"""A character RNN
===============

Train it on a text, then let it write::

    python examples/char_rnn.py train
    python examples/char_rnn.py generate char_rnn.safetensors --prompt "The "

Without `--text` it learns the manual that comes with every Python, for about a minute. Ctrl-C, or SIGTERM, stops the
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
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import tinygrad_rnn as rnn
from tinygrad_rnn import datasets

CELLS: dict[str, Any] = {"gru": rnn.GRUCell, "lstm": rnn.LSTMCell, "rnn": rnn.RNNCell}
OPTIMIZERS: dict[str, Any] = {"adam": (rnn.Adam, 0.01), "adagrad": (rnn.Adagrad, 0.02), "sgd": (rnn.SGD, 0.5)}
FIXED = ("documents", "cell", "layers", "hidden", "embedding", "dropout", "batch", "steps", "optimizer", "seed")
"""What a resumed training cannot change: its model, its state or its place in the text would not fit."""
RANGES: dict[str, Any] = {
    "at least 1": (lambda n: n >= 1, "layers hidden embedding batch steps iterations every samples top_k"),
    "at least 0": (lambda n: n >= 0, "length seed"),
    "above 0": (lambda x: x > 0, "seconds lr clip top_p"),
    "at most 1": (lambda x: x <= 1, "top_p"),
    "0 to below 1": (lambda x: 0 <= x < 1, "dropout"),
    "at least 0, and finite": (lambda x: 0 <= x < math.inf, "temperature"),
}


def train(args: argparse.Namespace, saved: rnn.Checkpoint | None) -> None:
    text = datasets.pydoc_topics() if args.text is None else datasets.read_text(args.text, encoding=args.encoding)
    checksum = zlib.crc32(text.encode())
    if saved and saved.metadata["text"] != checksum:
        raise ValueError(f"{args.resume} was trained on another text: give that one by --text")
    if saved and args.iterations is not None and args.iterations <= saved.optimizer.steps:
        raise ValueError(
            f"{args.resume} has had {saved.optimizer.steps} iterations: give more, in all, by --iterations"
        )
    special = ("<start>", "<end>") if args.documents else ()
    tokenizer = saved.tokenizer if saved else rnn.CharTokenizer.from_text(text, special=special)
    parts = datasets.paragraphs(text) if args.documents else [text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]]
    cut = len(parts) * 9 // 10 or 1  # the tail is held out
    ends = range(len(special))  # the ids of the start and the end of a document
    documents = [np.concatenate([ends[:1], tokenizer.encode(part), ends[1:]]).astype("int32") for part in parts]
    stream = rnn.TokenStream(documents[:cut], batch=args.batch, steps=args.steps)
    held_out = rnn.TokenStream(documents[cut:], batch=1, steps=args.steps)

    model = saved.model if saved else build(len(tokenizer), args).to(args.device)
    method, lr = OPTIMIZERS[args.optimizer]
    lr = lr if args.lr is None else args.lr
    lr = rnn.schedules.cosine(lr, steps=args.iterations) if args.schedule == "cosine" else lr
    optimizer = method(model, lr, clip=rnn.ClipValue(args.clip))
    how = sampling(tokenizer, args)
    rnn.generate_text(model, tokenizer, **how, rng=np.random.default_rng(0))  # a prompt that it cannot read is an error
    print(f"{stream.tokens + held_out.tokens:,} characters, {len(tokenizer)} different\n\n{model.summary()}\n")

    def save(report: rnn.Report) -> None:
        report.save(args.out)
        tqdm.write(f"step {report.step:,}: held out {report.history[-1]['validation_loss']:.3f} nats; saved")

    sample = rnn.Sample(tokenizer, **how, rng=np.random.default_rng(args.seed))
    handlers = {stop: signal.signal(stop, lambda *what: None) for stop in (signal.SIGINT, signal.SIGTERM)}
    history = rnn.fit(  # it ends after the step in which a signal comes, and saves
        model,
        rnn.SoftmaxCrossEntropy(),
        optimizer,
        stream,
        steps=args.iterations,
        seconds=args.seconds,
        every=args.every or 100,
        validation=held_out if args.every else None,
        callbacks=[save, sample] if args.every else [],
        checkpoint=args.out,
        tokenizer=tokenizer,
        metadata={"text": checksum, "arguments": {**vars(args), "resume": None, "device": "cpu"}},
        resume=saved,
    )
    for stop, handler in handlers.items():
        signal.signal(stop, handler)
    if history.stopped:
        sys.exit(f"\nstopped after {optimizer.steps} iterations and saved; go on by train --resume {args.out}")

    print("                        nats    bits  perplexity  a character")
    losses = {"training, lately": history[-1]["loss"], "held out": rnn.evaluate(model, held_out)}
    for name, nats in {**losses, **baselines(parts, documents, cut, len(tokenizer))}.items():
        print(f"{name:20} {nats:7.3f} {nats / math.log(2):7.3f}  {math.exp(nats):10.2f}")
    print(f"saved as {args.out}; a sample:\n")
    write(model, tokenizer, args)


def build(V: int, args: argparse.Namespace) -> rnn.Sequential:
    rng, size = np.random.default_rng(args.seed), V if args.embedding is None else args.embedding
    layers: list[Any] = [rnn.OneHot(V) if args.embedding is None else rnn.Embedding(V, size, rng=rng)]
    for _ in range(args.layers):
        layers.append(CELLS[args.cell](size, args.hidden, rng=rng))
        layers += [rnn.Dropout(args.dropout, rng=rng)] * (args.dropout > 0)
        size = args.hidden
    return rnn.Sequential(*layers, rnn.Linear(size, V, rng=rng))


def baselines(parts: list[str], documents: list[Any], cut: int, V: int) -> dict[str, float]:
    """What counted pairs of characters need for those held out, and compressors that know the text before."""
    counts = np.zeros((2, V, V))
    for k, some in enumerate((documents[:cut], documents[cut:])):
        for document in some:
            np.add.at(counts[k], (document[:-1], document[1:]), 1)
    probabilities, size = (counts[0] + 1) / (counts[0] + 1).sum(axis=1, keepdims=True), counts[1].sum()
    found = {"  bigram counts": -(counts[1] * np.log(probabilities)).sum() / size}
    head, tail = "\n\n".join(parts[:cut]).encode(), "\n\n".join(parts[cut:]).encode()
    for name, compress in (("  zlib", zlib.compress), ("  xz", lzma.compress)):
        found[name] = (len(compress(head + tail)) - len(compress(head))) * 8 * math.log(2) / size
    return found


def sampling(tokenizer: Any, args: argparse.Namespace) -> dict[str, Any]:
    """How to write; where the tokenizer knows documents, from the start of one to its end."""
    start, end = range(2) if tokenizer.special else (None, None)
    prompt = args.prompt if args.prompt is not None else "" if tokenizer.special else tokenizer.characters[0]
    how = {name: getattr(args, name) for name in ("length", "temperature", "top_k", "top_p")}
    return {"prompt": prompt, "start": start, "end": end, **how}


def write(model: Any, tokenizer: Any, args: argparse.Namespace, samples: int = 1) -> None:
    how = sampling(tokenizer, args)
    for rng in np.random.default_rng(args.seed).spawn(samples):
        print(how["prompt"], end="")
        for piece in rnn.generate_text(model, tokenizer, **how, rng=rng):
            print(piece, end="", flush=True)
        print("\n" * (1 if samples == 1 else 2), end="")


def main(arguments: list[str] | None = None) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal can write every character of a sample
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    trainer = commands.add_parser("train", help="train a model and save it")
    add = trainer.add_argument
    add("--text", metavar="FILE", help="what to learn (default: Python's manual)")
    add("--encoding", default="utf-8", help="of that file, such as latin-1 (utf-8)")
    add("--documents", action="store_true", help="each paragraph is a document, with a start and an end")
    add("--cell", choices=CELLS, default="gru", help="(gru)")
    add("--layers", type=int, default=1, help="of such cells (1)")
    add("--hidden", type=int, default=128, help="units of a layer (128)")
    add("--embedding", type=int, metavar="D", help="D features a character, in place of one-hot rows")
    add("--dropout", type=float, default=0.0, help="rate, after each layer of cells (0)")
    add("--batch", type=int, default=32, help="rows read side by side (32)")
    add("--steps", type=int, default=64, help="steps of back-propagation through time (64)")
    how_long = trainer.add_mutually_exclusive_group()
    how_long.add_argument("--iterations", type=int, help="how long, in steps of the optimizer, in all with --resume")
    how_long.add_argument("--seconds", type=float, help="how long, where --iterations is not given (60)")
    add("--optimizer", choices=OPTIMIZERS, default="adam", help="(adam)")
    add("--lr", type=float, help="learning rate (adam 0.01, adagrad 0.02, sgd 0.5)")
    add("--schedule", choices=("constant", "cosine"), default="constant", help="of the rate; cosine needs --iterations")
    add("--clip", type=float, default=5.0, help="clip each entry of the gradient to this (5)")
    add("--every", type=int, metavar="N", help="measure the held-out loss, save, and write a sample every N iterations")
    add("--out", metavar="FILE", default="char_rnn.safetensors", help="the model (this name, or that of --resume)")
    add("--resume", metavar="MODEL", help="go on with this training; what is not given is as it was there")
    writer = commands.add_parser("generate", help="write with a saved model")
    writer.add_argument("resume", metavar="model")
    writer.add_argument("--samples", type=int, default=1, metavar="N", help="how many texts (1)")
    for add in (trainer.add_argument, writer.add_argument):
        add("--prompt", help="what a sample goes on from")
        add("--length", type=int, default=400, help="characters of a sample (400)")
        add("--temperature", type=float, default=0.8, help="of samples: 0 is greedy, 1 as learnt (0.8)")
        add("--top-k", type=int, metavar="K", help="draw from the K likeliest characters only")
        add("--top-p", type=float, metavar="P", help="draw from the likeliest that have probability P together")
        add("--seed", type=int, default=0, help="of weights and samples (0)")
        add("--device", default="cpu", help="cpu, cuda or cuda:1")
    args = parser.parse_args(arguments)
    command = {"train": trainer, "generate": writer}[args.command]
    for within, (holds, names) in RANGES.items():
        for name in names.split():
            value = vars(args).get(name)
            if value is not None and not holds(value):
                command.error(f"--{name.replace('_', '-')} must be {within}, not {value}")
    saved: Any = None if args.resume is None else rnn.load(args.resume, device=args.device)
    if saved and not (
        isinstance(saved.tokenizer, rnn.CharTokenizer) and {"text", "arguments"} <= saved.metadata.keys()
    ):
        command.error(f"{args.resume} was saved by another program, not by char_rnn.py train")
    if args.command == "generate":
        write(saved.model, saved.tokenizer, args, args.samples)
        return
    if saved:
        if "fit" not in saved.metadata:
            trainer.error(f"{args.resume} was saved by an older char_rnn.py, and can only generate: train a new model")
        before = saved.metadata["arguments"] | {"resume": args.resume, "out": args.resume}
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
    out = Path(args.out).resolve()
    if args.schedule == "cosine" and args.iterations is None:
        trainer.error("--schedule cosine needs --iterations, at the end of which the rate is 0")
    if args.encoding != "utf-8" and args.text is None:
        trainer.error("--encoding is that of --text, which is not given")
    if out.exists() and not out.is_file():
        trainer.error(f"--out {args.out} is not a file")
    if args.text is not None and out == Path(args.text).resolve():
        trainer.error(f"--out {args.out} is the text")
    try:
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        trainer.error(f"--out {args.out}: no file can be written in {out.parent}: {error.strerror}")
    train(args, saved)


if __name__ == "__main__":
    try:
        with np.errstate(all="ignore"):  # a loss that is not finite gets a message of its own
            main()
    except (ValueError, TypeError, OSError, RuntimeError, FloatingPointError) as error:
        sys.exit(f"char_rnn: {error}")
