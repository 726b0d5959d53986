from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tinygrad_rnn import plotting


def points(figure: Figure) -> Any:
    return np.array([text.get_position() for text in figure.axes[0].texts], float)


def groups(rng: np.random.Generator) -> Any:
    """Three of 20 states (60, 5), far from each other."""
    return (np.repeat(10 * np.eye(3, 5), 20, axis=0) + rng.normal(size=(60, 5))).astype("float32")


def test_principal_components_are_the_directions_of_greatest_variance(rng: np.random.Generator) -> None:
    states = rng.normal(size=(40, 6)) * [1, 5, 1, 3, 1, 1] + 7
    kept = states.copy()
    figure = plotting.projection(states, "x" * 40)
    variances, directions = np.linalg.eigh(np.cov(states.T))
    found = points(figure)
    for k in (0, 1):
        wanted = (states - states.mean(axis=0)) @ directions[:, -1 - k]
        np.testing.assert_allclose(
            found[:, k] * np.sign(found[0, k]), wanted * np.sign(wanted[0]), rtol=1e-10, atol=1e-10
        )
    first, second = (100 * variances[-1 - k] / variances.sum() for k in (0, 1))
    (axes,) = figure.axes
    assert axes.get_xlabel() == f"first component, {first:.0f} % of the variance"
    assert axes.get_ylabel() == f"second component, {second:.0f} % of the variance"
    np.testing.assert_array_equal(states, kept)


def test_the_unit_that_counts_most_grows_along_an_axis(rng: np.random.Generator) -> None:
    for states in rng.normal(size=(10, 9, 3)):
        shares = (states - states.mean(axis=0)).T @ points(plotting.projection(states, "x" * 9))
        assert (shares[abs(shares).argmax(axis=0), [0, 1]] > 0).all()


def test_each_label_is_drawn_at_its_point_in_the_colour_of_its_kind(rng: np.random.Generator) -> None:
    labels = ["a", "e", "b", "É", "A", "Z", "7", " ", "\n", "\t", "(", "$", "the", "<end>", "ß"]
    figure = plotting.projection(rng.normal(size=(15, 4)), np.array(labels, object))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [*"aebÉAZ7", "␣", "↵", "⇥", "(", "$", "the", "<end>", "ß"]
    kinds = axes.get_legend()
    assert kinds is not None
    names = [text.get_text() for text in kinds.get_texts()]
    assert names == ["vowel", "other small letter", "capital", "digit", "white space", "other character", "word"]
    colours: dict[str, str] = {
        name: to_hex(line.get_color()) for name, line in zip(names, kinds.get_lines(), strict=True)
    }
    assert len(set(colours.values())) == 7
    of = [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 5, 6, 6, 1]
    assert [to_hex(text.get_color()) for text in axes.texts] == [colours[names[k]] for k in of]
    figure = plotting.projection(rng.normal(size=(3, 4)), "ab(")
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["vowel", "other small letter", "other character"]


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_all_points_are_within_the_axes(method: Any, rng: np.random.Generator) -> None:
    figure = plotting.projection(groups(rng), "x" * 60, method=method)
    figure.savefig(io.BytesIO())
    (axes,) = figure.axes
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    found = points(figure)
    assert (left < found[:, 0].min()) & (found[:, 0].max() < right)
    assert (low < found[:, 1].min()) & (found[:, 1].max() < high)


def test_tsne_keeps_neighbours_together(rng: np.random.Generator) -> None:
    figure = plotting.projection(groups(rng), "x" * 60, method="tsne")
    found = points(figure).reshape(3, 20, 2)
    centres = found.mean(axis=1)
    within = np.linalg.norm(found - centres[:, None], axis=-1).max()
    assert 2 * within < min(np.linalg.norm(centres[i] - centres[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("t-SNE, first axis", "t-SNE, second axis")
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == 0


@pytest.mark.parametrize(("N", "H"), [(3, 2), (5, 9), (100, 3)])
def test_nothing_of_tsne_is_left_to_chance_and_few_states_will_do(N: int, H: int, rng: np.random.Generator) -> None:
    states = rng.normal(size=(N, H)).astype("float32")
    np.random.seed(1)
    first = points(plotting.projection(states, "x" * N, method="tsne"))
    np.random.seed(2)
    np.testing.assert_array_equal(points(plotting.projection(states, "x" * N, method="tsne")), first)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_states_that_are_all_the_same_fall_on_one_point(method: Any, rng: np.random.Generator) -> None:
    figure = plotting.projection(np.ones((5, 3)), "abcde", method=method)
    figure.savefig(io.BytesIO())


def test_a_figure_of_ones_own_and_names_as_they_are(rng: np.random.Generator) -> None:
    figure = Figure()
    first, second = figure.subplots(2)
    assert plotting.projection(rng.normal(size=(3, 2)), ["$^$", "b", "c"], axes=second) is figure
    assert (len(first.texts), len(second.texts)) == (0, 3)
    written = io.StringIO()
    figure.savefig(written, format="svg")
    assert "<!-- $^$ -->" in written.getvalue()
    part: Any = figure.subfigures()
    assert plotting.projection(rng.normal(size=(3, 2)), "abc", axes=part.subplots()) is figure


def test_scikit_learn_is_imported_by_tsne_alone() -> None:
    code = (
        "import sys, numpy; from tinygrad_rnn import plotting; plotting.projection(numpy.eye(3), 'abc'); "
        "print('sklearn' in sys.modules)"
    )
    root = Path(plotting.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_without_scikit_learn_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)  # makes the import fail
    with pytest.raises(
        ImportError,
        match=r"^plotting\.projection: t-SNE needs scikit-learn, which is not installed\. .*"
        r"python -m pip install 'tinygrad-rnn\[plot\]'; or take method=\"pca\"$",
    ):
        plotting.projection(rng.normal(size=(4, 3)), "abcd", method="tsne")


@pytest.mark.messages
@pytest.mark.parametrize(
    ("states", "options", "error", "message"),
    [
        ([[1.0]], {}, TypeError, r"states is a list, where a NumPy array of floating-point numbers was expected"),
        (np.ones((3, 1, 2)), {}, ValueError, r"states has shape \(3, 1, 2\), expected \(N, H\), .* states\[:, b\]$"),
        (np.ones((4, 2)), {}, ValueError, r"3 labels were given, but states has shape \(4, 2\), \(N, H\): 4 were"),
        (np.ones((3, 1)), {}, ValueError, r"states has shape \(3, 1\), expected \(N, H\), N >= 3 and H >= 2$"),
        (np.array([[1, 2], [3, np.inf], [5, 6]]), {}, ValueError, r"states holds numbers that are not finite"),
        (np.ones((3, 2)), {"method": "umap"}, ValueError, r'method must be "pca" or "tsne", not \'umap\'$'),
    ],
    ids=["list", "batch", "labels", "one unit", "infinite", "method"],
)
def test_what_are_no_states_is_refused(states: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^plotting\.projection: {message}"):
        plotting.projection(states, "abc", **options)
