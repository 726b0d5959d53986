"""Matrices as heat maps, with a name for each row and column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ..core.arrays import Array, Float
from .checks import check_floats, check_names
from .colours import SEQUENTIAL
from .names import Labels, name_rows, name_steps, room, visible

_CELL = 0.25  # inches; a label of 10 points still fits
_DECADES = 6  # the colours of a credit map: less than a millionth of the largest changes no weight


def attention(
    weights: Float[Array, "T S"], sources: Sequence[str], targets: Sequence[str], *, axes: Axes | None = None
) -> Figure:
    """The attention weights of a decoder: a row for each target, a column for each source; brighter is greater.

    Colours always go from 0 to 1, so that pictures can be compared. Their colour map is cividis, which looks nearly the
    same to colour-blind readers.

    Args:
        weights: (T, S), on the host: for row b of a batch, `model.alignments(...)[:, b]` without the padding.
        sources: the S names of the columns, such as a text or a list of words. A space is written as ␣, the end of a
            line as ↵, a tab as ⇥.
        targets: the T names of the rows.
        axes: the axes to draw in, of a figure of your own; None makes a figure with a colour bar.

    Returns:
        The figure; if `axes` are given, their figure.

    Raises:
        TypeError: weights are not a NumPy array of floating-point numbers.
        ValueError: they do not have two axes, or one is of size 0; there are not as many names as rows or columns.

    References:
        Bahdanau, Cho and Bengio, *Neural Machine Translation by Jointly Learning to Align and Translate*, 2015,
        figure 3.

    Example:
        >>> from tinygrad_rnn import plotting
        >>> weights = DotAttention()(np.eye(2, 3)[:, None], 9 * np.eye(3)[:, None])[1]
        >>> weights.shape
        (2, 1, 3)
        >>> figure = plotting.attention(weights[:, 0], sources="abc", targets=["one", "two"])
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['a', 'b', 'c']
    """
    hint = "; from the weights (T, B, S) of a batch take one row, weights[:, b]"
    check_floats("attention", "weights", weights, "(T, S)", hint)
    check_names("attention", "sources", sources, "weights", weights.shape, "(T, S)", 1)
    check_names("attention", "targets", targets, "weights", weights.shape, "(T, S)", 0)
    T, S = weights.shape
    own = axes is None
    if axes is None:
        axes = Figure(figsize=(2.2 + _CELL * S, 1 + _CELL * T), layout="constrained").subplots()
    image = axes.imshow(weights, cmap=SEQUENTIAL, vmin=0, vmax=1)
    axes.set_xlabel("source")
    axes.set_ylabel("target")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    upright = all(len(name) <= 2 for name in sources)
    for axis, names, rotation in ((axes.xaxis, sources, 0 if upright else 90), (axes.yaxis, targets, 0)):
        axis.set_ticks(range(len(names)), visible(names), rotation=rotation, parse_math=False)  # $ is no maths
        axis.set_tick_params(length=0)
    if own:
        axes.figure.colorbar(image, ax=axes, label="weight")
    return axes.figure.figure


def credit(
    credits: Float[Array, "S T"], labels: Labels, *, sources: Labels | None = None, axes: Axes | None = None
) -> Figure:
    """Which states a loss reaches: column t is the loss of step t, row s the state that its gradient reaches.

    On the diagonal are a loss and the state of its own step; the further right of it a cell is, the more steps the
    gradient has gone back. To its left there is nothing, because no loss depends on a later state, unless the model
    also reads backward. The colours are logarithmic, from the largest value down to a millionth of it; smaller values
    have the last colour, and 0 has none.

    Args:
        credits: (S, T), on the host, as from `credit_map`: entry [s, t] is the norm of the gradient of the loss of step
            t w.r.t. the state h of step s.
        labels: the T tokens that the steps read, a text or an array of tokens.
        sources: the S tokens that the steps of the states read, if they differ from the labels, as in an encoder; None:
            they are the labels.
        axes: the axes to draw in, of a figure of your own; None makes a figure with a colour bar.

    Returns:
        The figure; if `axes` are given, their figure.

    Raises:
        TypeError: credits are not a NumPy array of floating-point numbers.
        ValueError: they are not (S, T), or nowhere above 0; there are not T labels or not S sources.

    Example:
        >>> from tinygrad_rnn import plotting
        >>> figure = plotting.credit(np.triu(np.ones((3, 3))), "abc")
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('token of step t, whose loss it is', 'token of step s, whose state it is')
    """
    check_floats("credit", "credits", credits, "(S, T)")
    S, T = credits.shape
    check_names("credit", "labels", labels, "credits", credits.shape, "(S, T)", 1)
    if sources is None:
        sources = labels
    check_names("credit", "sources", sources, "credits", credits.shape, "(S, T)", 0)
    largest = float(np.max(credits, initial=0, where=np.isfinite(credits)))
    if largest <= 0:
        raise ValueError("plotting.credit: credits is nowhere above 0, so there is nothing to draw")
    own = axes is None
    if axes is None:
        cell = max(min(_CELL, 6 / max(S, T)), 0.11)  # inches: 8 in all, the width of a page, if letters allow
        axes = Figure(figsize=(1.8 + max(cell * T, 2), 0.8 + max(cell * S, 2)), layout="constrained").subplots()
    norm = LogNorm(largest * 10.0**-_DECADES, largest)
    image = axes.imshow(np.where(credits > 0, credits, np.nan), cmap=SEQUENTIAL, norm=norm)
    cell_size = min(room(axes, T, S))  # cells are squares
    name_steps(axes.xaxis, labels, cell_size)
    name_rows(axes.yaxis, visible(sources), cell_size)
    axes.set_xlabel("token of step t, whose loss it is")
    axes.set_ylabel("token of step s, whose state it is")
    if own:
        bar: Any = axes.figure.colorbar(image, ax=axes, extend="min", shrink=0.8)
        bar.set_label("norm of ∂L$_t$ / ∂h$_s$")
    return axes.figure.figure
