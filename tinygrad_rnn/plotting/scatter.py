"""Vectors as points in a plane."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from threadpoolctl import threadpool_limits

from ..core.arrays import Array, Float
from .checks import check_floats, check_names
from .colours import PALETTE
from .names import Labels, visible

_KINDS = ("vowel", "other small letter", "capital", "digit", "white space", "other character", "word")


def projection(states: Float[Array, "N H"], labels: Labels, *, method: str = "pca", axes: Axes | None = None) -> Figure:
    """States as points in a plane, where similar states are near each other; each is drawn as its label.

    The colour of a label is different for vowels, other small letters, capitals, digits, white space, other characters
    and words of more than one character.

    Principal component analysis projects the states on the directions of the largest variance; each axis says how much
    of the variance it shows, and distances are meaningful. t-SNE keeps neighbours together and pulls groups apart: only
    which points are near each other is meaningful, not the distances between groups, their sizes or the axes. It starts
    from the principal components, so it is deterministic.

    Args:
        states: (N, H), on the host: for row b of a batch, `recording["layers.1"].values["h"][:, b]`.
        labels: the N tokens, each read just before its state. A space is written as ␣, the end of a line as ↵, a tab as
            ⇥.
        method: "pca", or "tsne", which takes seconds for a thousand states.
        axes: the axes to draw in, of a figure of your own; None makes a figure.

    Returns:
        The figure; if `axes` are given, their figure.

    Raises:
        TypeError: states are not a NumPy array of floating-point numbers.
        ValueError: states are not (N, H) with N at least 3 and H at least 2, or not all finite; there are not N labels;
            method is neither "pca" nor "tsne".
        ImportError: t-SNE needs scikit-learn, which is not installed.

    References:
        van der Maaten and Hinton, *Visualizing Data using t-SNE*, 2008.

    Example:
        >>> from tinygrad_rnn import plotting
        >>> corners = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
        >>> figure = plotting.projection(corners, "abAB")
        >>> figure.axes[0].get_xlabel()
        'first component, 90 % of the variance'
    """
    hint = "; from the states (T, B, H) of a batch take one row, states[:, b]"
    check_floats("projection", "states", states, "(N, H)", hint)
    check_names("projection", "labels", labels, "states", states.shape, "(N, H)", 0)
    if states.shape[0] < 3 or states.shape[1] < 2:
        raise ValueError(f"plotting.projection: states has shape {states.shape}, expected (N, H), N >= 3 and H >= 2")
    if not np.isfinite(states).all():
        raise ValueError("plotting.projection: states holds numbers that are not finite, which cannot be drawn")
    if method not in ("pca", "tsne"):
        raise ValueError(f'plotting.projection: method must be "pca" or "tsne", not {method!r}')
    points, shares = _principal_components(states)
    if axes is None:
        axes = Figure(figsize=(8, 6.5), layout="constrained").subplots()
    if method == "tsne":
        points = _tsne(states, points)
        axes.set_xlabel("t-SNE, first axis")
        axes.set_ylabel("t-SNE, second axis")
        axes.set_xticks([])  # position and scale of the axes mean nothing in t-SNE
        axes.set_yticks([])
    else:
        axes.set_xlabel(f"first component, {100 * shares[0]:.0f} % of the variance")
        axes.set_ylabel(f"second component, {100 * shares[1]:.0f} % of the variance")
    _draw(axes, points, labels)
    return axes.figure.figure


def _principal_components(states: Array) -> tuple[Array, Array]:
    """The first two coordinates (N, 2), and each component's share of the variance."""
    u, s, vt = np.linalg.svd(states.astype(float) - states.mean(axis=0, dtype=float), full_matrices=False)
    signs = np.sign(vt[np.arange(2), np.abs(vt[:2]).argmax(axis=1)])  # the decomposition does not determine signs
    return (u * s)[:, :2] * signs, s * s / max((s * s).sum(), np.finfo(float).tiny)


def _tsne(states: Array, start: Array) -> Array:
    """The coordinates (N, 2) of t-SNE, started from the scaled-down principal components."""
    try:
        from sklearn.manifold import TSNE  # takes a second to import
    except ModuleNotFoundError as error:
        raise ImportError(
            "plotting.projection: t-SNE needs scikit-learn, which is not installed. Install it with the package: "
            "python -m pip install 'tinygrad-rnn[plot]'; or take method=\"pca\""
        ) from error
    perplexity = min(30, (len(states) - 1) / 3)
    start = (start / max(start[:, 0].std(), np.finfo(float).tiny) * 1e-4).astype("float32")
    tsne = TSNE(perplexity=perplexity, init=start, random_state=0)
    with threadpool_limits(1, user_api="openmp"):  # threads would wait for each other in a thousand short steps
        points: Array = tsne.fit_transform(states)
    return points


def _draw(axes: Axes, points: Array, labels: Labels) -> None:
    """Draw each label at its point, in the colour of its kind."""
    kinds = [_kind(str(label)) for label in labels]
    size = 10 if len(kinds) <= 400 else 8
    for (x, y), name, kind in zip(points, visible(labels), kinds, strict=True):
        colour = PALETTE[_KINDS.index(kind)]
        axes.text(
            x,
            y,
            name,
            size=size,
            color=colour,
            family="monospace",
            ha="center",
            va="center",
            clip_on=True,
            parse_math=False,
        )
    axes.update_datalim(points)
    axes.margins(0.04)
    axes.autoscale_view()
    shown = [kind for kind in _KINDS if kind in kinds]
    patches = [Line2D([], [], linestyle="", marker="s", color=PALETTE[_KINDS.index(kind)]) for kind in shown]
    axes.legend(patches, shown, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, frameon=False)


def _kind(label: str) -> str:
    """The one of `_KINDS` that the label is."""
    if len(label) > 1:
        return "word"
    if label.isspace():
        return "white space"
    if label.isdigit():
        return "digit"
    if label.isalpha():
        return "capital" if label.isupper() else "vowel" if label in "aeiou" else "other small letter"
    return "other character"
