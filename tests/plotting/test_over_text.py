from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tinygrad_rnn import plotting

LETTERS = "abcdefghij"


def expected(T: int, V: int, dtype: str = "float32") -> Any:
    return np.random.default_rng(0).dirichlet(np.ones(V), T).astype(dtype)


def signed(T: int, H: int) -> Any:
    return np.random.default_rng(0).uniform(-1, 1, (T, H))


def names(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def image(axes: Any) -> Any:
    (one,) = axes.images
    return np.asarray(one.get_array())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_column_is_a_step_and_a_row_a_class(dtype: str) -> None:
    given = expected(4, 3, dtype)
    kept = given.copy()
    axes, scale = plotting.probabilities(given, "a b\n", LETTERS[:3]).axes
    np.testing.assert_array_equal(image(axes), given.T)
    assert (names(axes.xaxis), names(axes.yaxis)) == (["a", "␣", "b", "↵"], ["a", "b", "c"])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("token read", "next token")
    assert scale.get_ylabel() == "probability"
    assert axes.images[0].get_clim() == (0, 1)
    assert axes.get_ylim() == (2.5, -0.5)  # the first class is above
    assert not axes.collections
    np.testing.assert_array_equal(given, kept)


def test_the_likeliest_classes_come_first_and_the_others_together_last() -> None:
    given = np.array([[0.1, 0.5, 0.1, 0.3], [0.0, 0.3, 0.2, 0.5], [0.2, 0.6, 0.1, 0.1]])
    axes = plotting.probabilities(given, "xyz", "abcd", top=2).axes[0]
    assert names(axes.yaxis) == ["b", "d", "2 more"]
    np.testing.assert_allclose(image(axes), [given[:, 1], given[:, 3], given[:, 0] + given[:, 2]])
    for top in (4, 9):
        axes = plotting.probabilities(given, "xyz", "abcd", top=top).axes[0]
        assert names(axes.yaxis) == [*"abcd"]


def test_what_came_next_is_marked_in_its_row() -> None:
    given = np.array([[0.1, 0.5, 0.1, 0.3], [0.0, 0.3, 0.2, 0.5], [0.2, 0.6, 0.1, 0.1]])
    for dtype in ("int64", "int8"):
        targets = np.array([3, -1, 2], dtype)
        for top, rows in ((None, [3, 2]), (2, [1, 2])):  # c is one of the others
            axes = plotting.probabilities(given, "xyz", "abcd", top=top, targets=targets).axes[0]
            (rings,) = axes.collections
            assert np.asarray(rings.get_offsets()).tolist() == [[0, rows[0]], [2, rows[1]]]
            assert axes.get_xlabel() == "token read; the circle is round what came next"
            assert axes.get_xlim() == (-0.5, 2.5)
    plotting.probabilities(given, "xyz", "abcd", targets=np.array([3, 0, 2], "uint8"))


@pytest.mark.parametrize("T", [1, 3, pytest.param(60, marks=pytest.mark.long), 150])
@pytest.mark.parametrize("V", [1, pytest.param(20, marks=pytest.mark.long), 90])
def test_names_do_not_overlap_and_nothing_is_cut_off(T: int, V: int) -> None:
    labels = ("W m\n" * T)[:T]
    figure = plotting.probabilities(expected(T, V), labels, "gW" * (V // 2) + "W" * (V % 2))
    assert figure.get_figwidth() <= max(8, 1.8 + 0.085 * T)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    columns = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in pairwise(columns))
    # Of a row, the box is as high as the highest letter and as low as the lowest: letters are 0.73 of that.
    rows = [label.get_window_extent() for label in axes.get_yticklabels()]
    middles = [(box.y0 + box.y1) / 2 for box in rows]
    assert all(above - below >= 0.73 * max(box.height for box in rows) for above, below in pairwise(middles))
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label):
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
        assert float(text.get_fontsize()) >= 6


def test_letters_are_as_small_as_narrow_axes_ask() -> None:
    figure = Figure(figsize=(3, 2))
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    plotting.probabilities(expected(40, 30), "W" * 40, "W" * 30, axes=axes)
    figure.draw_without_rendering()
    columns = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in pairwise(columns))
    rows = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert rows[0].y0 - rows[1].y0 >= 0.73 * rows[0].height


def test_words_stand_upright_where_they_would_overlap() -> None:
    short, long = (["on", "a", "12"] * 2, ["word"] * 40)
    for labels, rotation in ((short, 0), (long, 90), (np.array(long, object), 90), (np.array(short), 0)):
        axes = plotting.probabilities(expected(len(labels), 2), labels, ["yes", "no"]).axes[0]
        assert {label.get_rotation() for label in axes.get_xticklabels()} == {rotation}


def test_states_stand_one_above_the_other_over_one_text() -> None:
    values = {"h": signed(5, 3), "c": 30 * signed(5, 4).astype("float32"), "f": abs(signed(5, 3))}
    kept = {name: array.copy() for name, array in values.items()}
    figure = plotting.states(values, "a b\tc")
    first, second, third, *scales = figure.axes
    assert len(scales) == 3
    for axes, (name, array) in zip(figure.axes[:3], values.items(), strict=True):
        np.testing.assert_array_equal(image(axes), array.T)
        assert axes.get_ylabel() == f"{name}, unit"
        np.testing.assert_array_equal(array, kept[name])
    assert first.get_position().y0 > second.get_position().y0 > third.get_position().y0
    assert names(third.xaxis) == ["a", "␣", "b", "⇥", "c"]
    figure.draw_without_rendering()
    assert [any(label.get_visible() for label in axes.get_xticklabels()) for axes in figure.axes[:3]] == [
        False,
        False,
        True,
    ]
    assert [axes.get_xlabel() for axes in figure.axes[:3]] == ["", "", "token read"]


def test_colours_of_states_are_white_at_0_and_those_of_gates_go_from_0_to_1() -> None:
    values = {
        "h": signed(40, 5),
        "i": 0.2 * abs(signed(40, 5)),
        "relu": 3 * abs(signed(40, 5)),
        "zero": np.zeros((40, 5)),
    }
    values["nan"] = np.where(values["h"] > 0.9, np.nan, values["h"])
    h, i, relu, zero, nan = (axes.images[0] for axes in plotting.states(values, "x" * 40).axes[:5])
    assert i.get_clim() == zero.get_clim() == (0, 1)
    assert i.get_cmap() == zero.get_cmap() != h.get_cmap() == relu.get_cmap() == nan.get_cmap()
    for one in (h, relu, nan):
        low, high = one.get_clim()
        assert -low == high
        array = np.asarray(one.get_array())
        assert 0.94 < (abs(array[np.isfinite(array)]) <= high).mean() < 0.96
        assert min(one.to_rgba(np.zeros(1))[0, :3]) > 0.95
        assert one.to_rgba(np.full(1, low))[0, 2] > 0.6 > 0.3 > one.to_rgba(np.full(1, low))[0, 0]  # blue
        assert one.to_rgba(np.full(1, high))[0, 0] > 0.6 > 0.3 > one.to_rgba(np.full(1, high))[0, 2]  # red


def test_one_unit_that_counts_far_does_not_bleach_the_others() -> None:
    values = signed(50, 100)
    values[:, 7] = np.arange(50) * 10
    (shown,) = plotting.states({"c": values}, "x" * 50).axes[0].images
    assert shown.get_clim()[1] < 2
    values = np.zeros((50, 100))
    values[3, 7] = -4  # the only one: it is not bleached either
    (shown,) = plotting.states({"c": values}, "x" * 50).axes[0].images
    assert shown.get_clim() == (-4, 4)


def test_a_figure_of_ones_own_and_names_as_they_are() -> None:
    figure = Figure()
    first, *others = figure.subplots(3)
    assert plotting.probabilities(expected(3, 2), "$^$", ["$^$", "_^{"], axes=first) is figure
    assert plotting.states({"$_$": signed(3, 2), "b": signed(3, 2)}, "$^$", axes=others) is figure
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1]  # no scale comes in between
    written = io.StringIO()
    figure.savefig(written, format="svg")
    assert written.getvalue().count("<!-- $^$ -->") == 1
    assert written.getvalue().count("<!-- $ -->") == 4
    assert written.getvalue().count("<!-- $_$, unit -->") == 1
    part: Any = figure.subfigures()
    assert plotting.states({"a": signed(1, 1), "b": signed(1, 1)}, "x", axes=part.subplots(2)) is figure


@pytest.mark.messages
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"probabilities": [[1.0]]},
            TypeError,
            r"probabilities is a list, where a NumPy array of floating-point numbers",
        ),
        ({"probabilities": np.ones((2, 3), int)}, TypeError, r"probabilities is an array of int64, where"),
        (
            {"probabilities": np.ones((2, 1, 3))},
            ValueError,
            r"probabilities has shape \(2, 1, 3\), .* probabilities\[:, b\]$",
        ),
        (
            {"probabilities": np.ones((0, 3))},
            ValueError,
            r"probabilities has shape \(0, 3\), expected \(T, V\), each at least 1",
        ),
        (
            {"labels": "abc"},
            ValueError,
            r"3 labels were given, but probabilities has shape \(2, 3\), .* 2 were expected$",
        ),
        (
            {"classes": "ab"},
            ValueError,
            r"2 classes were given, but probabilities has shape \(2, 3\), .* 3 were expected$",
        ),
        (
            {"probabilities": np.array([[1.0, 0.0, 0.0], [0.0, -3.5, 1.0]])},
            ValueError,
            r"probabilities is -3\.5 at index \(1, 1\), but must be 0 to 1; for logits use Softmax\(\)\(logits\)$",
        ),
        (
            {"probabilities": np.full((2, 3), np.nan)},
            ValueError,
            r"probabilities is nan at index \(0, 0\), but must be",
        ),
        ({"top": 0}, ValueError, r"top must be at least 1, not 0$"),
        ({"top": 1.5}, TypeError, r"top must be an integer, not 1\.5$"),
        ({"targets": [0, 1]}, TypeError, r"targets is a list, where a NumPy array of ids was expected$"),
        ({"targets": np.ones(2)}, TypeError, r"targets is an array of float64, where"),
        ({"targets": np.ones(3, int)}, ValueError, r"targets has shape \(3,\), but .* \(2, 3\), \(T, V\): \(2,\) was"),
        (
            {"targets": np.array([0, 3])},
            ValueError,
            r"targets\[1\] is 3, but must be 0 to 2, or -1 for a step without a mark",
        ),
        ({"targets": np.array([-2, 0])}, ValueError, r"targets\[0\] is -2, but must be 0 to 2"),
    ],
    ids=[
        *("list", "integers", "batch", "empty", "labels", "classes", "scores", "nan", "no top", "half a top"),
        *("list of targets", "numbers", "other targets", "large", "negative"),
    ],
)
def test_what_are_no_probabilities_is_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"probabilities": expected(2, 3), "labels": "ab", "classes": "abc"} | change
    with pytest.raises(error, match=rf"^plotting\.probabilities: {message}"):
        plotting.probabilities(**given)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("values", "axes", "error", "message"),
    [
        (signed(2, 3), None, TypeError, r"values is a ndarray, where a dict was expected: \{\"h\": states\}$"),
        ({}, None, ValueError, r"values is empty, so there is nothing to draw"),
        ({"h": [[1.0]]}, None, TypeError, r"values\['h'\] is a list, where a NumPy array"),
        (
            {"h": np.ones((2, 1, 3))},
            None,
            ValueError,
            r"values\['h'\] has shape \(2, 1, 3\), expected \(T, H\), .* b\]$",
        ),
        (
            {"h": signed(2, 3), "c": signed(3, 3)},
            None,
            ValueError,
            r"2 labels were .* values\['c'\] has shape \(3, 3\), ",
        ),
        (
            {"h": signed(2, 3)},
            Figure().subplots(),
            TypeError,
            r"axes is a Axes, where 1 axes were expected, one for each",
        ),
        ({"h": signed(2, 3)}, [], ValueError, r"0 axes were given, where 1 were expected, one for each of values$"),
    ],
    ids=["array", "none", "list", "batch", "labels", "one axes", "no axes"],
)
def test_what_are_no_states_is_refused(values: Any, axes: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^plotting\.states: {message}"):
        plotting.states(values, "ab", axes=axes)
