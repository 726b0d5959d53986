"""Sums of vectors in a fixed tree: which numbers are added, and in which order, depends on nothing but their places.

Rounding makes (a + b) + c and a + (b + c) differ, but never a + b and b + a. So the sum of a power of two of vectors is
the same, to the bit, wherever each pair of the tree is added: its inner levels in one process, the others between
processes.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..core.arrays import Array, namespace


class Link(Protocol):
    """How two processes exchange arrays."""

    def exchange(self, sent: Array, received: Array, partner: int) -> None:
        """Send `sent` to process `partner`, and write what it sends into `received`."""


class TreeSum:
    """Adds vectors in the tree of their order: 0 and 1, 2 and 3, then these two sums, and so on.

    Args:
        size: how many numbers a vector has.
        spare: how many more its sum has, behind them, zeros.
        like: an array of the dtype and the device.
    """

    def __init__(self, size: int, spare: int, like: Array) -> None:
        self._size, self._spare, self._like = size, spare, like
        self._sums: list[tuple[int, Array]] = []  # of 2 ** level vectors, the latest last
        self._unused: list[Array] = []  # as many as levels; to make new ones costs page faults

    def add(self, vector: Array) -> None:
        """Add the next vector, which is only read."""
        if not self._sums or self._sums[-1][0]:
            total = self._unused.pop() if self._unused else self._zeros()
            total[: self._size] = vector
            self._sums.append((0, total))
            return
        level, total = self._sums.pop()
        total[: self._size] += vector
        while self._sums and self._sums[-1][0] == level + 1:
            self._unused.append(total)
            level, other = self._sums.pop()
            other[: self._size] += total[: self._size]
            total = other
        self._sums.append((level + 1, total))

    def take(self) -> Array:
        """The sum, of a power of two of vectors. It may be written to, until the next `add`."""
        ((_, total),) = self._sums
        self._sums.clear()
        total[self._size :] = 0
        self._unused.append(total)
        return total

    def fits(self, size: int, like: Array) -> bool:
        """Whether it is for such vectors."""
        return size == self._size and like.dtype == self._like.dtype and like.device == self._like.device

    def clear(self) -> None:
        """Forget what was added."""
        self._unused += [total for _, total in self._sums]
        self._sums.clear()

    def _zeros(self) -> Array:
        zeros: Array = namespace(self._like).zeros(self._size + self._spare, self._like.dtype)
        return zeros


def sum_between(vector: Array, rank: int, size: int, link: Link) -> None:
    """Replace the vectors of `size` processes, a power of two, by their sum in the tree of their numbers.

    Level by level each process meets the one whose number differs in one bit. Both add one half of what they still add,
    each another. Then, level by level back, they give each other their halves (recursive halving and doubling). So a
    number is added once, by one process, and all have the same; each sends less than twice the vector, however many
    there are.

    References:
        Thakur, Rabenseifner and Gropp, *Optimization of Collective Communication Operations in MPICH*, 2005.
    """
    start, stop, distance = 0, len(vector), 1
    halves: list[tuple[Any, Any, int]] = []
    buffer = namespace(vector).empty((stop + 1) // 2, vector.dtype) if size > 1 else vector
    while distance < size:
        partner, middle = rank ^ distance, (start + stop) // 2
        lower, upper = slice(start, middle), slice(middle, stop)
        mine, other = (upper, lower) if rank & distance else (lower, upper)
        start, stop, distance = mine.start, mine.stop, 2 * distance
        received = buffer[: stop - start]
        link.exchange(vector[other], received, partner)
        vector[mine] += received
        halves.append((mine, other, partner))
    for mine, other, partner in reversed(halves):
        link.exchange(vector[mine], vector[other], partner)
