"""The arithmetic of whole numbers, as the C computes it: rounding, which is defined once, tables and square roots.

All arrays are int64, and every number is one that the C holds in 32 bits, or in 64 within a product. Rounding is always
`rounded`: to the nearest, and a half goes up.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.arrays import Array, Integers

LIMIT = 2**29 - 1
"""What a term of a sum is clipped to, so that four of them fit 32 bits."""
WIDE, NARROW = 32767, 127
"""The largest values of 16 and of 8 bits that are in use; the smallest ones are minus these."""
GATE_BITS = 20
"""Sums of gates are whole numbers of 2^-20."""
TABLE_BITS = 12
"""The tables take whole numbers of 2^-12, from -8 to 8, and have an entry for each 16th."""
UNIT_BITS = 15
"""What the tables give are whole numbers of 2^-15."""


def rounded(values: Integers, shift: int) -> Integers:
    """`values / 2^shift`, rounded; shift is at least 1."""
    return (values + (1 << (shift - 1))) >> shift


def clipped(values: Integers, limit: int) -> Integers:
    """Within minus and plus `limit`."""
    return np.clip(values, -limit, limit)


def multiplier(factor: float) -> tuple[int, int]:
    """The whole number of 31 bits and the shift with which `rescaled` multiplies by `factor`."""
    fraction, exponent = math.frexp(factor)
    whole = round(fraction * 2**31)
    if abs(whole) == 2**31:
        whole, exponent = whole // 2, exponent + 1
    shift = 31 - exponent
    if shift > 62:
        return (whole >> min(shift - 62, 40)), 62
    if shift < 1:  # a factor of 2^30 or more, which clips all but 0
        return int(math.copysign(2**31 - 1, factor)), 1
    return whole, shift


def multipliers(factors: Array) -> tuple[Integers, Integers]:
    """`multiplier` of each."""
    pairs = [multiplier(float(factor)) for factor in factors]
    return np.array([whole for whole, _ in pairs], "int64"), np.array([shift for _, shift in pairs], "int64")


def rescaled(values: Integers, whole: Any, shift: Any, limit: int) -> Integers:
    """`values * whole / 2^shift`, rounded and clipped."""
    products: Integers = (values * whole + (np.int64(1) << (np.int64(shift) - 1))) >> np.int64(shift)
    return clipped(products, limit)


def table(function: Any) -> Integers:
    """The 257 entries of a function from -8 to 8."""
    exact = [function(i / 16 - 8) * 2**UNIT_BITS for i in range(257)]
    return np.array([min(max(math.floor(x + 0.5), -WIDE), WIDE) for x in exact], "int64")


TANH = table(math.tanh)
SIGMOID = table(lambda x: 1 / (1 + math.exp(-x)))
EXP = table(lambda x: math.exp(x - 8))
"""exp of -16 to 0."""


def looked_up(entries: Integers, values: Integers) -> Integers:
    """The function of `values`, -32767 to 32767: between two entries on a straight line."""
    place = values + 32768
    i, fraction = place >> 8, place & 255
    found: Integers = entries[i] + rounded((entries[i + 1] - entries[i]) * fraction, 8)
    return found


def gate(entries: Integers, sums: Integers) -> Integers:
    """The function of sums of 2^-20."""
    return looked_up(entries, clipped(rounded(sums, GATE_BITS - TABLE_BITS), WIDE))


def square_root(values: Integers) -> Integers:
    """The largest whole number whose square is not above `values`, which are below 2^60."""
    roots: Integers = np.floor(np.sqrt(values.astype("float64"))).astype("int64")
    roots -= roots * roots > values
    roots += (roots + 1) * (roots + 1) <= values
    return roots


NORM_BITS = 16
"""Normalised numbers are whole numbers of 2^-16."""


def normalised(values: Integers, eps: int) -> Integers:
    """(values - mean) / deviation over the last axis, in 2^-16; values of 16 bits, `eps` in units of (value / 16)^2."""
    size = values.shape[-1]
    sums = values.sum(axis=-1, keepdims=True)
    distances = 16 * values - (32 * sums + size) // (2 * size)
    variance = (distances * distances).sum(axis=-1, keepdims=True) // size + eps
    inverse = (1 << 46) // square_root(variance << 16)
    return rounded(distances * inverse, 46 - 8 - NORM_BITS)
