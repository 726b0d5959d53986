"""What the kernels are compiled from, and the structs that they take. CuPy is not needed for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent


def source(cell: str, dtype: str, units: int = 1) -> str:
    """The kernels of a cell, "rnn", "gru" or "lstm", and before them what those of all cells are made of.

    `units` is how many a block of a persistent kernel owns.
    """
    texts = ((FOLDER / f"{name}.cu").read_text(encoding="utf-8") for name in ("steps", cell))
    real = {"float32": "float", "float64": "double"}[dtype]
    return "\n".join((f"typedef {real} Real;", f"#define UNITS {units}", *texts))


def text(dtype: str, *names: str, **types: str) -> str:
    """Some files `.cu` one after the other, for a dtype, and with other types of the given names."""
    types = {"Real": {"float32": "float", "float64": "double"}[dtype], **types}
    typedefs = (f"typedef {kind} {name};" for name, kind in types.items())
    return "\n".join((*typedefs, *((FOLDER / f"{name}.cu").read_text(encoding="utf-8") for name in names)))


def struct(pointers: str, numbers: str) -> np.dtype[Any]:
    """The struct of a `.cu` that has these fields, in its order."""
    fields = [(name, "u8") for name in pointers.split()] + [(name, "i4") for name in numbers.split()]
    return np.dtype(fields, align=True)


STRUCTS = {
    ("rnn", "Forward"): struct("hs h_prev begun active starts", "T B H relu"),
    ("rnn", "Backward"): struct("h dys das dh dbegun active starts", "T B H relu"),
    ("gru", "Forward"): struct("gates hs ms h_prev b_h begun active starts", "T B H"),
    ("gru", "Backward"): struct("gates h_prev m dys das dh dbegun active starts", "T B H"),
    ("lstm", "Forward"): struct("gates hs cs h_prev c_prev p begun_h begun_c active starts", "T B H"),
    ("lstm", "Backward"): struct("gates c_prev c p dys das dh dc dbegun_h dbegun_c active starts", "T B H"),
}
"""By the cell and the name of the struct."""
OPTIONS = np.dtype(
    [
        *((name, "u8") for name in ("weights", "lengths", "of_class")),
        *((name, "i8") for name in ("N", "V", "B", "ignore")),
        ("smoothing", "f8"),
        ("is_mean", "i4"),
        ("is_reduced", "i4"),
    ],
    align=True,
)
"""The struct `Options` of `cross_entropy.cu`."""
VERDICT = np.dtype(
    [
        *((name, "u8") for name in ("norm", "factor", "first", "stopped", "skipped")),
        ("max_norm", "f8"),
        ("P", "i8"),
        ("mode", "i4"),
    ],
    align=True,
)
"""The struct `Verdict` of `examine.cu`."""
