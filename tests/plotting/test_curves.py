from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tinygrad_rnn import plotting

FALLING = 0.5 ** np.arange(30.0)


def legend(figure: Figure) -> list[str]:
    (axes,) = figure.axes
    box = axes.get_legend()
    return [text.get_text() for text in box.get_texts()] if box else []


def markevery(line: Any) -> tuple[int, int]:
    start, every = line.get_markevery()
    return start, every


def drawn(figure: Figure) -> list[tuple[list[float], list[float]]]:
    return [
        (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in figure.axes[0].lines
    ]


def test_losses_are_those_of_the_iterations_given_or_from_1_on() -> None:
    kept = np.array([3.0, 2.0])
    figure = plotting.losses({"training": [3.0, 2.5, 2], "held out": ([2, 4], kept), "two": (3.0, 1.0), "one": [1.0]})
    assert legend(figure) == ["training", "held out", "two", "one"]
    assert drawn(figure) == [([1, 2, 3], [3, 2.5, 2]), ([2, 4], [3, 2]), ([1, 2], [3, 1]), ([1], [1])]
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("iteration", "loss, nats a token")
    assert kept.tolist() == [3.0, 2.0]


def test_losses_have_the_unit_and_the_count_that_are_given() -> None:
    (axes,) = plotting.losses({"a": np.ones(3, "float32")}, unit="bits a character", xlabel="epoch").axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss, bits a character")


def test_a_loss_that_is_not_finite_is_a_gap() -> None:
    figure = plotting.losses({"a": [2.0, np.nan, np.inf, 1.0]})
    figure.savefig(io.BytesIO())
    low, high = figure.axes[0].get_ylim()
    assert 0.9 < low < 1 < 2 < high < 2.1


def test_norms_stand_over_the_steps_on_a_logarithmic_scale() -> None:
    figure = plotting.gradient_flow({"RNN": FALLING[::-1], "LSTM": np.ones(5, "float32")})
    assert legend(figure) == ["RNN", "LSTM"]
    assert drawn(figure) == [(list(range(30)), FALLING[::-1].tolist()), (list(range(5)), [1.0] * 5)]
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step t", "norm of ∂L / ∂h$_t$")


@pytest.mark.parametrize("norms", [[0.0, 1.0, np.nan], [0.0, 0.0, 0.0]], ids=["some", "all"])
def test_a_norm_of_0_is_a_gap(norms: list[float]) -> None:
    figure = plotting.gradient_flow({"RNN": np.array(norms)})
    figure.savefig(io.BytesIO())  # a warning would be an error here
    ((_, ys),) = drawn(figure)
    np.testing.assert_array_equal(ys, [value or np.nan for value in norms])


@pytest.mark.parametrize("draw", [plotting.losses, plotting.gradient_flow])
def test_lines_are_told_apart_without_colours_too(draw: Any) -> None:
    (axes,) = draw({str(k): FALLING for k in range(12)}).axes
    colours = [line.get_color() for line in axes.lines]
    assert len(set(colours)) == len(set(colours[:7])) == 7
    assert len({(line.get_linestyle(), line.get_marker()) for line in axes.lines}) == 12
    assert len({(line.get_linestyle(), line.get_marker(), line.get_color()) for line in axes.lines}) == 12
    (axes,) = draw({str(k): FALLING for k in range(2)}).axes
    places = [range(len(FALLING))[slice(start, None, every)] for start, every in map(markevery, axes.lines)]
    assert not set(places[0]) & set(places[1])  # lines may lie upon each other, but no marker does


@pytest.mark.parametrize("draw", [plotting.losses, plotting.gradient_flow])
def test_a_figure_of_ones_own_and_names_as_they_are(draw: Any) -> None:
    figure = Figure()
    first, second = figure.subplots(2)
    assert draw({"$^$": FALLING}, axes=second) is figure
    assert (len(first.lines), len(second.lines)) == (0, 1)
    written = io.StringIO()
    figure.savefig(written, format="svg")
    assert "<!-- $^$ -->" in written.getvalue()
    part: Any = figure.subfigures()
    assert draw({"a": FALLING}, axes=part.subplots()) is figure


@pytest.mark.messages
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([1.0], TypeError, r"curves is a list, where a dict was expected: \{\"training\": losses\}$"),
        ({}, ValueError, r"curves is empty, so there is nothing to draw; expected \{\"training\": losses\}$"),
        ({"a": "words"}, TypeError, r"curves\['a'\] is a str, where losses \(N,\) were expected, or a tuple .*to_host"),
        (
            {"a": ([1], [[1.0]])},
            ValueError,
            r"curves\['a'\] has iterations \(1,\) and losses \(1, 1\), where \(N,\) was",
        ),
        ({"a": ([1, 2], [1.0])}, ValueError, r"curves\['a'\] has iterations \(2,\) and losses \(1,\), where"),
        ({"a": []}, ValueError, r"curves\['a'\] has losses \(0,\), where \(N,\) was expected, N at least 1$"),
        ({"a": 1.0}, ValueError, r"curves\['a'\] has losses \(\), where \(N,\) was"),
    ],
    ids=["list", "none", "words", "two axes", "other size", "empty", "number"],
)
def test_what_are_no_losses_is_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^plotting\.losses: {message}"):
        plotting.losses(given)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.ones(3), TypeError, r"norms is a ndarray, where a dict was expected: \{\"RNN\": norms\}$"),
        ({}, ValueError, r"norms is empty, so there is nothing to draw"),
        (
            {"a": [1.0]},
            TypeError,
            r"norms\['a'\] is a list, where a NumPy array of floating-point numbers was expected",
        ),
        ({"a": np.ones((2, 1, 3))}, ValueError, r"norms\['a'\] has shape \(2, 1, 3\), expected \(T,\), .* each step$"),
        ({"a": np.array([1.0, -2.0])}, ValueError, r"norms\['a'\] is -2\.0 at step 1, but a norm is never negative$"),
    ],
    ids=["array", "none", "list", "gradients", "negative"],
)
def test_what_are_no_norms_is_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^plotting\.gradient_flow: {message}"):
        plotting.gradient_flow(given)
