"""Vectors as points of a plane."""

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
    """States as points of a plane, near to each other where the states are: each is drawn as its label.

    The colour of a label tells vowels, other small letters, capitals, digits, white space, other characters and words
    of more than one character apart.

    Principal component analysis looks at the states from where they are spread the widest; an axis says how much of the
    variance it shows, and distances mean something. t-SNE keeps neighbours together and pulls groups apart: which
    points are near each other means something, the distances between groups, their sizes and the axes do not. It begins
    at the principal components, so nothing is left to chance.

    Args:
        states: (N, H), on the host: of row b of a batch, `recording["layers.1"].values["h"][:, b]`.
        labels: the N tokens, each read just before its state. A space is written as ␣, the end of a line as ↵, a tab as
            ⇥.
        method: "pca", or "tsne", which takes seconds for a thousand states.
        axes: where to draw, one of a figure of your own; None makes a figure.

    Returns:
        The figure; that of `axes`, where these are given.

    Raises:
        TypeError: states are no NumPy array of floating-point numbers.
        ValueError: states are not (N, H) with N at least 3 and H at least 2, or not all finite; there are not N labels;
            method is neither of the two.
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
    hint = "; of the states (T, B, H) of a batch take one row, states[:, b]"
    check_floats("projection", "states", states, "(N, H)", hint)
    check_names("projection", "labels", labels, "states", states.shape, "(N, H)", 0)
    if states.shape[0] < 3 or states.shape[1] < 2:
        raise ValueError(f"plotting.projection: states has shape {states.shape}, expected (N, H), N >= 3 and H >= 2")
    if not np.isfinite(states).all():
        raise ValueError("plotting.projection: states holds numbers that are not finite, which are nowhere in a plane")
    if method not in ("pca", "tsne"):
        raise ValueError(f'plotting.projection: method must be "pca" or "tsne", not {method!r}')
    points, shares = _principal_components(states)
    if axes is None:
        axes = Figure(figsize=(8, 6.5), layout="constrained").subplots()
    if method == "tsne":
        points = _tsne(states, points)
        axes.set_xlabel("t-SNE, first axis")
        axes.set_ylabel("t-SNE, second axis")
        axes.set_xticks([])  # where zero is and how long one is means nothing there
        axes.set_yticks([])
    else:
        axes.set_xlabel(f"first component, {100 * shares[0]:.0f} % of the variance")
        axes.set_ylabel(f"second component, {100 * shares[1]:.0f} % of the variance")
    _draw(axes, points, labels)
    return axes.figure.figure


def _principal_components(states: Array) -> tuple[Array, Array]:
    """The first two coordinates (N, 2), and each component's share of the variance."""
    u, s, vt = np.linalg.svd(states.astype(float) - states.mean(axis=0, dtype=float), full_matrices=False)
    signs = np.sign(vt[np.arange(2), np.abs(vt[:2]).argmax(axis=1)])  # which the decomposition leaves open
    return (u * s)[:, :2] * signs, s * s / max((s * s).sum(), np.finfo(float).tiny)


def _tsne(states: Array, start: Array) -> Array:
    """The plane (N, 2) of t-SNE, begun at the principal components, made small."""
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
    with threadpool_limits(1, user_api="openmp"):  # its threads wait for each other at each of a thousand short steps
        points: Array = tsne.fit_transform(states)
    return points


def _draw(axes: Axes, points: Array, labels: Labels) -> None:
    """Each label at its point, in the colour of its kind."""
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
    """Which of `_KINDS` the label is."""
    if len(label) > 1:
        return "word"
    if label.isspace():
        return "white space"
    if label.isdigit():
        return "digit"
    if label.isalpha():
        return "capital" if label.isupper() else "vowel" if label in "aeiou" else "other small letter"
    return "other character"
