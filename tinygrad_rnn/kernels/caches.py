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


class LSTMWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, 4H)."""
    w_h: Array
    """(H, 4H)."""
    b: Array
    """(4H,)."""


class GRUWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, 3H)."""
    w_h: Array
    """(H, 3H)."""
    b: Array
    """(3H,)."""
    b_h: Array
    """(H,)."""


class RNNWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, H)."""
    w_h: Array
    """(H, H)."""
    b: Array
    """(H,)."""
