"""Where the rows of a batch end, and where documents begin in them."""

from __future__ import annotations

from typing import Any, NamedTuple

from .arrays import Booleans, Integers, is_empty, namespace, select
from .checks import check_flags, check_lengths
from .one_hot import OneHotRows, TableGradient, TableRows


class Rows(NamedTuple):
    """The checked `lengths` and `starts` of a batch: the outermost `forward` makes it, and inner layers receive it.

    A field is None where it is not needed: every row is whole, or no document begins.
    """

    lengths: Integers | None = None
    """(B,), the steps of each row, 0 to T."""
    active: Booleans | None = None
    """(T, B), `lengths` as a mask: True before a row's end."""
    starts: Booleans | None = None
    """(T, B), True where the state is reset before the step; False past a row's end."""

    def clear(self, values: Any) -> Any:
        """`values` (T, B, ...) with 0 past each row's end, whatever stood there. None stays None."""
        if self.active is None or values is None or isinstance(values, TableGradient):
            return values
        if isinstance(values, (OneHotRows, TableRows)):
            return values.with_ids(namespace(self.active).where(self.active, values.ids, 0))
        return select(self.active, values, 0)

    def of_rows(self, part: slice) -> Rows:
        """The `Rows` of some rows of the batch."""
        if self is WHOLE:
            return self
        lengths = None if self.lengths is None else self.lengths[part]
        return Rows(lengths, *(None if flags is None else flags[:, part] for flags in self[1:]))

    def of_steps(self, block: slice) -> Rows:
        """The `Rows` of some steps, without `lengths`, which has no axis of steps."""
        if self is WHOLE:
            return self
        return Rows(None, *(None if flags is None else flags[block] for flags in self[1:]))

    def reversal(self) -> Any:
        """The index that reverses each row of an array (T, B, ...) within its length; it is its own inverse."""
        if self.active is None or self.lengths is None:
            return slice(None, None, -1)
        xp, (steps, batch) = namespace(self.active), self.active.shape
        t = xp.arange(steps)[:, None]
        return xp.where(self.active, self.lengths.astype(t.dtype) - 1 - t, t), xp.arange(batch)

    def reversed(self) -> Rows:
        """The `Rows` of the reversed rows. Read backward, a document begins one step before the next document's start.

        A row's own last step is not marked: the reversed row begins there, from the state that is given.
        """
        if self.starts is None:
            return self
        xp = namespace(self.starts)
        ends = xp.zeros_like(self.starts)
        ends[:-1] = self.starts[1:]
        return self._replace(starts=ends[self.reversal()])


WHOLE = Rows()
"""Every row is whole, and no document begins in one."""


def make_rows(owner: object, lengths: Any, starts: Any, steps: int, batch: int, like: Any) -> Rows:
    """The `Rows` of a batch (T, B). On the CPU, `starts` that are all False count as None.

    Raises:
        TypeError: `lengths` are not integers, `starts` are not bools, or one is on another device than `like`.
        ValueError: a shape does not fit, or a length is outside 0 to T.
    """
    if lengths is None and starts is None:
        return WHOLE
    active = None
    if lengths is not None:
        check_lengths(owner, lengths, steps, batch, like)
        active = namespace(lengths).arange(steps)[:, None] < lengths
    if starts is not None:
        check_flags(owner, "starts", starts, (steps, batch), like)
        starts = None if is_empty(starts) else starts if active is None else starts & active
    return Rows(lengths, active, starts)
