from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tinygrad_rnn import Embedding, Linear, LSTMCell, Sequential, Tanh, plotting


def parts(given: Any) -> Any:
    """The axes of the weights and of the gradients."""
    return plotting.parameters(given).axes


def histogram(axes: Any, row: int) -> tuple[Any, Any]:
    """Counts, the highest being 1, and edges of that which stands in the row."""
    ((values, edges, base),) = (patch.get_data() for patch in axes.patches if patch.get_data().baseline == row + 0.3)
    return (base - values) / 0.7, edges


def notes(axes: Any) -> list[tuple[str, float]]:
    return [(text.get_text(), text.get_position()[1]) for text in axes.texts]


def names(axes: Any) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_a_row_is_a_parameter_of_the_model(rng: np.random.Generator) -> None:
    model = Sequential(Embedding(5, 3, rng=rng), LSTMCell(3, 4, rng=rng), Linear(4, 5, rng=rng))
    for parameter in model.parameters():
        parameter.grad += rng.normal(size=parameter.shape).astype("float32")
    kept = model.flat_value.copy(), model.flat_grad.copy()
    weights, gradients = parts(model)
    assert names(weights) == [
        *("layers.0.w (5, 3)", "layers.1.w_x (3, 16)", "layers.1.w_h (4, 16)", "layers.1.b (16,)"),
        *("layers.2.w (4, 5)", "layers.2.b (5,)"),
    ]
    assert (weights.get_xlabel(), gradients.get_xlabel()) == ("weight", "magnitude of a gradient")
    assert (weights.get_xscale(), gradients.get_xscale()) == ("linear", "log")
    low, high = weights.get_ylim()
    assert low > 5.3 > 0 - 0.7 + 0.3 > high  # the first one above, and all within
    assert notes(weights) == notes(gradients) == []
    np.testing.assert_array_equal(model.flat_value, kept[0])
    np.testing.assert_array_equal(model.flat_grad, kept[1])


def test_histograms_are_of_the_weights_and_of_the_magnitudes_of_their_gradients(rng: np.random.Generator) -> None:
    value, grad = rng.normal(size=(30, 40)), 1e-5 * rng.normal(size=(30, 40)).astype("float32")
    weights, gradients = parts({"a": (np.ones(2), np.ones(2)), "b": (value, grad)})
    heights, edges = histogram(weights, 1)
    counts, _ = np.histogram(value, edges)
    assert counts.sum() == value.size
    np.testing.assert_allclose(heights, counts / counts.max())
    heights, edges = histogram(gradients, 1)
    counts, _ = np.histogram(abs(grad), edges.astype(float) * (1 + 1e-7))
    assert 0.94 * grad.size < counts.sum() < 0.96 * grad.size  # less the smallest twentieth
    np.testing.assert_allclose(heights, counts / counts.max(), atol=0.02)
    assert edges[-1] == pytest.approx(abs(grad).max())


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_the_tick_is_the_median_and_the_line_the_range(scale: float) -> None:
    value = scale * np.array([-3.0, 1, 2, 2, 8])
    weights, gradients = parts({"w": (value, value)})
    line, tick = weights.lines
    assert (line.get_xdata().tolist(), tick.get_xdata().tolist()) == ([-3 * scale, 8 * scale], [2 * scale] * 2)
    line, tick = gradients.lines
    np.testing.assert_allclose(line.get_xdata(), [2 * scale, 8 * scale])
    np.testing.assert_allclose(tick.get_xdata(), [2 * scale] * 2)  # of all, also of the twentieth that is left out


def test_what_is_no_number_on_the_scale_is_counted() -> None:
    value = np.array([1.0, np.nan, 2.0, np.inf])
    given = {
        "zeros": (value, np.array([0.0, 1.0, 0.0, 2.0])),
        "broken": (np.full(4, np.nan), np.array([np.nan, np.inf, 1.0, 2.0])),
        "dead": (np.zeros(4), np.zeros(4)),
        "none": (np.ones(4), None),
    }
    plotting.parameters(given).savefig(io.BytesIO())  # no warning of a logarithm
    weights, gradients = parts(given)
    assert notes(weights) == [("2 not finite", 0), ("all not finite", 1)]
    assert notes(gradients) == [("2 zero", 0), ("2 not finite", 1), ("all zero", 2), ("no gradient", 3)]
    spikes = [line for line in weights.lines if line.get_linewidth() == 2]
    assert [line.get_xdata().tolist() for line in spikes] == [[0, 0], [1, 1]]  # where all are the same


def test_a_model_that_was_never_trained_has_only_zeros(rng: np.random.Generator) -> None:
    figure = plotting.parameters(Linear(2, 3, rng=rng))
    figure.savefig(io.BytesIO())
    assert notes(figure.axes[1]) == [("all zero", 0), ("all zero", 1)]


def test_many_parameters_do_not_overlap_and_nothing_is_cut_off(rng: np.random.Generator) -> None:
    given = {f"layers.{k}.forward_cell.w_x": (rng.normal(size=(128, 512)), np.zeros((128, 512))) for k in range(20)}
    figure = plotting.parameters(given)
    assert figure.get_figwidth() == 8
    figure.draw_without_rendering()
    weights, gradients = figure.axes
    labels = [label.get_window_extent() for label in weights.get_yticklabels()]
    assert all(above.y0 > below.y1 for above, below in pairwise(labels))
    for box in (*labels, *(text.get_window_extent() for text in gradients.texts)):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert weights.bbox.width > 150


def test_a_figure_of_ones_own_and_names_as_they_are() -> None:
    figure = Figure()
    rows: Any = figure.subplots(2, 2)
    assert plotting.parameters({"$^$": (np.ones(2), np.ones(2))}, axes=rows[1]) is figure
    assert [len(axes.lines) > 0 for axes in figure.axes] == [False, False, True, True]
    written = io.StringIO()
    figure.savefig(written, format="svg")
    assert "<!-- $^$ (2,) -->" in written.getvalue()
    part: Any = figure.subfigures()
    assert plotting.parameters({"a": (np.ones(2), None)}, axes=part.subplots(1, 2)) is figure


@pytest.mark.messages
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.ones(3), TypeError, r"model is a ndarray, where a dict was expected: a layer that has parameters, or \{"),
        (Tanh(), ValueError, r"model is empty, so there is nothing to draw; expected a layer that has parameters, or"),
        ({}, ValueError, r"model is empty, so there is nothing to draw"),
        ({"w": np.ones(2)}, TypeError, r"model\['w'\] is a ndarray, where \(value, grad\) was expected$"),
        ({"w": (np.ones(2),)}, TypeError, r"model\['w'\] is a tuple of 1, where \(value, grad\) was expected$"),
        ({"w": ([1.0], None)}, TypeError, r"the value of model\['w'\] is a list, where a NumPy .*to_host\(value\)$"),
        ({"w": (np.ones(1), np.ones(1, int))}, TypeError, r"the grad of model\['w'\] is an array of int64, where"),
        ({"w": (None, None)}, TypeError, r"the value of model\['w'\] is a NoneType, where"),
        ({"w": (np.ones((2, 3)), np.ones(2))}, ValueError, r"the grad of .* has shape \(2,\), expected \(2, 3\)$"),
        ({"w": (np.ones(0), None)}, ValueError, r"the value of .* has shape \(0,\), expected at least one number$"),
    ],
    ids=["array", "no parameters", "none", "value alone", "one", "list", "integers", "no value", "shape", "empty"],
)
def test_what_are_no_parameters_is_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^plotting\.parameters: {message}"):
        plotting.parameters(given)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        (Figure().subplots(), TypeError, r"axes is a Axes, where 2 axes were expected, for weights and for gradients$"),
        (Figure().subplots(3), ValueError, r"3 axes were given, where 2 were expected, for weights and for gradients$"),
    ],
    ids=["one", "three"],
)
def test_other_axes_are_refused(axes: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^plotting\.parameters: {message}"):
        plotting.parameters({"a": (np.ones(2), None)}, axes=axes)
