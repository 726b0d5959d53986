"""Philox4x64-10 written out in the integers of Python, and the numbers from which layers make their masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

WORD = 2**64


def philox(key: tuple[int, int]) -> Iterator[int]:
    """Its numbers: Salmon et al. (2011), with the counter from 1 on, as NumPy has it."""
    counter = 0
    while True:
        counter += 1
        x, (k0, k1) = [counter, 0, 0, 0], key
        for _ in range(10):
            first, second = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
            x = [(second >> 64) ^ x[1] ^ k0, second % WORD, (first >> 64) ^ x[3] ^ k1, first % WORD]
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) % WORD, (k1 + 0xBB67AE8584CAA73B) % WORD
        yield from x


def fractions(key: tuple[int, int], shape: tuple[int, ...]) -> Any:
    """Numbers from 0 to below 1, of 32 bits each: the lower half of a number of 64 bits, then its upper half."""
    numbers = np.zeros(int(np.prod(shape)))
    words = philox(key)
    for j in range(0, len(numbers), 2):
        word = next(words)
        numbers[j : j + 2] = [word % 2**32 / 2**32, (word >> 32) / 2**32][: len(numbers) - j]
    return numbers.reshape(shape)


def drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """The numbers of the next mask of a layer with this stream, which is advanced."""
    first, second = rng.integers(0, 1 << 64, 2, "uint64")
    return fractions((int(first), int(second)), shape)
