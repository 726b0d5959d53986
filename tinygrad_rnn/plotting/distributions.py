"""Distributions of numbers, with one row for each array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.arrays import Array
from ..core.layer import Layer
from .checks import AxesRow, check_axes, check_mapping
from .colours import PALETTE

Pair: TypeAlias = tuple[Any, Any]

_BINS = 40
_HEIGHT = 0.7  # of the highest bin, in rows


def parameters(model: Layer | Mapping[str, Pair], *, axes: AxesRow | None = None) -> Figure:
    """Weights and gradients of each parameter: two histograms per row, each scaled to the height of the row.

    On the left are the weights, all on one scale. On the right are the magnitudes of the gradients, on a logarithmic
    scale, because those of one layer may be a thousand times those of another: a parameter whose row is far to the left
    of the others learns slowly. The line below a histogram reaches from the smallest number to the largest; the tick on
    it is the median. Gradients of exactly 0 cannot be drawn on this scale: their number is written instead. The
    smallest twentieth of the others is left out.

    Args:
        model: a layer, whose parameters are drawn with their current gradients; or a mapping from names to tuples of a
            value and a gradient, both arrays of one shape on the host. None in place of a gradient means that there is
            none.
        axes: two axes to draw in, for weights and for gradients, of a figure of your own; None makes a figure.

    Returns:
        The figure; if `axes` are given, their figure.

    Raises:
        TypeError: model is neither a layer nor a mapping, or an entry is not a tuple of two arrays of floating-point
            numbers; axes have no length.
        ValueError: there are no parameters, or one is of size 0; a gradient differs in shape from its value; there are
            not two axes.

    Example:
        >>> from tinygrad_rnn import plotting
        >>> figure = plotting.parameters(RNNCell(3, 4, rng=np.random.default_rng(0)))
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['w_x (3, 4)', 'w_h (4, 4)', 'b (4,)']
    """
    if isinstance(model, Layer):
        host = model.device.to_host
        model = {name: (host(p.value), host(p.grad)) for name, p in model.named_parameters()}
    check_mapping("parameters", "model", model, 'a layer that has parameters, or {"w": (value, grad)}')
    for name, pair in model.items():
        _check(name, pair)
    if axes is None:
        figure = Figure(figsize=(8, 1 + 0.36 * len(model)), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True).tolist()
    check_axes("parameters", axes, 2, "for weights and for gradients")
    weights, gradients = axes
    for row, (value, grad) in enumerate(model.values()):
        finite = value[np.isfinite(value)]
        _note(weights, row, "not finite", value.size - finite.size, value.size)
        _histogram(weights, row, finite, PALETTE[0])
        if grad is None:
            _write(gradients, row, "no gradient")
            continue
        finite = np.abs(grad[np.isfinite(grad)])
        sizes = np.log10(finite[finite > 0])
        _note(gradients, row, "not finite", grad.size - finite.size, grad.size)
        _note(gradients, row, "zero", finite.size - sizes.size, grad.size)
        _histogram(gradients, row, sizes, PALETTE[1], place=lambda x: 10.0**x, without=0.05)
    gradients.set_xscale("log")
    weights.set_xlabel("weight")
    gradients.set_xlabel("magnitude of a gradient")
    for part in axes:
        part.set_ylim(len(model) - 0.4, -0.9)  # the first row on top
        part.grid(axis="x", alpha=0.3)
        part.tick_params(axis="y", length=0)
    names = [f"{name} {value.shape}" for name, (value, _) in model.items()]
    weights.set_yticks(range(len(names)), names, parse_math=False)
    return weights.figure.figure


def _histogram(
    axes: Axes, row: int, numbers: Array, colour: str, place: Any = lambda x: x, without: float = 0.0
) -> None:
    """Draw `numbers`, except the smallest fraction `without`, each x at `place(x)`; a spike if all are the same."""
    if not numbers.size:
        return
    base, median = row + 0.3, place(np.median(numbers))
    numbers = numbers[numbers >= np.quantile(numbers, without)]
    counts, edges = np.histogram(numbers.astype(float), _BINS)
    if numbers.min() == numbers.max():
        axes.plot([median, median], [base, base - _HEIGHT], color=colour, linewidth=2)
    else:
        axes.stairs(base - _HEIGHT * counts / counts.max(), place(edges), baseline=base, fill=True, color=colour)
    axes.plot(place(np.array([numbers.min(), numbers.max()])), [base, base], color=colour, linewidth=1)
    axes.plot([median, median], [base, base + 0.15], color="black")


def _note(axes: Axes, row: int, what: str, count: int, size: int) -> None:
    """Write how many of `size` numbers are of a kind that is not drawn, if there are any."""
    if count:
        _write(axes, row, f"all {what}" if count == size else f"{count:,} {what}")


def _write(axes: Axes, row: int, text: str) -> None:
    """Write `text` to the right of the row."""
    axes.text(1.01, row, text, transform=axes.get_yaxis_transform(), va="center", size=8)


def _check(name: str, pair: Any) -> None:
    """`pair` must be a tuple of a value and a gradient."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        came = f"a tuple of {len(pair)}" if isinstance(pair, tuple) else f"a {type(pair).__name__}"
        raise TypeError(f"plotting.parameters: model[{name!r}] is {came}, where (value, grad) was expected")
    for what, array in zip(("value", "grad"), pair, strict=True):
        if what == "grad" and array is None:
            continue
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            came = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
            raise TypeError(
                f"plotting.parameters: the {what} of model[{name!r}] is {came}, where a NumPy array of floating-point "
                f"numbers was expected; for an array on a GPU use device.to_host({what})"
            )
        if array.shape != pair[0].shape or not array.size:
            raise ValueError(
                f"plotting.parameters: the {what} of model[{name!r}] has shape {array.shape}, expected "
                f"{pair[0].shape if array.size else 'at least one number'}"
            )
