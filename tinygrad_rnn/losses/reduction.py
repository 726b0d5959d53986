"""What all losses share: they leave out padding and what weighs nothing, and reduce the rest by mean, sum or not."""

from __future__ import annotations

from numbers import Real
from typing import Any

from ..core.arrays import Array, Float, Integer, Integers, namespace
from ..core.checks import check_array, check_choice, check_device, check_finite_from_0, check_number
from ..core.foreign import check_is_array
from ..core.roles import Loss
from ..core.rows import WHOLE, Rows, make_rows


def check_reduction(owner: str, reduction: str) -> None:
    """`reduction` must be `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: it is not.
    """
    check_choice(owner, "reduction", reduction, "mean", "sum", "none")


def rows_of(owner: object, lengths: Integer[Integers, " B"] | None, ys: Array) -> Rows:
    """Where the rows of `ys`, (T, B, V), end.

    Raises:
        ValueError: `ys` has other axes, or a length does not fit.
        TypeError: `lengths` is not an integer array, or is on another device.
    """
    if lengths is None:
        return WHOLE
    check_sequence(owner, ys)
    steps, batch = ys.shape[:2]
    return make_rows(owner, lengths, None, steps, batch, ys)


def check_sequence(owner: object, ys: Array) -> None:
    """`ys` must be (T, B, V) where there are lengths.

    Raises:
        ValueError: it has other axes.
    """
    if ys.ndim != 3:
        raise ValueError(f"{owner!r}: lengths go with ys (T, B, V), not {ys.shape}")


def weights_of(owner: object, weights: Any, rows: Rows, ys: Array) -> Array:
    """`weights`, one for each vector of `ys`, in its dtype, and 0 past each row's end.

    Raises:
        TypeError: they are not an array of numbers, or on another device.
        ValueError: they do not have the shape of `ys` without its last axis; or one is below 0 or not finite, which is
            checked only on the CPU.
    """
    check_weights(owner, weights, ys)
    cleared: Array = rows.clear(weights).astype(ys.dtype, copy=False)
    check_finite_from_0(owner, "weights", cleared)
    return cleared


def check_weights(owner: object, weights: Any, ys: Array) -> None:
    """`weights` must be numbers, one for each vector of `ys`.

    Raises:
        TypeError: they are not an array of numbers, or on another device.
        ValueError: they do not have the shape of `ys` without its last axis.
    """
    check_is_array(owner, "weights", weights, "an array of numbers or bools")
    if weights.dtype.kind not in "fiub":
        raise TypeError(f"{owner!r}: weights must be floats, integers or bools, not {weights.dtype}")
    check_device(owner, "weights", weights, ys)
    if weights.shape != ys.shape[:-1]:
        raise ValueError(
            f"{owner!r}: weights has shape {weights.shape}, but ys {ys.shape}; expected {ys.shape[:-1]}, one weight "
            "for each vector"
        )


def check_dloss(owner: Loss, dloss: Any, like: Array, shape: tuple[int, ...]) -> None:
    """`dloss` must be None, a number or a gradient w.r.t. the loss, which has this shape.

    Raises:
        TypeError: it is neither, or on another device than `like`.
        ValueError: it is an array of another shape, or an integer too large for a float.
    """
    if dloss is None:
        return
    if isinstance(dloss, Real):
        check_number(owner, "dloss", dloss)
        return
    check_array(owner, "dloss", dloss, None)
    check_device(owner, "dloss", dloss, like)
    if dloss.shape not in ((), shape):
        raise ValueError(f"{owner!r}: dloss has shape {dloss.shape}, but the loss that forward gave has shape {shape}")


def scaled(owner: Loss, scale: Array, dloss: Any, shape: tuple[int, ...]) -> Array:
    """`scale` times `dloss`, the gradient w.r.t. the loss, which has this shape; None is 1.

    Raises:
        TypeError: `dloss` is neither a number nor an array of floating-point numbers on the device of the loss.
        ValueError: it is an array of another shape.
    """
    check_dloss(owner, dloss, scale, shape)
    if dloss is None:
        return scale
    if isinstance(dloss, Real):
        return scale * check_number(owner, "dloss", dloss)
    product: Array = scale * dloss.astype(scale.dtype)
    return product


def reduce(
    reduction: str, losses: Float[Array, "*lead"], total: int | Array | Integers, weights: Array | None = None
) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, ""]]:
    """The reduced loss, the factor of each of `losses` in the sum, and `total` as an array.

    Args:
        reduction: as in the losses.
        losses: 0 where nothing counts.
        total: by what the mean divides, the sum of the weights; if it is 0, by 1.
        weights: the factor of each of the losses, of a shape that fits; None is 1.
    """
    xp = namespace(losses)
    counted = xp.empty((), losses.dtype)
    counted[...] = total
    if weights is None:
        scale = xp.ones((), losses.dtype)
        if reduction == "mean":
            scale /= xp.maximum(counted, 1)  # of how many count, which are integers
        return (losses if reduction == "none" else xp.asarray(losses.sum() * scale)), scale, counted
    scale = weights / (counted + (counted == 0)) if reduction == "mean" else weights
    losses = losses * scale
    return (losses if reduction == "none" else xp.asarray(losses.sum())), scale, counted
