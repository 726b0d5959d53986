"""A text with a background colour for each character."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.arrays import Array, Float
from ..core.checks import check_size
from .checks import check_floats, check_names
from .colours import scale
from .names import LETTER, Labels, room, visible


def unit(activations: Float[Array, "T"], labels: Labels, *, width: int = 80, axes: Axes | None = None) -> Figure:
    """The text itself, where the background colour of each character is the activation of one unit.

    Activations from 0 to 1, such as those of a gate, have colours from 0 to 1 of the colour map cividis. For others the
    colours are symmetric: white is 0, blue is negative, red is positive. They end at the 95th percentile of the
    magnitudes; greater values have the colour of the end.

    Args:
        activations: (T,), on the host: the activation of the unit after each token, such as
            `recording["layers.1"].values["h"][:, b, k]`.
        labels: the T tokens read. A space is written as ␣, a tab as ⇥, and the end of a line as ↵, after which a new
            line begins. Tokens of more than one character, such as words, are set apart.
        width: characters per line; a token that does not fit begins the next line.
        axes: the axes to draw in, of a figure of your own; None makes a figure with a colour bar.

    Returns:
        The figure; if `axes` are given, their figure.

    Raises:
        TypeError: activations are not a NumPy array of floating-point numbers; width is not an integer.
        ValueError: activations are not (T,); there are not T labels; width is below 1.

    References:
        Karpathy, Johnson and Li, *Visualizing and Understanding Recurrent Networks*, 2015, figure 2.

    Example:
        >>> from tinygrad_rnn import plotting
        >>> figure = plotting.unit(np.array([0.0, 1.0, -1.0, 0.0]), "a(b)", width=2)
        >>> [(text.get_text(), text.get_position()) for text in figure.axes[0].texts]
        [('a', (0.0, 0)), ('(', (1.0, 0)), ('b', (0.0, 1)), (')', (1.0, 1))]
    """
    hint = "; of the values (T, B, H) of a layer take one row and one unit, [:, b, k]"
    check_floats("unit", "activations", activations, "(T,)", hint)
    check_names("unit", "labels", labels, "activations", activations.shape, "(T,)", 0)
    width = check_size("plotting.unit", "width", width)
    names = visible(labels)
    places = _places(names, width)
    rows = places[-1][0] + 1
    columns = max(width, *map(len, names))
    ground = np.full((rows, columns), np.nan)
    for name, (row, column), activation in zip(names, places, activations, strict=True):
        ground[row, column : column + len(name)] = activation
    own = axes is None
    if axes is None:
        axes = Figure(figsize=(0.2 + 0.1 * columns, 0.5 + 0.17 * rows), layout="constrained").subplots()
    image = axes.imshow(ground, **scale(activations), aspect="auto")
    axes.set_axis_off()
    if own:
        bar = axes.figure.colorbar(image, ax=axes, location="bottom", shrink=0.6, aspect=40, pad=0.02)
        bar.set_label("activation")
    across, down = room(axes, columns, rows)
    size = min(10, 0.95 * across / LETTER, 0.8 * down)
    for name, (row, column), (*colour, opacity) in zip(names, places, image.to_rgba(activations), strict=True):
        dark = opacity and np.dot(colour, (0.2126, 0.7152, 0.0722)) < 0.5  # values that are not finite have no colour
        axes.text(
            column + (len(name) - 1) / 2,
            row,
            name,
            size=size,
            color="white" if dark else "black",
            family="monospace",
            ha="center",
            va="center_baseline",
            parse_math=False,
        )
    return axes.figure.figure


def _places(names: list[str], width: int) -> list[tuple[int, int]]:
    """Row and first column of each name."""
    places, row, column = [], 0, 0
    for name in names:
        if column and column + len(name) > width:
            row, column = row + 1, 0
        places.append((row, column))
        column += len(name) + (len(name) > 1)
        if name == "↵":
            row, column = row + 1, 0
    return places
