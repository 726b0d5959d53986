"""The command line of `char_rnn.py`: its options, their checks, and what a resumed training cannot change."""

import argparse
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import tinygrad_rnn as rnn
from options import add_text, check_ranges, check_text, make_parser

RANGES = {
    "at least 1": "layers embedding steps samples top_k shards",
    "at least 0": "length",
    "above 0": "seconds clip top_p",
    "at most 1": "top_p",
    "0 to below 1": "dropout",
    "at least 0, and finite": "temperature",
}
FIXED = ("documents", "cell", "layers", "hidden", "embedding", "dropout", "batch", "steps", "optimizer", "seed")
"""What a resumed training cannot change: its model, its state or its place in the text would not fit."""


def read_options(text: str | None, arguments: list[str] | None) -> tuple[argparse.Namespace, Any]:
    """The options, all of them checked, and the saved model that they name, if any, as `load` gives it."""
    parser = make_parser(text)
    commands = parser.add_subparsers(dest="command", required=True)
    trainer = commands.add_parser("train", help="train a model and save it")
    add_text(trainer)
    add = trainer.add_argument
    add("--documents", action="store_true", help="each paragraph is a document, with a start and an end")
    add("--cell", choices=("gru", "lstm", "rnn"), default="gru", help="(gru)")
    add("--layers", type=int, default=1, help="of such cells (1)")
    add("--hidden", type=int, default=128, help="units of a layer (128)")
    add("--embedding", type=int, metavar="D", help="D features a character, in place of one-hot rows")
    add("--dropout", type=float, default=0.0, help="rate, after each layer of cells (0)")
    add("--batch", type=int, default=32, help="rows read side by side (32)")
    add("--steps", type=int, default=64, help="steps of back-propagation through time (64)")
    how_long = trainer.add_mutually_exclusive_group()
    how_long.add_argument("--iterations", type=int, help="how long, in steps of the optimizer, in all with --resume")
    how_long.add_argument("--seconds", type=float, help="how long, where --iterations is not given (60)")
    add("--optimizer", choices=("adam", "adagrad", "sgd"), default="adam", help="(adam)")
    add("--lr", type=float, help="learning rate (adam 0.01, adagrad 0.02, sgd 0.5)")
    add("--schedule", choices=("constant", "cosine"), default="constant", help="of the rate; cosine needs --iterations")
    add("--clip", type=float, default=5.0, help="clip each entry of the gradient to this (5)")
    add("--every", type=int, metavar="N", help="measure the held-out loss, save, and write a sample every N iterations")
    add("--out", metavar="FILE", default="char_rnn.safetensors", help="the model (this name, or that of --resume)")
    add("--distributed", action="store_true", help="train in all processes that mpiexec has started")
    add("--shards", type=int, default=8, help="runs of rows that a batch is cut into for that (8)")
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
    check_ranges(command, args, RANGES)
    if getattr(args, "distributed", False) and args.device == "cuda":
        args.device = f"cuda:{rnn.distributed.Workers(shards=args.shards).local_rank}"  # a GPU for each process
    saved: Any = None if args.resume is None else rnn.load(args.resume, device=args.device)
    if saved and not (
        isinstance(saved.tokenizer, rnn.CharTokenizer) and {"text", "arguments"} <= saved.metadata.keys()
    ):
        command.error(f"{args.resume} was saved by another program, not by char_rnn.py train")
    if command is trainer:
        if saved:
            take_over(trainer, args, saved)
            args = parser.parse_args(arguments)
            check_resumed(trainer, args, saved)
        check_training(trainer, args)
    return args, saved


def take_over(trainer: argparse.ArgumentParser, args: argparse.Namespace, saved: rnn.Checkpoint) -> None:
    """Make the options of the saved training the defaults."""
    if "fit" not in saved.metadata:
        trainer.error(f"{args.resume} was saved by an older char_rnn.py, and can only generate: train a new model")
    before = saved.metadata["arguments"] | {"resume": args.resume, "out": args.resume}
    if args.iterations is not None or args.seconds is not None:
        before |= {"iterations": None, "seconds": None}
    trainer.set_defaults(**before)


def check_resumed(trainer: argparse.ArgumentParser, args: argparse.Namespace, saved: rnn.Checkpoint) -> None:
    """What cannot change must be as it was."""
    for name in FIXED:
        was = saved.metadata["arguments"].get(name)
        if getattr(args, name) != was:
            was = "not given" if was is None or was is False else was
            trainer.error(f"--{name} was {was} when {args.resume} was trained: leave it out, or train a new model")


def check_training(trainer: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Options must fit each other, and the model must be one that can be written."""
    if args.iterations is None and args.seconds is None:
        args.seconds = 60.0
    if args.schedule == "cosine" and args.iterations is None:
        trainer.error("--schedule cosine needs --iterations, at the end of which the rate is 0")
    check_text(trainer, args)
    out = Path(args.out).resolve()
    if out.exists() and not out.is_file():
        trainer.error(f"--out {args.out} is not a file")
    if args.text is not None and out == Path(args.text).resolve():
        trainer.error(f"--out {args.out} is the text")
    try:
        TemporaryFile(dir=out.parent).close()
    except OSError as error:
        trainer.error(f"--out {args.out}: no file can be written in {out.parent}: {error.strerror}")
