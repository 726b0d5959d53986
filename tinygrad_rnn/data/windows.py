"""Windows of long series, with what comes after each, for forecasting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.arrays import Array, NDArray
from ..core.checks import check_bool, check_size


def windows(
    series: Array | Sequence[Array], *, steps: int, horizon: int = 1, stride: int = 1, shifted: bool = False
) -> tuple[Any, Any]:
    """All windows of `steps` steps of one or several series, each with what comes after it, for `SequenceBatches`.

    The targets are the next `horizon` values after a window, side by side: a model such as `ManyToOne` forecasts all of
    them at once, and `y.reshape(B, horizon, D)` has them as steps. With `shifted` they are the window itself, moved on
    by `horizon` steps, so that each step has a target: for a `Sequential`, which with a horizon of 1 can feed each
    output back as the next input.

    The windows of a series overlap and are views of it, so they take almost no memory. First split the series in time,
    then make windows of each part: otherwise the training data contains the values to be forecast in the test.

    Args:
        series: numbers (N, D), or a list of such arrays with the same D, where no window goes from one to the next; one
            that is shorter than a window with its targets is left out.
        steps: T, the steps of a window.
        horizon: how far the targets reach beyond the window.
        stride: how many steps lie between the first steps of two windows.
        shifted: whether each step has a target.

    Returns:
        W windows and W targets. For one series they are views (W, T, D), and (W, horizon · D), or with `shifted` (W, T,
        D). For a list of series they are lists of views (T, D); without `shifted`, targets are one new array (W,
        horizon · D).

    Raises:
        TypeError: `series` is not an array, or a list of arrays, of floating-point numbers; a size is not an integer.
        ValueError: a shape does not fit, a size is below 1, or no series is long enough.

    Example:
        >>> xs, targets = windows(np.arange(6.0)[:, None], steps=3, horizon=2)
        >>> xs[..., 0].tolist(), targets.tolist()
        ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [[3.0, 4.0], [4.0, 5.0]])
        >>> xs, targets = windows(np.arange(6.0)[:, None], steps=3, stride=2, shifted=True)
        >>> xs[..., 0].tolist(), targets[..., 0].tolist()
        ([[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]], [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])
    """
    steps, horizon, stride = (
        check_size("windows", name, size) for name, size in (("steps", steps), ("horizon", horizon), ("stride", stride))
    )
    check_bool("windows", "shifted", shifted)
    listed = isinstance(series, (list, tuple))
    given: Any = series if listed else [series]
    for i, array in enumerate(given):
        _check(f"series[{i}]" if listed else "series", array, given[0])
    longest = max(map(len, given), default=0)
    if longest < steps + horizon:
        raise ValueError(
            f"windows: the longest series has {longest} steps, too few for a window of steps={steps} and a horizon of "
            f"{horizon} after it, {steps + horizon} together"
        )
    long_enough = [array for array in given if len(array) >= steps + horizon]
    pairs = [_of_one(array, steps, horizon, stride, shifted) for array in long_enough]
    if not listed:
        return pairs[0]
    inputs, targets = ([window for part in parts for window in part] for parts in zip(*pairs, strict=True))
    return inputs, targets if shifted else np.stack(targets)


def _of_one(series: Array, steps: int, horizon: int, stride: int, shifted: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """The windows of one series, and their targets: views, if the series is contiguous."""

    def views(array: Array, size: int) -> NDArray[Any]:
        every = np.lib.stride_tricks.sliding_window_view(array, size, axis=0)  # (W, D, size)
        return every[::stride].swapaxes(1, 2)

    inputs = views(series[:-horizon], steps)
    if shifted:
        return inputs, views(series[horizon:], steps)
    after = views(series[steps:], horizon)
    return inputs, after.reshape(len(after), -1)


def _check(name: str, array: Any, first: Any) -> None:
    if type(array) not in (np.ndarray, np.memmap) or array.dtype.kind != "f":
        came = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
        raise TypeError(f"windows: {name} is {came}, where a NumPy array (N, D) of floating-point numbers was expected")
    if array.ndim != 2:
        cure = f"; for one feature give {name}[:, None]" if array.ndim == 1 else ""
        raise ValueError(f"windows: {name} has the shape {array.shape}, where (N, D) was expected{cure}")
    if array.shape[1] != first.shape[1] or array.dtype != first.dtype:
        raise ValueError(
            f"windows: {name} has {array.shape[1]} features of {array.dtype}, but the first {first.shape[1]} of "
            f"{first.dtype}"
        )
