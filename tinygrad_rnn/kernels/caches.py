"""What a kernel, or the step of its cell, keeps of a forward for the backward, named as in the equations."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.arrays import Array


class RNNCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    h: Array


class LSTMCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    c_prev: Array
    i: Array
    f: Array
    o: Array
    g: Array
    c: Array


class GRUCache(NamedTuple):
    """Of a step (B, ...), or of a sequence (T, B, ...)."""

    x: Any
    h_prev: Array
    r: Array
    z: Array
    n: Array
    m: Array
