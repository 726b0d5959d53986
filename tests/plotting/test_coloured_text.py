from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tinygrad_rnn import plotting


def places(figure: Figure) -> list[tuple[str, float, float]]:
    """Each text, column and row."""
    return [(text.get_text(), *text.get_position()) for text in figure.axes[0].texts]


def ground(figure: Figure) -> Any:
    (image,) = figure.axes[0].images
    shown: Any = image.get_array()
    return shown.filled(np.nan)


def test_each_character_stands_on_its_activation() -> None:
    activations = np.array([0.5, -1, 0.25, 0, 1], "float32")
    kept = activations.copy()
    figure = plotting.unit(activations, "a b\nc")
    assert places(figure) == [("a", 0, 0), ("␣", 1, 0), ("b", 2, 0), ("↵", 3, 0), ("c", 0, 1)]
    shown = ground(figure)
    assert shown.shape == (2, 80)
    np.testing.assert_array_equal(shown[0, :4], activations[:4])
    assert shown[1, 0] == 1
    assert np.isnan(shown[0, 4:]).all()
    assert np.isnan(shown[1, 1:]).all()
    axes, scale = figure.axes
    assert not axes.axison
    assert scale.get_xlabel() == "activation"
    assert axes.get_ylim() == (1.5, -0.5)  # the first line is above
    np.testing.assert_array_equal(activations, kept)


def test_lines_have_the_width_that_is_given() -> None:
    assert places(plotting.unit(np.ones(5), "abcde", width=2))[-2:] == [("d", 1, 1), ("e", 0, 2)]
    assert ground(plotting.unit(np.ones(3), "a\n\n", width=2)).shape == (2, 2)  # the last ends no other line


def test_words_stand_apart_and_are_coloured_whole() -> None:
    labels = np.array(["the", "cat", "a", "b", "<end>"], object)
    figure = plotting.unit(np.arange(5) / 4, labels, width=11)
    assert places(figure) == [("the", 1, 0), ("cat", 5, 0), ("a", 8, 0), ("b", 9, 0), ("<end>", 2, 1)]
    assert ground(figure)[0].tolist()[:3] == [0, 0, 0]
    np.testing.assert_array_equal(ground(figure)[0, 3:], [np.nan, 0.25, 0.25, 0.25, np.nan, 0.5, 0.75, np.nan])
    np.testing.assert_array_equal(ground(figure)[1], [1] * 5 + [np.nan] * 6)
    assert ground(plotting.unit(np.ones(1), ["long"], width=2)).shape == (1, 4)  # it is not cut


def test_a_text_of_one_character_each_has_no_gaps_where_it_was_made_visible() -> None:
    assert places(plotting.unit(np.ones(3), "\t\n "))[:2] == [("⇥", 0, 0), ("↵", 1, 0)]


@pytest.mark.parametrize("sign", [1, -1])
def test_colours_are_those_of_a_gate_or_of_a_state(sign: int) -> None:
    activations = sign * np.linspace(0, 1, 50)
    (image,) = plotting.unit(activations, "x" * 50).axes[0].images
    low, high = image.get_clim()
    assert (low, high) == (0, 1) if sign == 1 else 0.94 < -low == high < 0.96


def test_letters_are_seen_on_every_ground() -> None:
    for activations in (np.linspace(0, 1, 20), np.linspace(-1, 1, 20), np.array([np.nan] + [0.5] * 19)):
        axes = plotting.unit(activations, "x" * 20).axes[0]
        for text, (red, green, blue, opacity) in zip(axes.texts, axes.images[0].to_rgba(activations), strict=True):
            dark = opacity and 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5
            assert text.get_color() == ("white" if dark else "black")


@pytest.mark.parametrize("width", [1, 10, 80, 120])
def test_letters_do_not_overlap(width: int) -> None:
    figure = plotting.unit(np.ones(3 * width), "W" * 3 * width, width=width)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes[:width]))
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes[::width]))
    assert all(float(text.get_fontsize()) >= 7 for text in figure.axes[0].texts)


def test_a_figure_of_ones_own_and_names_as_they_are() -> None:
    figure = Figure()
    first, second = figure.subplots(2)
    assert plotting.unit(np.ones(2), ["$^$", "b"], axes=second) is figure
    assert figure.axes == [first, second]  # no scale comes in between
    written = io.StringIO()
    figure.savefig(written, format="svg")
    assert "<!-- $^$ -->" in written.getvalue()
    part: Any = figure.subfigures()
    assert plotting.unit(np.ones(1), "a", axes=part.subplots()) is figure


@pytest.mark.messages
@pytest.mark.parametrize(
    ("given", "width", "error", "message"),
    [
        (
            [1.0, 2.0],
            80,
            TypeError,
            r"activations is a list, where a NumPy array of floating-point numbers was expected",
        ),
        (np.ones((2, 1)), 80, ValueError, r"activations has shape \(2, 1\), expected \(T,\), .* \[:, b, k\]$"),
        (np.ones(0), 80, ValueError, r"activations has shape \(0,\), expected \(T,\), each at least 1"),
        (
            np.ones(3),
            80,
            ValueError,
            r"2 labels were given, but activations has shape \(3,\), \(T,\): 3 were expected$",
        ),
        (np.ones(2), 0, ValueError, r"width must be at least 1, not 0$"),
        (np.ones(2), 1.5, TypeError, r"width must be an integer, not 1\.5$"),
    ],
    ids=["list", "two axes", "empty", "labels", "no width", "half a width"],
)
def test_what_are_no_activations_is_refused(given: Any, width: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^plotting\.unit: {message}"):
        plotting.unit(given, "ab", width=width)
