"""What all losses share: they leave out padding, and reduce the other losses by mean, sum or not at all."""

from __future__ import annotations

from ..core.arrays import Array, Float, Integer, Integers, namespace
from ..core.roles import Loss
from ..core.rows import WHOLE, Rows, make_rows


def check_reduction(owner: str, reduction: str) -> None:
    """`reduction` must be `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: it is not.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{owner}: reduction must be "mean", "sum" or "none", not {reduction!r}')


def rows_of(owner: Loss, lengths: Integer[Integers, " B"] | None, targets: Array | Integers) -> Rows:
    """Where the rows of `targets`, (T, B) or (T, B, D), end.

    Raises:
        ValueError: `targets` has other axes, or a length does not fit.
        TypeError: `lengths` is not an integer array, or is on another device.
    """
    if lengths is None:
        return WHOLE
    if targets.ndim != 3 - owner.takes_ids:
        takes = "(T, B)" if owner.takes_ids else "(T, B, D)"
        raise ValueError(f"{owner!r}: lengths go with targets {takes}, not {targets.shape}")
    steps, batch = targets.shape[:2]
    return make_rows(owner, lengths, None, steps, batch, targets)


def reduce(
    reduction: str, losses: Float[Array, "*lead"], count: int | Integers
) -> tuple[Float[Array, "..."], Float[Array, ""]]:
    """The reduced loss, and the factor of each of `losses` in the sum; `count` of them are not padding."""
    xp = namespace(losses)
    scale = xp.ones((), losses.dtype)
    if reduction == "mean":
        scale /= xp.maximum(count, 1).astype(losses.dtype)
    return (losses if reduction == "none" else xp.asarray(losses.sum() * scale)), scale
