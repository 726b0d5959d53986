"""Arrays as rectangles of colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..arrays import Array, Float

_VISIBLE = str.maketrans(" \n\t", "␣↵⇥")
_CELL = 0.25  # inches; a label in letters of 10 points still fits


def attention(
    weights: Float[Array, "T S"], sources: Sequence[str], targets: Sequence[str], *, axes: Axes | None = None
) -> Figure:
    """What each step of a decoder looked at: a row a target, a column a source, the brighter the greater the weight.

    Colours go from 0 to 1 whatever the weights, so that pictures can be compared. They are of the map cividis, which
    looks nearly the same to who is colour-blind.

    Args:
        weights: (T, S), on the host: of row b of a batch, `model.alignments(...)[:, b]`, less the padding.
        sources: the S names of the columns, such as a text or a list of words. A space is written as ␣, the end of a
            line as ↵, a tab as ⇥.
        targets: the T names of the rows.
        axes: where to draw, one of a figure of your own; None makes a figure with a scale of the colours.

    Returns:
        The figure; that of `axes`, where these are given.

    Raises:
        TypeError: weights are no NumPy array of floating-point numbers.
        ValueError: they have not two axes, or one of size 0; there are not as many names as rows or columns.

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
    _check(weights, sources, targets)
    T, S = weights.shape
    own = axes is None
    if axes is None:
        axes = Figure(figsize=(2.2 + _CELL * S, 1 + _CELL * T), layout="constrained").subplots()
    image = axes.imshow(weights, cmap="cividis", vmin=0, vmax=1)
    axes.set_xlabel("source")
    axes.set_ylabel("target")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    upright = all(len(name) <= 2 for name in sources)
    for axis, names, rotation in ((axes.xaxis, sources, 0 if upright else 90), (axes.yaxis, targets, 0)):
        labels = [name.translate(_VISIBLE) for name in names]
        axis.set_ticks(range(len(names)), labels, rotation=rotation, parse_math=False)  # a dollar is a dollar
        axis.set_tick_params(length=0)
    if own:
        axes.figure.colorbar(image, ax=axes, label="weight")
    return axes.figure.figure


def _check(weights: object, sources: Sequence[str], targets: Sequence[str]) -> None:
    """Weights must be an array (T, S), with a name for each row and column."""
    if not isinstance(weights, np.ndarray) or weights.dtype.kind != "f":
        came = f"an array of {weights.dtype}" if isinstance(weights, np.ndarray) else f"a {type(weights).__name__}"
        raise TypeError(
            f"plotting.attention: weights is {came}, where a NumPy array of floating-point numbers was expected; from "
            "a GPU, device.to_host(weights)"
        )
    if weights.ndim != 2 or not weights.size:
        raise ValueError(
            f"plotting.attention: weights has shape {weights.shape}, expected (T, S), neither of them 0; of the "
            "weights (T, B, S) of a batch take one row, weights[:, b]"
        )
    for name, names, size in (("sources", sources, weights.shape[1]), ("targets", targets, weights.shape[0])):
        if len(names) != size:
            raise ValueError(
                f"plotting.attention: {len(names)} {name} were given, but weights has shape {weights.shape}, (T, S): "
                f"{size} were expected"
            )
