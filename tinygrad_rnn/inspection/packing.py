"""Arrays as short text that a page decodes: activations in 8 bits, the likeliest classes, base64."""

from __future__ import annotations

import base64
from typing import NamedTuple

import numpy as np

from ..core.arrays import Array, Float, Integer, Integers, NDArray

_BLOCK = 1024  # steps whose probabilities are computed at once, in float64


class Activations(NamedTuple):
    """The activations of H units in 8 bits. `codes` are (H, T), so that those of a unit lie together.

    Where `fraction` is true, a value is `code / 254`, and 255 stands for NaN. Else it is `code / 127 * scale[unit]`,
    and -128 stands for NaN. So an error is at most 1/508, or 1/254 of the greatest magnitude of the unit.
    """

    fraction: bool
    codes: NDArray[np.int8] | NDArray[np.uint8]
    scale: NDArray[np.float32]
    """(H,): the greatest magnitude of each unit."""
    end: NDArray[np.float32]
    """(H,): where the colours of each unit end, as in `plotting.unit`."""


class Predictions(NamedTuple):
    """What is expected after each step: the likeliest classes, and what the class that came was worth."""

    classes: NDArray[np.int64]
    """(T, k), the likeliest first."""
    probabilities: NDArray[np.float64]
    """(T, k)."""
    bits: NDArray[np.float64]
    """(T - 1,): -log2 of the probability of the class that came next."""


def activations(values: Float[Array, "T H"]) -> Activations:
    """`values`, on the host, in 8 bits. Infinities become NaN."""
    finite = np.isfinite(values)
    values = np.where(finite, values, 0)
    sizes = np.abs(values)
    scale = sizes.max(axis=0, initial=0).astype(np.float32)
    if scale.max(initial=0) <= 1 and not (values < 0).any():
        codes = np.where(finite, np.rint(254 * values), 255).astype(np.uint8)
        return Activations(True, np.ascontiguousarray(codes.T), scale, np.ones_like(scale))
    quantile = np.quantile(sizes, 0.95, axis=0).astype(np.float32)  # a few values that go far leave others no colour
    codes = np.where(finite, np.rint(127 * (values / np.where(scale > 0, scale, 1))), -128).astype(np.int8)
    return Activations(False, np.ascontiguousarray(codes.T), scale, np.where(quantile > 0, quantile, scale))


def predictions(logits: Float[Array, "T V"], ids: Integer[Integers, "T"], top: int) -> Predictions:
    """The softmax of `logits`, on the host: the `top` likeliest classes after each step, and the bits of what came."""
    T, V = logits.shape
    top = min(top, V)
    classes, probabilities, bits = np.empty((T, top), np.int64), np.empty((T, top)), np.empty(T)
    came = np.append(ids[1:], 0).astype(np.int64)
    for first in range(0, T, _BLOCK):
        part = slice(first, first + _BLOCK)
        scores = logits[part].astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        classes[part] = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        probabilities[part] = np.exp(np.take_along_axis(scores, classes[part], axis=1))
        bits[part] = -np.take_along_axis(scores, came[part, None], axis=1)[:, 0] / np.log(2)
    return Predictions(classes, probabilities, bits[:-1])


def fractions(values: Array) -> NDArray[np.uint16]:
    """Values from 0 to 1 in 16 bits; NaN becomes 0."""
    return np.rint(65535 * np.nan_to_num(values)).astype(np.uint16)


def to_base64(array: NDArray[np.generic]) -> bytes:
    """The numbers of an array, little-endian, in its order of axes."""
    return base64.b64encode(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
