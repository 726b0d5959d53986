"""Checks of arguments and inputs. An error names the object, what it was given, what it expects, and what to do.

A layer that you write calls these first, with itself as `owner`: every layer checks the arguments of its `__init__`,
and a `Feedforward` also its inputs. A `Recurrent` inherits the checks of sequences, states and gradients.

The checks run before anything is changed. They read values (ids, lengths, fractions) only on the CPU: on a GPU, reading
them would wait until all work there is done.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arguments import FLOATS, check_bool, check_choice, check_eps, check_number, check_rate, check_rng, check_size
from .arrays import Array, device_name
from .foreign import check_is_array, is_array
from .one_hot import OneHotRows

__all__ = [
    "check_array",
    "check_features",
    "check_integers",
    "check_ids",
    "check_fractions",
    "check_distributions",
    "check_finite_from_0",
    "check_lengths",
    "check_flags",
    "check_gradient",
    "check_cache",
    "check_cached_array",
    "check_device",
    "check_size",
    "check_number",
    "check_rate",
    "check_eps",
    "check_choice",
    "check_bool",
    "check_rng",
]


def check_array(owner: object, name: str, x: Any, like: Array | None) -> None:
    """`x` must be an array of the dtype and device of `like`, a parameter of `owner` (None if it has none).

    Raises:
        TypeError: it is not; the message gives both ways to fix it.
    """
    if like is not None and type(x) is type(like) and x.dtype == like.dtype and x.device == like.device:
        return  # the usual case; the checks below, which find out what is wrong, take five times as long
    if not isinstance(x, OneHotRows):
        check_is_array(owner, name, x)
        _check_floats(owner, name, x, like)
    check_device(owner, name, x, like)


def _check_floats(owner: object, name: str, x: Any, like: Array | None) -> None:
    """The dtype of an array, as `check_array` wants it."""
    if x.dtype.kind == "c":
        raise TypeError(f"{owner!r}: {name} holds complex numbers. Give their real part, {name}.real, or both parts")
    if x.dtype.kind != "f":
        raise TypeError(
            f"{owner!r}: {name} holds {x.dtype}, not floating-point numbers. Put OneHot or Embedding before it "
            f"for ids; convert other numbers with {name}.astype('float32')"
        )
    computed = x.dtype in FLOATS
    if like is not None and x.dtype != like.dtype:
        model = f", or the model, model.to(dtype='{x.dtype}')" if computed else ""
        raise TypeError(
            f"{owner!r}: {name} is {x.dtype}, but the parameters are {like.dtype}. Convert the array, "
            f"{name}.astype('{like.dtype}'){model}"
        )
    if not computed:
        raise TypeError(
            f"{owner!r}: {name} is {x.dtype}, but layers compute in float32 or float64. Convert the array, "
            f"{name}.astype('float32')"
        )


def check_device(owner: object, name: str, x: Any, like: Any) -> None:
    """`x` must be on the device of `like`.

    Raises:
        TypeError: it is not; the message names both devices and gives both ways to fix it.
    """
    if like is not None and x.device != like.device:
        here, there = device_name(x), device_name(like)
        raise TypeError(
            f"{owner!r}: {name} is on {here}, but the parameters are on {there}. Nothing moves by itself: move the "
            f"array, Device('{there}').asarray({name}), or the model, model.to('{here}')"
        )


def check_features(owner: object, name: str, x: Any, size: int | None, like: Array | None) -> None:
    """Like `check_array`; and the last axis must have `size` entries (None: any number).

    Raises:
        ValueError: it does not, or an id of one-hot rows is outside theirs.
    """
    check_array(owner, name, x, like)
    check_one_hot(owner, x)
    if x.ndim == 0 or (size is not None and x.shape[-1] != size):
        raise ValueError(
            f"{owner!r}: {name} has shape {x.shape}, but its last axis must have size {size or 'at least 1'}"
        )


def check_integers(owner: object, name: str, ids: Any, like: Array | None = None) -> None:
    """`ids` must be an integer array on the device of `like`, a parameter of `owner`.

    Raises:
        TypeError: it is not.
    """
    if type(ids) is not np.ndarray:
        check_is_array(owner, name, ids, "an integer array")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{owner!r}: {name} must be an integer array, not {ids.dtype}")
    check_device(owner, name, ids, like)


def check_ids(owner: object, ids: Any, size: int, cure: str = "") -> None:
    """Each of `ids` must be 0 to `size - 1`; `cure` says what may be wrong, other than the tokenizer.

    Raises:
        ValueError: an id is outside; the message says which and where.
    """
    # As an unsigned integer, a negative id is greater than any size, so one pass over the ids is enough instead of two.
    # A single id, as in generation, is compared in Python, which takes a twentieth of the time.
    if not isinstance(ids, np.ndarray) or not ids.size or (ids.size == 1 and 0 <= ids.item() < size):
        return
    if ids.astype(np.uint64, copy=False).max() >= size:
        where = tuple(int(i) for i in np.argwhere((ids < 0) | (ids >= size))[0])
        raise ValueError(
            f"{owner!r}: id {ids[where]} at index {where} is outside the vocabulary, 0 to {size - 1}. Encode with the "
            f"tokenizer that the model was made for{cure}"
        )


def check_one_hot(owner: object, x: Any) -> None:
    """If `x` is one-hot rows, each of their ids must be below their size, and not negative: -1 would be the last.

    Raises:
        ValueError: an id is outside; the message says which and where.
    """
    if isinstance(x, OneHotRows):
        check_ids(owner, x.ids, x.size)


def check_fractions(owner: object, name: str, x: Any) -> None:
    """The entries of `x` must be 0 to 1.

    Raises:
        ValueError: one is not; the message says which and where.
    """
    if isinstance(x, np.ndarray) and x.size and not (x.min() >= 0 and x.max() <= 1):
        where = tuple(int(i) for i in np.argwhere(~((x >= 0) & (x <= 1)))[0])
        raise ValueError(f"{owner!r}: {name} is {x[where]} at index {where}, but must be 0 to 1")


def check_finite_from_0(owner: object, name: str, x: Any) -> None:
    """The entries of `x` must be finite, and at least 0.

    Raises:
        ValueError: one is not; the message says which and where.
    """
    if isinstance(x, np.ndarray) and x.size and not (x.min() >= 0 and x.max() < np.inf):
        where = tuple(int(i) for i in np.argwhere(~((x >= 0) & (x < np.inf)))[0])
        raise ValueError(f"{owner!r}: {name} is {x[where]} at index {where}, but must be finite and at least 0")


def check_distributions(owner: object, name: str, x: Any, counts: Any) -> None:
    """The rows of `x` that count must be distributions: entries of 0 to 1 that sum to 1. The others must be zeros.

    Raises:
        ValueError: an entry is outside 0 to 1, or a sum differs from 1 by more than 0.001; the message says where.
    """
    check_fractions(owner, name, x)
    if isinstance(x, np.ndarray):
        wrong = abs(x.sum(axis=-1) - counts) > 1e-3
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"{owner!r}: {name} at index {where} sums to {x[where].sum()}, but a distribution sums to 1"
            )


def check_lengths(owner: object, lengths: Any, steps: int, batch: int, like: Any) -> None:
    """`lengths` must be an integer array (B,) of values 0 to T, on the device of `like`.

    Raises:
        TypeError: not an integer array, or on another device.
        ValueError: of another shape, or a length is outside 0 to T.
    """
    check_integers(owner, "lengths", lengths, like)
    if lengths.shape != (batch,):
        hint = ""
        if lengths.shape == (steps,):
            hint = f". Time comes first, (T, B, D): if {steps} is the batch, pass xs.swapaxes(0, 1)"
        raise ValueError(
            f"{owner!r}: lengths has shape {lengths.shape}, expected ({batch},): one per row of the batch{hint}"
        )
    if isinstance(lengths, np.ndarray) and batch and not (lengths.min() >= 0 and lengths.max() <= steps):
        row = int(np.argmax((lengths < 0) | (lengths > steps)))
        raise ValueError(f"{owner!r}: lengths[{row}] is {lengths[row]}, but with {steps} steps it must be 0 to {steps}")


def check_flags(owner: object, name: str, flags: Any, shape: tuple[int, ...], like: Any) -> None:
    """`flags` must be an array of bools of this shape, on the device of `like`.

    Raises:
        TypeError: not an array of bools, or on another device.
        ValueError: of another shape.
    """
    wanted = "an array of bools, True where a document begins"
    check_is_array(owner, name, flags, wanted)
    if flags.dtype.kind != "b":
        raise TypeError(f"{owner!r}: {name} must be {wanted}, not {flags.dtype}")
    check_device(owner, name, flags, like)
    if flags.shape != shape:
        raise ValueError(f"{owner!r}: {name} has shape {flags.shape}, expected {shape}")


def check_gradient(owner: object, name: str, gradient: Any, shape: tuple[int, ...], like: Any) -> None:
    """The gradient w.r.t. an output of this shape, and of the dtype and device of `like`, must have them too.

    Raises:
        TypeError: another dtype or device.
        ValueError: another shape, which might be broadcast.
    """
    check_array(owner, name, gradient, like)
    if gradient.shape != shape:
        raise ValueError(f"{owner!r}: {name} has shape {gradient.shape}, but forward gave an array {shape}")


def check_cached_array(owner: object, cache: Any, like: Array | None = None) -> None:
    """`cache` must be an array, or one-hot rows, as `forward` gave; of the dtype of `like`, where it is given.

    Raises:
        TypeError: it is not.
    """
    if isinstance(cache, OneHotRows) or (is_array(cache) and (like is None or cache.dtype == like.dtype)):
        return
    came = f"an array of {cache.dtype}" if is_array(cache) else f"a {type(cache).__name__}"
    raise TypeError(f"{owner!r}: cache must be the array that forward gave with this output, not {came}")


def check_cache(owner: object, cache: Any, kind: type) -> None:
    """`cache` must be what `forward` gave, an instance of `kind`.

    Raises:
        TypeError: it is not.
    """
    if type(cache) is not kind:
        came = "an array" if hasattr(cache, "shape") else f"a {type(cache).__name__}"
        raise TypeError(f"{owner!r}: cache must be the {kind.__name__} that forward gave with this output, not {came}")
