"""The last door before the weights: a gradient passes it if every entry is finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from ..core.arrays import Array, namespace
from ..core.device import on_host
from .settings import shown

Nonfinite = Literal["refuse", "skip", "propagate"]
"""What an optimizer does with a gradient that holds NaN or infinity."""


class Door:
    """Says whether a gradient may reach the weights, and counts those that did not.

    On the CPU the answer is a bool. On a GPU it is an array (), because to read it would be to wait; what is counted is
    one, too. There, with "refuse", no gradient passes after the first that did not.

    Raises:
        ValueError: `nonfinite` is none of the choices.
    """

    def __init__(self, owner: str, nonfinite: Any, *, on_cpu: bool) -> None:
        if not isinstance(nonfinite, str) or nonfinite not in get_args(Nonfinite):
            raise ValueError(f'{owner}: nonfinite must be "refuse", "skip" or "propagate", not {shown(nonfinite)}')
        self.nonfinite: Nonfinite = nonfinite  # type: ignore[assignment]
        self._on_cpu = on_cpu
        self.open(0)

    def open(self, skipped: int) -> None:
        """Begin anew, when so many gradients were skipped."""
        self._skipped: Any = skipped
        self._stopped: Any = 0  # on a GPU, updates since the first gradient that was refused, its own included,
        self._first: Any = -1  # and the index of its first entry that is not finite

    def passes(self, grad: Array) -> Any:
        """Whether `grad` (P,) passes."""
        if self.nonfinite == "propagate":
            return True
        xp = namespace(grad)
        finite = xp.isfinite(grad)
        at = finite.argmin()  # the first that is not, if there is one
        if self._on_cpu:
            return bool(finite[at])  # in two thirds of the time of `all`
        at = xp.where(finite.all(), -1, at)
        if self.nonfinite == "refuse":
            at = self._first = at if isinstance(self._first, int) else xp.where(self._first < 0, at, self._first)
        return at < 0

    def count(self, passed: Any) -> None:
        """Count a gradient, unless it has passed."""
        left_out = 1 if passed is False else namespace(passed).where(passed, 0, 1)
        if self.nonfinite == "skip":
            self._skipped = self._skipped + left_out
        else:
            self._stopped = self._stopped + left_out

    def tallies(self, xp: Any) -> list[Any]:
        """Arrays () for a GPU to count in: the first entry that was not finite, what was stopped, what was skipped."""
        found = [self._first, self._stopped, self._skipped]
        found = [xp.full((), value, xp.int64) if isinstance(value, int) else value for value in found]
        self._first, self._stopped, self._skipped = found
        return found

    @property
    def skipped(self) -> int:
        """How many were skipped."""
        return int(on_host(self._skipped))

    def reopen(self) -> tuple[int, int]:
        """How many updates a GPU has stopped, and the index of the entry that began it; from now on it stops none."""
        found = int(on_host(self._stopped)), int(on_host(self._first))
        self._stopped, self._first = 0, -1
        return found


def first_nonfinite(grad: Array) -> int:
    """The index of the first entry of `grad` (P,), on the CPU, that is not finite."""
    return int(namespace(grad).isfinite(grad).argmin())


def only_where(passed: Array, arrays: Sequence[Array], change: Callable[[], None]) -> None:
    """`change()`, which changes `arrays`, if `passed`, an array (), is True: else the device puts everything back."""
    before = [array.copy() for array in arrays]
    change()
    stopped = namespace(passed).logical_not(passed)
    for array, old in zip(arrays, before, strict=True):
        namespace(array).copyto(array, old, where=stopped)
