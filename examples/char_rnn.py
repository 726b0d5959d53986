"""A character RNN
===============

Train it on a text, then let it write::

    python examples/char_rnn.py train
    python examples/char_rnn.py generate char_rnn.safetensors --prompt "The "

Without `--text` it learns the manual that comes with every Python, for about a minute. Ctrl-C, or SIGTERM, stops the
training after the current step, and saves it. `train --resume char_rnn.safetensors` resumes it, with the same results
as without the interruption. The options are listed in `char_rnn_options.py`, which lies beside this script.

With the extra `mpi`, several processes train one model, with the same results for any number of them::

    mpiexec -n 4 python -m mpi4py examples/char_rnn.py train --distributed --every 500
"""

import argparse
import lzma
import math
import signal
import sys
import zlib
from typing import Any

import numpy as np
from tqdm import tqdm

import tinygrad_rnn as rnn
from char_rnn_options import read_options
from options import read_text, run
from tinygrad_rnn import datasets

CELLS: dict[str, Any] = {"gru": rnn.GRUCell, "lstm": rnn.LSTMCell, "rnn": rnn.RNNCell}
OPTIMIZERS: dict[str, Any] = {"adam": (rnn.Adam, 0.01), "adagrad": (rnn.Adagrad, 0.02), "sgd": (rnn.SGD, 0.5)}


def train(args: argparse.Namespace, saved: Any) -> None:
    text = read_text(args)
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
    workers = rnn.distributed.Workers(shards=args.shards) if args.distributed else None
    is_first = workers is None or workers.rank == 0  # who prints
    how = sampling(tokenizer, args)
    rnn.generate_text(model, tokenizer, **how, rng=np.random.default_rng(0))  # a prompt that it cannot read is an error
    if is_first:
        print(f"{stream.tokens + held_out.tokens:,} characters, {len(tokenizer)} different\n\n{model.summary()}\n")

    def save(report: rnn.Report) -> None:
        report.save(args.out)
        tqdm.write(f"step {report.step:,}: held out {report.history[-1]['validation_loss']:.3f} nats; saved")

    def stop(*signalled: Any) -> None:  # `fit` ends its step and saves before it passes a signal on
        if not is_first:
            sys.exit(1)
        if optimizer.steps <= (saved.optimizer.steps if saved else 0):
            sys.exit("\nstopped before the first step: nothing was saved")
        sys.exit(f"\nstopped after {optimizer.steps} iterations and saved; go on by train --resume {args.out}")

    sample = rnn.Sample(tokenizer, **how, rng=np.random.default_rng(args.seed))
    handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    history = rnn.fit(
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
        metadata={"text": checksum, "arguments": {**vars(args), "resume": None, "device": "cpu", "distributed": False}},
        resume=saved,
        workers=workers,
    )
    for number, handler in handlers.items():
        signal.signal(number, handler)
    if not is_first:
        return

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
    counts = np.ones((V, V))  # each pair once more than it was seen, so that none is impossible
    for ids in documents[:cut]:
        np.add.at(counts, (ids[:-1], ids[1:]), 1)
    probabilities = counts / counts.sum(axis=1, keepdims=True)
    nats = -np.log(np.concatenate([probabilities[ids[:-1], ids[1:]] for ids in documents[cut:]]))
    found = {"  bigram counts": nats.mean()}
    head, tail = "\n\n".join(parts[:cut]).encode(), "\n\n".join(parts[cut:]).encode()
    for name, compress in (("  zlib", zlib.compress), ("  xz", lzma.compress)):
        found[name] = (len(compress(head + tail)) - len(compress(head))) * 8 * math.log(2) / nats.size
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
    args, saved = read_options(__doc__, arguments)
    if args.command == "generate":
        write(saved.model, saved.tokenizer, args, args.samples)
    else:
        train(args, saved)


if __name__ == "__main__":
    run(main)
