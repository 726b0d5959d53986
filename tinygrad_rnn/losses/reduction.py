"""What all losses share: they leave out padding, and reduce the other losses by mean, sum or not at all."""

from __future__ import annotations

from numbers import Real
from typing import Any

from ..core.arrays import Array, Float, Integer, Integers, namespace
from ..core.checks import check_array, check_choice, check_device, check_number
from ..core.roles import Loss
from ..core.rows import WHOLE, Rows, make_rows


def check_reduction(owner: str, reduction: str) -> None:
    """`reduction` must be `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: it is not.
    """
    check_choice(owner, "reduction", reduction, "mean", "sum", "none")


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


def scaled(owner: Loss, scale: Array, dloss: Any, shape: tuple[int, ...]) -> Array:
    """`scale` times `dloss`, the gradient w.r.t. the loss, which has this shape; None is 1.

    Raises:
        TypeError: `dloss` is neither a number nor an array of floating-point numbers on the device of the loss.
        ValueError: it is an array of another shape.
    """
    if dloss is None:
        return scale
    if isinstance(dloss, Real):
        return scale * check_number(repr(owner), "dloss", dloss)
    check_array(owner, "dloss", dloss, None)
    check_device(owner, "dloss", dloss, scale)
    if dloss.shape not in ((), shape):
        raise ValueError(f"{owner!r}: dloss has shape {dloss.shape}, but the loss that forward gave has shape {shape}")
    product: Array = scale * dloss.astype(scale.dtype)
    return product


def reduce(
    reduction: str, losses: Float[Array, "*lead"], count: int | Integers
) -> tuple[Float[Array, "..."], Float[Array, ""]]:
    """The reduced loss, and the factor of each of `losses` in the sum; `count` of them are not padding."""
    xp = namespace(losses)
    scale = xp.ones((), losses.dtype)
    if reduction == "mean":
        scale /= xp.maximum(count, 1).astype(losses.dtype)
    return (losses if reduction == "none" else xp.asarray(losses.sum() * scale)), scale
