"""Colours that colour-blind readers can tell apart, and lines that differ in grey too."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from ..core.arrays import Array

SEQUENTIAL = "cividis"  # looks nearly the same to colour-blind readers, and works in grey
# Blue below 0, white at 0, red above; without the ends, where both are so dark that they look alike.
DIVERGING = ListedColormap(colormaps["RdBu_r"](np.linspace(0.1, 0.9, 255)), "blue to red")

# From Okabe and Ito, *Color Universal Design*, 2008, without its yellow, which is too pale for a line or a letter.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")  # 7 and 4 have no factor in common: 28 lines differ
_MARKERS = "os^Dv"


def scale(values: Array) -> dict[str, Any]:
    """The colour map for activations: from 0 to 1 for a gate, else symmetric around 0, which is white.

    A symmetric one ends at the 95th percentile of the magnitudes: the memory of an LSTM may have a few units that count
    far, and with a larger scale all others would look white.
    """
    sizes = np.abs(values[np.isfinite(values)])
    largest = float(sizes.max(initial=0))
    if largest <= 1 and not (values < 0).any():
        return {"cmap": SEQUENTIAL, "vmin": 0, "vmax": 1}
    end = float(np.quantile(sizes, 0.95)) or largest
    return {"cmap": DIVERGING, "vmin": -end, "vmax": end}


def draw_lines(axes: Axes, lines: Mapping[str, tuple[Any, Any]]) -> None:
    """A line for each name through its (xs, ys), each with its own colour, dashes and marker, and a legend."""
    handles = []
    styles = zip(cycle(PALETTE), cycle(_DASHES), cycle(_MARKERS), strict=False)
    for i, ((xs, ys), (colour, dash, marker)) in enumerate(zip(lines.values(), styles, strict=False)):
        every = max(1, len(xs) // 12)  # markers tell crossing lines apart, but too many hide the line
        start = i * every // len(lines)
        handles += axes.plot(
            xs, ys, color=colour, linestyle=dash, marker=marker, markersize=4, markevery=(start, every)
        )
    legend = axes.legend(handles, list(lines))
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.grid(alpha=0.3)
