"""What a model computes at each step of a text, with one column for each step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ..core.arrays import Array, Float, Integer, Integers
from ..core.checks import check_size
from .checks import AxesRow, check_axes, check_floats, check_mapping, check_names
from .colours import SEQUENTIAL, scale
from .names import Labels, name_rows, name_steps, room, visible


def probabilities(
    probabilities: Float[Array, "T V"],
    labels: Labels,
    classes: Labels,
    *,
    top: int | None = None,
    targets: Integer[Integers, "T"] | None = None,
    axes: Axes | None = None,
) -> Figure:
    """The predictions of a model at each step of a text: a column for each step, a row for each class.

    Brighter is likelier. Colours go from 0 to 1. Their colour map is cividis, which looks nearly the same to
    colour-blind readers.

    Args:
        probabilities: (T, V), on the host: for the logits (T, B, V) of a model, `Softmax()(logits)[:, b]`.
        labels: the T tokens read, each below the column of the predictions after it. A space is written as ␣, the end
            of a line as ↵, a tab as ⇥.
        classes: the V names of the classes, by id.
        top: draw only this number of classes, those with the highest mean probability, the likeliest first; all others
            together are the last row. None draws all, in the order of their ids.
        targets: the ids (T,) of the tokens that came next, which are marked by circles; -1 is not marked.
        axes: the axes to draw in, of a figure of your own; None makes a figure with a colour bar.

    Returns:
        The figure; if `axes` are given, their figure.

    Raises:
        TypeError: probabilities are not a NumPy array of floating-point numbers, top is not an integer, or targets are
            not an array of integers.
        ValueError: probabilities are not (T, V) or not from 0 to 1; there are not T labels or targets, or not V
            classes; top is below 1; a target is -2 or less, or V or more.

    Example:
        >>> from tinygrad_rnn import plotting
        >>> expected = np.array([[0.1, 0.7, 0.2], [0.3, 0.6, 0.1]])
        >>> figure = plotting.probabilities(expected, "ab", "abc", top=1, targets=np.array([1, 2]))
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['b', '2 more']
    """
    hint = "; from those of a batch, (T, B, V), take one row, probabilities[:, b]"
    check_floats("probabilities", "probabilities", probabilities, "(T, V)", hint)
    shape = T, V = probabilities.shape
    check_names("probabilities", "labels", labels, "probabilities", shape, "(T, V)", 0)
    check_names("probabilities", "classes", classes, "probabilities", shape, "(T, V)", 1)
    _check_fractions(probabilities)
    if targets is not None:
        _check_targets(targets, shape)
    rows, names, row_of = probabilities.T, visible(classes), np.arange(V)
    if top is not None:
        top = check_size("plotting.probabilities", "top", top)
        if top < V:
            kept = np.argsort(-probabilities.mean(axis=0), kind="stable")[:top]
            rows = np.stack([*rows[kept], np.delete(rows, kept, axis=0).sum(axis=0)])
            names = [*(names[k] for k in kept), f"{V - top} more"]
            row_of = np.full(V, top)
            row_of[kept] = np.arange(top)
    own = axes is None
    if axes is None:
        height = min(max(0.22 * len(rows), 1), max(6.0, 0.14 * len(rows)))
        axes = Figure(figsize=(_width(T), 1 + height), layout="constrained").subplots()
    image = axes.imshow(rows, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    width, height = room(axes, T, len(rows))
    name_steps(axes.xaxis, labels, width)
    name_rows(axes.yaxis, names, height)
    axes.set_xlabel("token read")
    axes.set_ylabel("next token")
    if targets is not None:
        steps = np.flatnonzero(targets >= 0)
        area = (0.7 * min(width, height, 12)) ** 2
        rings = axes.scatter(steps, row_of[targets[steps]], area, facecolors="none", edgecolors="white", linewidths=1.2)
        rings.set_path_effects([withStroke(linewidth=2.6, foreground="black")])  # visible on yellow too
        axes.set_xlabel("token read; the circle is round what came next")
    if own:
        axes.figure.colorbar(image, ax=axes, label="probability", pad=0.01)
    return axes.figure.figure


def states(values: Mapping[str, Float[Array, "T H"]], labels: Labels, *, axes: AxesRow | None = None) -> Figure:
    """States and gates over a text: one heat map above the other, each with a column per step and a row per unit.

    Values from 0 to 1, such as those of a gate, have colours from 0 to 1 of the colour map cividis. For others the
    colours are symmetric: white is 0, blue is negative and red is positive. They end at the 95th percentile of the
    magnitudes; the few greater values have the last colour.

    Args:
        values: by name, arrays (T, H), on the host: for row b of a batch, `{name: array[:, b] for name, array in
            recording["layers.1"].values.items()}`. H may differ.
        labels: the T tokens read. A space is written as ␣, the end of a line as ↵, a tab as ⇥.
        axes: the axes to draw in, as many as there are values, of a figure of your own; None makes a figure. The first
            is on top, and only the last one gets the labels.

    Returns:
        The figure; if `axes` are given, their figure.

    Raises:
        TypeError: values is not a mapping, or a value is not a NumPy array of floating-point numbers; axes have no
            length.
        ValueError: values is empty; a value is not (T, H); there are not T labels, or not as many axes as values.

    Example:
        >>> from tinygrad_rnn import plotting
        >>> figure = plotting.states({"h": np.tanh(np.eye(3) - 0.5), "f": np.eye(3)}, "abc")
        >>> [image.get_cmap().name for axes in figure.axes[:2] for image in axes.images]
        ['blue to red', 'cividis']
    """
    check_mapping("states", "values", values, '{"h": states}')
    for name, array in values.items():
        hint = "; from those of a batch, (T, B, H), take one row, [:, b]"
        check_floats("states", f"values[{name!r}]", array, "(T, H)", hint)
        check_names("states", "labels", labels, f"values[{name!r}]", array.shape, "(T, H)", 0)
    T, N = len(labels), len(values)
    own = axes is None
    if axes is None:
        grid = Figure(figsize=(_width(T), 0.6 + 1.2 * N), layout="constrained").subplots(N, sharex=True, squeeze=False)
        axes = grid[:, 0].tolist()
    check_axes("states", axes, N, "one for each of values")
    for part, (name, array) in zip(axes, values.items(), strict=True):
        image = part.imshow(array.T, **scale(array), aspect="auto")
        part.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        part.set_ylabel(f"{name}, unit", parse_math=False)
        if own:
            extend = "neither" if image.get_cmap().name == SEQUENTIAL else "both"
            part.figure.colorbar(image, ax=part, pad=0.01, extend=extend)
        part.tick_params(bottom=False, labelbottom=False)
    last = axes[-1]
    name_steps(last.xaxis, labels, room(last, T, 1)[0])
    last.tick_params(labelbottom=True)
    last.set_xlabel("token read")
    return last.figure.figure


def _width(T: int) -> float:
    """The width in inches for T steps: usually 8, the width of a page; more if letters would be too small to read."""
    return 1.8 + min(max(0.2 * T, 3), max(6.2, 0.085 * T))


def _check_fractions(probabilities: Array) -> None:
    """Probabilities must be from 0 to 1, up to rounding."""
    outside = ~((probabilities >= -1e-6) & (probabilities <= 1 + 1e-6))
    if outside.any():
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        raise ValueError(
            f"plotting.probabilities: probabilities is {probabilities[where]} at index {where}, but must be 0 to 1; "
            "for logits use Softmax()(logits)"
        )


def _check_targets(targets: object, shape: tuple[int, int]) -> None:
    """Targets must be ids (T,), or -1."""
    T, V = shape
    if not isinstance(targets, np.ndarray) or targets.dtype.kind not in "iu":
        came = f"an array of {targets.dtype}" if isinstance(targets, np.ndarray) else f"a {type(targets).__name__}"
        raise TypeError(f"plotting.probabilities: targets is {came}, where a NumPy array of ids was expected")
    if targets.shape != (T,):
        raise ValueError(
            f"plotting.probabilities: targets has shape {targets.shape}, but probabilities has shape {shape}, (T, V): "
            f"({T},) was expected"
        )
    outside = (targets < -1) | (targets >= V)
    if outside.any():
        t = int(outside.argmax())
        raise ValueError(
            f"plotting.probabilities: targets[{t}] is {targets[t]}, but must be 0 to {V - 1}, or -1 for a step "
            "without a mark"
        )
