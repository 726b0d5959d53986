"""The packages of the extras, which are imported where they are needed."""

from __future__ import annotations


def missing(package: str, extra: str, call: str) -> ImportError:
    """The error where a package is missing, with the line that installs it."""
    return ImportError(f'{call} needs the package {package}; install it by pip install "tinygrad-rnn[{extra}]"')
