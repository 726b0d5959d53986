"""What the examples share: how they read and check their options, and how a mistake ends them.

A mistake in an option is reported before anything else happens, as `argparse` reports the mistakes that it finds.
"""

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from tinygrad_rnn import datasets

RANGES: dict[str, Callable[[float], bool]] = {
    "at least 0": lambda n: n >= 0,
    "at least 1": lambda n: n >= 1,
    "at most 1": lambda x: x <= 1,
    "above 0": lambda x: x > 0,
    "above 0 and at most 1": lambda x: 0 < x <= 1,
    "0 to below 1": lambda x: 0 <= x < 1,
    "at least 0, and finite": lambda x: 0 <= x < float("inf"),
}
COMMON = {"at least 1": "hidden batch epochs iterations every", "at least 0": "seed", "above 0": "lr"}
"""The options that have the same range in all scripts that have them."""


def make_parser(text: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with this text, the docstring of the script."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def check_ranges(
    parser: argparse.ArgumentParser, args: argparse.Namespace, ranges: dict[str, str] | None = None
) -> None:
    """Options must lie in their range: those of `COMMON`, and others, such as `{"above 0": "goal clip"}`."""
    for within, names in [*COMMON.items(), *(ranges or {}).items()]:
        for name in names.split():
            value = getattr(args, name, None)
            if value is not None and not RANGES[within](value):
                parser.error(f"--{name.replace('_', '-')} must be {within}, not {value}")


def check_every(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """What is measured every so many iterations must be measured once."""
    if args.every > args.iterations:
        parser.error(f"--every must be at most --iterations, {args.iterations}, not {args.every}")


def check_picture(parser: argparse.ArgumentParser, path: str | None) -> None:
    """A picture, if one is asked for, must be one that can be drawn and written."""
    if path is None:
        return
    if Path(path).suffix not in (".png", ".svg", ".pdf"):
        parser.error(f"--plot must name a file that ends in .png, .svg or .pdf, not {path!r}")
    if Path(path).is_dir():
        parser.error(f"--plot {path} is a folder")
    try:
        TemporaryFile(dir=Path(path).parent).close()
    except OSError as error:
        parser.error(f"--plot {path}: no file can be written in its folder: {error.strerror}")
    from tinygrad_rnn import plotting  # noqa: F401  # if matplotlib is missing, this says so


def make_folder(path: Path) -> None:
    """A folder for pictures, which exists afterwards and can be written to; if not, this is an `OSError`."""
    path.mkdir(parents=True, exist_ok=True)
    TemporaryFile(dir=path).close()


def add_text(parser: argparse.ArgumentParser) -> None:
    """The options of a script that learns a text."""
    parser.add_argument("--text", metavar="FILE", help="what to learn (default: Python's manual)")
    parser.add_argument("--encoding", default="utf-8", help="of that file, such as latin-1 (utf-8)")


def check_text(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """An encoding needs a file."""
    if args.encoding != "utf-8" and args.text is None:
        parser.error("--encoding is that of --text, which is not given")


def read_text(args: argparse.Namespace) -> str:
    """The text to learn."""
    return datasets.pydoc_topics() if args.text is None else datasets.read_text(args.text, encoding=args.encoding)


def run(main: Callable[[], None]) -> None:
    """Run a script; an error is one line, and a character that a terminal cannot write is replaced."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        with np.errstate(all="ignore"):  # a loss that is not finite gets a message of its own
            main()
    except (ValueError, TypeError, OSError, ImportError, RuntimeError, FloatingPointError) as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {error}")
