from __future__ import annotations

import io
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.figure import Figure

from tinygrad_rnn import plotting


def weights(T: int, S: int, dtype: str = "float32") -> Any:
    drawn = np.random.default_rng(0).dirichlet(np.ones(S), T)
    return drawn.astype(dtype)


def names(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_is_a_target_and_a_column_a_source(dtype: str) -> None:
    given = weights(2, 3, dtype)
    kept = given.copy()
    axes = plotting.attention(given, "abc", ["one", "two"]).axes[0]
    (image,) = axes.images
    np.testing.assert_array_equal(np.asarray(image.get_array()), given)
    assert (names(axes.xaxis), names(axes.yaxis)) == ([*"abc"], ["one", "two"])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("source", "target")
    assert axes.get_ylim() == (1.5, -0.5)  # the first target is above
    assert axes.xaxis.get_ticks_position() == axes.xaxis.get_label_position() == "top"  # and so are the sources
    np.testing.assert_array_equal(given, kept)


def test_colours_are_the_same_whatever_the_weights() -> None:
    for scale in (1, 0.01):
        (image,) = plotting.attention(scale * weights(2, 3), "abc", "xy").axes[0].images
        assert image.get_clim() == (0, 1)
        lightness = [np.dot(image.to_rgba(np.array([v]))[0, :3], (0.2126, 0.7152, 0.0722)) for v in (0, 0.25, 0.5, 1)]
        assert lightness == sorted(lightness)  # read in grey, or without red and green, it is still a scale


def test_every_name_is_drawn_as_it_is() -> None:
    figure = plotting.attention(weights(3, 4), ["$^$", " b", "\t", "_^{"], "\n\\ ")
    axes = figure.axes[0]
    assert (names(axes.xaxis), names(axes.yaxis)) == (["$^$", "␣b", "⇥", "_^{"], ["↵", "\\", "␣"])
    written = io.StringIO()
    figure.savefig(written, format="svg")  # a letter that the font lacks is a warning, and so an error here
    assert "<!-- $^$ -->" in written.getvalue()


@pytest.mark.parametrize(("sources", "rotation"), [("abc", 0), (["ab", "c", "d"], 0), (["word", "c", "d"], 90)])
def test_words_stand_upright_where_they_would_overlap(sources: Any, rotation: float) -> None:
    axes = plotting.attention(weights(2, 3), sources, "xy").axes[0]
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {rotation}
    assert {label.get_rotation() for label in axes.get_yticklabels()} == {0}


def test_names_do_not_overlap_and_nothing_is_cut_off() -> None:
    figure = plotting.attention(weights(3, 30), "W" * 30, ["a", "long name", "of a target that is longer"])
    figure.draw_without_rendering()
    axes, scale = figure.axes
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    page = figure.bbox
    for text in (
        *axes.get_xticklabels(),
        *axes.get_yticklabels(),
        axes.xaxis.label,
        axes.yaxis.label,
        scale.yaxis.label,
    ):
        box = text.get_window_extent()
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1


def test_a_figure_of_ones_own() -> None:
    figure = Figure()
    first, second = figure.subplots(2)
    assert plotting.attention(weights(2, 3), "abc", "xy", axes=second) is figure
    assert (len(first.images), len(second.images)) == (0, 1)
    assert figure.axes == [first, second]  # no scale comes in between
    part: Any = figure.subfigures()
    assert plotting.attention(weights(2, 3), "abc", "xy", axes=part.subplots()) is figure


def test_one_of_each() -> None:
    figure = plotting.attention(np.ones((1, 1), np.float32), "a", "b")
    figure.draw_without_rendering()
    (image,) = figure.axes[0].images
    assert image.to_rgba(np.ones(1)).tolist() == [list(to_rgba(image.get_cmap()(1.0)))]


@pytest.mark.messages
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            [[1.0]],
            TypeError,
            r"weights is a list, where a NumPy array of floating-point numbers was expected; .*to_host",
        ),
        (np.ones((2, 3), int), TypeError, r"weights is an array of int64, where"),
        (np.ones((2, 1, 3)), ValueError, r"weights has shape \(2, 1, 3\), expected \(T, S\), .* weights\[:, b\]$"),
        (np.ones((0, 3)), ValueError, r"weights has shape \(0, 3\), expected \(T, S\), each at least 1"),
        (np.ones((2, 4)), ValueError, r"3 sources were given, but weights has shape \(2, 4\), .* 4 were expected"),
        (np.ones((3, 3)), ValueError, r"2 targets were given, but weights has shape \(3, 3\), .* 3 were expected"),
    ],
    ids=["list", "integers", "batch", "empty", "sources", "targets"],
)
def test_what_is_no_alignment_is_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^plotting\.attention: {message}"):
        plotting.attention(given, "abc", "xy")


def credits(T: int) -> Any:
    return np.triu(np.random.default_rng(0).uniform(0.1, 1, (T, T)))


def test_a_column_is_a_loss_and_a_row_a_state() -> None:
    given = credits(4)
    given[0, 3] = 1e-12
    kept = given.copy()
    axes, scale = plotting.credit(given, np.array(["a", " ", "$", "\n"], object)).axes
    (image,) = axes.images
    shown: Any = image.get_array()
    np.testing.assert_array_equal(shown.filled(0), given)  # and what is 0, left of the diagonal, has no colour
    assert image.to_rgba(shown)[:, :, 3].tolist() == (given > 0).astype(int).tolist()
    assert (names(axes.xaxis), names(axes.yaxis)) == (["a", "␣", "$", "↵"],) * 2
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "token of step t, whose loss it is",
        "token of step s, whose state it is",
    )
    assert scale.get_ylabel() == "norm of ∂L$_t$ / ∂h$_s$"
    assert axes.get_ylim() == (3.5, -0.5)  # the first state is above
    np.testing.assert_array_equal(given, kept)


@pytest.mark.parametrize("largest", [1e-9, 1.0, 1e3])
def test_colours_of_credit_span_six_decades_below_the_largest(largest: float) -> None:
    given = largest * np.triu(np.geomspace(1e-9, 1, 9).reshape(3, 3))
    (image,) = plotting.credit(given, "abc").axes[0].images
    np.testing.assert_allclose(image.get_clim(), (largest * 1e-6, largest))
    assert isinstance(image.norm, LogNorm)
    assert image.to_rgba(np.array([largest * 1e-12])).tolist() == image.to_rgba(np.array([largest * 1e-6])).tolist()


@pytest.mark.parametrize("T", [1, 5, pytest.param(40, marks=pytest.mark.long), 100])
def test_labels_of_credit_do_not_overlap(T: int) -> None:
    figure = plotting.credit(credits(T), ("Wm " * T)[:T])
    figure.draw_without_rendering()
    axes = figure.axes[0]
    columns = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in pairwise(columns))
    rows = [label.get_window_extent() for label in axes.get_yticklabels()]
    middles = [(box.y0 + box.y1) / 2 for box in rows]
    assert all(above - below >= 0.73 * max(box.height for box in rows) for above, below in pairwise(middles))
    assert all(float(label.get_fontsize()) >= 6 for label in axes.get_xticklabels())


def test_states_of_credit_may_be_those_of_another_text() -> None:
    given = np.ones((2, 5))
    axes = plotting.credit(given, "abcde", sources=np.array(["x", " "], object)).axes[0]
    assert (names(axes.xaxis), names(axes.yaxis)) == ([*"abcde"], ["x", "␣"])
    assert np.asarray(axes.images[0].get_array()).shape == (2, 5)


def test_credit_in_a_figure_of_ones_own() -> None:
    figure = Figure()
    first, second = figure.subplots(2)
    assert plotting.credit(credits(2), "ab", axes=second) is figure
    assert (len(first.images), len(second.images)) == (0, 1)
    assert figure.axes == [first, second]


@pytest.mark.messages
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([[1.0]], TypeError, r"credits is a list, where a NumPy array of floating-point numbers was expected"),
        (np.ones(3), ValueError, r"credits has shape \(3,\), expected \(S, T\), each at least 1$"),
        (
            np.ones((3, 2)),
            ValueError,
            r"2 sources were given, but credits has shape \(3, 2\), \(S, T\): 3 were expected$",
        ),
        (
            np.ones((3, 3)),
            ValueError,
            r"2 labels were given, but credits has shape \(3, 3\), \(S, T\): 3 were expected$",
        ),
        (np.zeros((2, 2)), ValueError, r"credits is nowhere above 0, so there is nothing to draw$"),
        (np.full((2, 2), np.nan), ValueError, r"credits is nowhere above 0"),
    ],
    ids=["list", "one axis", "sources", "labels", "zeros", "nan"],
)
def test_what_is_no_credit_is_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^plotting\.credit: {message}"):
        plotting.credit(given, "ab")


def run(code: str) -> str:
    root = Path(plotting.__file__).parents[2]
    return subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True).stdout


def test_matplotlib_is_imported_by_plotting_alone_and_without_its_global_state() -> None:
    code = "import sys, tinygrad_rnn{}; print(*(name for name in sys.modules if name.startswith('matplotlib')))"
    assert run(code.format("")).split() == []
    loaded = run(code.format(".plotting")).split()
    assert "matplotlib.figure" in loaded
    assert "matplotlib.pyplot" not in loaded


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("tinygrad_rnn.plotting")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # makes the import fail
    monkeypatch.delattr("tinygrad_rnn.plotting")
    with pytest.raises(
        ImportError, match=r"matplotlib is not installed.* python -m pip install 'tinygrad-rnn\[plot\]'"
    ):
        import tinygrad_rnn.plotting  # noqa: F401
