"""How far the gradients of methods through time are from the exact one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.arrays import Array
from ..through_time.bias import BiasReport
from .checks import AxesRow, check_axes
from .colours import SEQUENTIAL, draw_lines


def bias(report: BiasReport, *, axes: AxesRow | None = None) -> Figure:
    """What methods through time see of the gradient: by distance in time, and by parameter.

    The left axes show how much of each part of the gradient a method has, over the number of steps between a loss and
    the use of a parameter. This is the length of its part along the exact one: 1 is all of it, 0 is nothing, and below
    0 it points to the other side. The right axes have a row for each parameter and a column for each method: the cosine
    of the two gradients over whole batches; brighter is closer.

    Args:
        report: as from `through_time.bias_report`.
        axes: two axes to draw in, of a figure of your own; None makes a figure.

    Returns:
        The figure; if `axes` are given, their figure.

    Raises:
        TypeError: `report` is not such a report.
        ValueError: there are not two axes.

    Example:
        >>> from tinygrad_rnn import plotting, through_time
        >>> model = RNNCell(3, 4, rng=np.random.default_rng(0))
        >>> batch = Batch(np.ones((5, 2, 3), np.float32), np.zeros((5, 2), int))
        >>> methods = {"exact": through_time.RTRL(), "one step": through_time.TruncatedBPTT(1, 1)}
        >>> figure = plotting.bias(through_time.bias_report(methods, model, SoftmaxCrossEntropy(), [batch]))
        >>> [text.get_text() for text in figure.axes[0].get_xticklabels()]
        ['0', '1', '2-3', '4']
        >>> [text.get_text() for text in figure.axes[1].get_yticklabels()]
        ['all', 'w_x', 'w_h', 'b']
    """
    if not isinstance(report, BiasReport):
        raise TypeError(f"plotting.bias: report is a {type(report).__name__}, where that of bias_report was expected")
    names, methods = [*next(iter(report.parameters.values()))], [*report.parameters]
    if axes is None:
        size = 10 + 0.3 * len(methods), max(3.5, 1.6 + 0.28 * len(names))
        axes = Figure(figsize=size, layout="constrained").subplots(1, 2, width_ratios=(3, 2))
    check_axes("bias", axes, 2, "one for distances and one for parameters")
    left, right = axes
    _draw_distances(left, report)
    _draw_parameters(right, report, names, methods)
    figure: Figure = left.figure.figure
    return figure


def _draw_distances(axes: Axes, report: BiasReport) -> None:
    lines: dict[str, Any] = {}
    for name, found in report.by_distance.items():
        along = [0.0 if part.norm == 0 else part.cosine * part.norm for part in found]
        lines[name] = range(len(along)), along
    draw_lines(axes, lines)
    bands = [f"{first}" if first == last else f"{first}-{last}" for first, last in report.distances]
    axes.set_xticks(range(len(bands)), bands)
    axes.set_ylim(-0.5, 2.2)  # with room for the legend; one method of large noise would flatten all others
    axes.set_xlabel("steps between the loss and the use of a parameter")
    axes.set_ylabel("part of the exact gradient that is seen")


def _draw_parameters(axes: Axes, report: BiasReport, names: list[str], methods: list[str]) -> None:
    cosines: Array = np.array([[report.parameters[method][name].cosine for method in methods] for name in names])
    axes.imshow(cosines, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(cosines.shape):
        text = "-" if math.isnan(cosines[i, j]) else f"{cosines[i, j]:.2f}"
        axes.text(j, i, text, ha="center", va="center", color="white" if cosines[i, j] <= 0.5 else "black")
    labels: Any = {"parse_math": False}
    axes.set_xticks(range(len(methods)), methods, rotation=30, ha="right", **labels)
    axes.set_yticks(range(len(names)), [name or "all" for name in names], **labels)
    axes.tick_params(length=0)
    axes.set_title("cosine with the exact gradient", fontsize="medium")
