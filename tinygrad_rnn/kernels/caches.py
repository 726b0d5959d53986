"""What a kernel, or the step of its cell, keeps of a forward for the backward, named as in the equations."""

from typing import Any, NamedTuple  # not `annotations`: a NamedTuple of text takes half as long again to make

from ..core.arrays import Array
from ..core.rows import Rows
from ..core.states import State


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


def check_call(cache: Any, dys: Array, dstate: State, rows: Rows, width: int = 0) -> None:
    """What a backward over a sequence is given must be of one call: all but `x` of a cache has one shape (T, B, H).

    Where `width` is given, the output has so many numbers, and `dys` is (T, B, width).

    Part of a larger array would be taken for the whole, and of an array for a smaller batch the rest never be written.

    Raises:
        ValueError: a shape differs.
    """
    shape = dys.shape if not width else cache[1].shape
    if _is_of_one_call(cache, shape, dstate, rows) and (not width or dys.shape == (*shape[:2], width)):
        return
    found = {name: array.shape for name, array in cache._asdict().items()}
    flags = [array for array in rows[1:] if array is not None]
    found |= {"dys": dys.shape, **{f"dstate[{i}]": d.shape for i, d in enumerate(dstate)}}
    raise ValueError(
        f"{type(cache).__name__}: these arrays are not of one call: "
        f"{', '.join(f'{name} {shape}' for name, shape in found.items())}, "
        f"{', '.join(f'flags {array.shape}' for array in flags) or 'no flags'}; expected (T, B, H), of x (T, B, D), "
        f"{'of dys (T, B, ' + str(width) + '), ' if width else ''}of dstate (B, H) and of flags (T, B)"
    )


def _is_of_one_call(cache: Any, shape: tuple[int, ...], dstate: State, rows: Rows) -> bool:
    """By loops, because each backward asks: `all` or sets of shapes would take three times as long."""
    for array in cache[1:]:
        if array.shape != shape:
            return False
    for array in dstate:
        if array.shape != shape[1:]:
            return False
    for flags in rows[1:]:
        if flags is not None and flags.shape != shape[:2]:
            return False
    of_x: tuple[int, ...] = cache.x.shape
    return of_x[:2] == shape[:2]


class LSTMWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, 4H)."""
    w_h: Array
    """(H, 4H)."""
    b: Array | None
    """(4H,); None where there is no bias."""
    p: Array | None
    """(3H,), of i, f and o; None where there are no peepholes."""


class GRUWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, 3H)."""
    w_h: Array
    """(H, 3H)."""
    b: Array | None
    """(3H,); None where there is no bias."""
    b_h: Array | None
    """(H,); None where there is no bias."""


class RNNWeights(NamedTuple):
    """The weights, or their gradients."""

    w_x: Array
    """(D, H)."""
    w_h: Array
    """(H, H)."""
    b: Array | None
    """(H,); None where there is no bias."""
