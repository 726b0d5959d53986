"""What all losses do alike: leave out padding, and reduce the losses of all that counts to the one asked for."""

from __future__ import annotations

from ..core.arrays import Array, Bool, Booleans, Float, Integer, Integers, namespace
from ..core.checks import check_lengths
from ..core.roles import Loss


def check_reduction(owner: str, reduction: str) -> None:
    """`reduction` must be one of the three.

    Raises:
        ValueError: it is not.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{owner}: reduction must be "mean", "sum" or "none", not {reduction!r}')


def active_steps(
    owner: Loss, lengths: Integer[Integers, " B"] | None, targets: Array | Integers
) -> Bool[Booleans, "T B"] | None:
    """Where `targets`, (T, B) or (T, B, D), are no padding; None without lengths.

    Raises:
        ValueError: `targets` has other axes, or a length does not fit.
        TypeError: `lengths` is no integer array, or lies on another device.
    """
    if lengths is None:
        return None
    if targets.ndim != 3 - owner.takes_ids:
        takes = "(T, B)" if owner.takes_ids else "(T, B, D)"
        raise ValueError(f"{owner!r}: lengths go with targets {takes}, not {targets.shape}")
    steps, batch = targets.shape[:2]
    check_lengths(owner, lengths, steps, batch, targets)
    active: Booleans = namespace(lengths).arange(steps)[:, None] < lengths
    return active


def reduce(
    reduction: str, losses: Float[Array, "*lead"], count: int | Integers
) -> tuple[Float[Array, "..."], Float[Array, ""]]:
    """The loss, and by what each of `losses`, of which `count` are no padding, is multiplied in the sum."""
    xp = namespace(losses)
    scale = xp.ones((), losses.dtype)
    if reduction == "mean":
        scale /= xp.maximum(count, 1).astype(losses.dtype)
    return (losses if reduction == "none" else xp.asarray(losses.sum() * scale)), scale
