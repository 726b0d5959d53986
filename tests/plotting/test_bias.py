from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tinygrad_rnn import plotting
from tinygrad_rnn.through_time import Agreement, BiasReport

ONE, HALF, NONE = Agreement(1.0, 1.0), Agreement(0.5, 0.8), Agreement(math.nan, 0.0)


def report() -> BiasReport:
    parameters = {"exact": {"": ONE, "layers.1.w_$h$": NONE}, "some": {"": HALF, "layers.1.w_$h$": ONE}}
    return BiasReport(parameters, [(0, 0), (1, 1), (2, 3)], {"exact": [ONE] * 3, "some": [ONE, HALF, NONE]}, [1.0] * 3)


def test_lines_are_what_is_seen_along_the_exact_gradient() -> None:
    figure = plotting.bias(report())
    axes = figure.axes[0]
    drawn = [np.asarray(line.get_ydata()).tolist() for line in axes.lines]
    assert drawn == [[1, 1, 1], [1, 0.4, 0]]
    assert [np.asarray(line.get_xdata()).tolist() for line in axes.lines] == [[0, 1, 2]] * 2
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2-3"]
    legend: Any = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["exact", "some"]
    assert "steps between" in axes.get_xlabel()
    assert "is seen" in axes.get_ylabel()
    assert axes.get_ylim() == (-0.5, 2.2)


def test_a_cell_is_the_cosine_of_a_parameter_by_a_method() -> None:
    axes = plotting.bias(report()).axes[1]
    (image,) = axes.images
    shown: Any = image.get_array()
    np.testing.assert_array_equal(shown.filled(np.nan), [[1, 0.5], [np.nan, 1]])
    assert image.get_clim() == (0, 1)
    assert [text.get_text() for text in axes.texts] == ["1.00", "0.50", "-", "1.00"]
    assert [text.get_position() for text in axes.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert [text.get_color() for text in axes.texts] == ["black", "white", "black", "black"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["exact", "some"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all", "layers.1.w_$h$"]
    assert "cosine" in axes.get_title()
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        assert not label.get_parse_math()
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {30}
    for axis in (axes.xaxis, axes.yaxis):
        assert axis.get_tick_params()["length"] == 0


def test_it_draws_in_axes_of_ones_own_and_can_be_written() -> None:
    mine = Figure(figsize=(8, 4))
    axes = mine.subplots(1, 2)
    assert plotting.bias(report(), axes=axes) is mine
    assert len(axes[0].lines) == 2
    assert len(axes[1].images) == 1
    for figure in (mine, plotting.bias(report())):
        figure.savefig(io.BytesIO(), format="png")
    small, large = (plotting.bias(r) for r in (report(), with_many_parameters()))
    np.testing.assert_allclose(small.get_size_inches(), (10.6, 3.5))
    np.testing.assert_allclose(large.get_size_inches(), (10.3, 1.6 + 0.28 * 21))
    grids: list[Any] = [axes.get_gridspec() for axes in small.axes]
    assert [grid.get_width_ratios() for grid in grids] == [(3, 2)] * 2
    assert len(small.axes) == 2


def with_many_parameters() -> BiasReport:
    names = ["", *(f"layers.{i}.w" for i in range(20))]
    return BiasReport({"exact": dict.fromkeys(names, ONE)}, [(0, 0)], {"exact": [ONE]}, [1.0])


@pytest.mark.messages
def test_what_makes_no_sense_is_named() -> None:
    bad: Any = {"exact": 1}
    with pytest.raises(TypeError, match=r"^plotting.bias: report is a dict"):
        plotting.bias(bad)
    with pytest.raises(ValueError, match=r"^plotting.bias: 3 axes were given, where 2 were expected"):
        plotting.bias(report(), axes=Figure().subplots(1, 3))
