from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as rnn
from tinygrad_rnn.testing import StrictDevice
from tinygrad_rnn.training import metrics

T, B, V, D = 7, 5, 4, 3
AVERAGES = ("macro", "micro", "weighted", None)
CLASSES: list[Callable[[], Any]] = [
    metrics.Accuracy,
    lambda: metrics.Accuracy(2),
    lambda: metrics.ConfusionMatrix(V),
    *(lambda kind=kind, a=a: kind(V, average=a) for kind in (metrics.Precision, metrics.Recall) for a in AVERAGES),
    *(lambda a=a: metrics.F1(V, average=a) for a in AVERAGES),
    metrics.Perplexity,
    metrics.BitsPerToken,
]
NUMBERS: list[Callable[[], Any]] = [metrics.AbsoluteError, metrics.SquaredError, metrics.R2]
ALL: list[Callable[[], Any]] = [*CLASSES, *NUMBERS]


def batch(make: Callable[[], Any], rng: np.random.Generator, steps: int = T) -> tuple[Any, Any]:
    if make in NUMBERS:
        targets = rng.standard_normal((steps, B, D)) + 1000
        return targets + rng.standard_normal(targets.shape), targets
    return rng.standard_normal((steps, B, V)), rng.integers(-1, V, (steps, B))


class Naive:
    """Every metric from lists of rows, number by number: logits or predictions, targets and weights."""

    def __init__(self) -> None:
        self.rows: list[tuple[list[float], Any, float]] = []

    def update(self, ys: Any, targets: Any, lengths: Any = None, weights: Any = None) -> None:
        for t in range(ys.shape[0]):
            for b in range(ys.shape[1]):
                weight = 1.0 if weights is None else float(weights[t, b])
                if (lengths is None or t < lengths[b]) and weight > 0 and np.all(targets[t, b] != -1):
                    self.rows.append((ys[t, b].tolist(), targets[t, b].tolist(), weight))

    def mean(self, of: Callable[[list[float], Any], float]) -> float:
        return math.fsum(w * of(y, t) for y, t, w in self.rows) / math.fsum(w for _, _, w in self.rows)

    def accuracy(self, top: int = 1) -> float:
        return self.mean(lambda y, t: t in sorted(range(len(y)), key=lambda v: (-y[v], v))[:top])

    def confusion(self) -> list[list[float]]:
        found = [[0.0] * V for _ in range(V)]
        for y, t, w in self.rows:
            found[t][y.index(max(y))] += w
        return found

    def per_class(self, name: str, average: str | None) -> Any:
        counts = self.confusion()
        ratios, support, occurs = [], [], []
        right_of_all = of_all = 0.0
        for v in range(V):
            right, missed = counts[v][v], math.fsum(counts[v]) - counts[v][v]
            wrongly = math.fsum(row[v] for row in counts) - right
            of = {"Precision": right + wrongly, "Recall": right + missed, "F1": right + (missed + wrongly) / 2}[name]
            ratios.append(right / of if of else 0.0)
            support.append(right + missed)
            occurs.append(right + missed + wrongly > 0)
            right_of_all, of_all = right_of_all + right, of_all + of
        if average == "micro":
            return right_of_all / of_all
        if average == "weighted":
            return math.fsum(r * s for r, s in zip(ratios, support, strict=True)) / math.fsum(support)
        return math.fsum(ratios) / sum(occurs) if average else ratios

    def bits(self) -> float:
        return self.mean(lambda y, t: math.log2(math.fsum(map(math.exp, y))) - y[t] / math.log(2))

    def r2(self) -> float:
        found = []
        for d in range(D):
            mean = self.mean(lambda _, t, d=d: t[d])  # type: ignore[misc]
            error = self.mean(lambda y, t, d=d: (y[d] - t[d]) ** 2)  # type: ignore[misc]
            found.append(1 - error / self.mean(lambda _, t, d=d, m=mean: (t[d] - m) ** 2))  # type: ignore[misc]
        return math.fsum(found) / D

    def value(self, metric: Any) -> Any:
        match type(metric).__name__:
            case "Accuracy":
                return self.accuracy(metric.top)
            case "ConfusionMatrix":
                return self.confusion()
            case "Perplexity":
                return 2 ** self.bits()
            case "BitsPerToken":
                return self.bits()
            case "R2":
                return self.r2()
            case "AbsoluteError":
                return self.mean(lambda y, t: math.fsum(abs(a - b) for a, b in zip(y, t, strict=True)) / D)
            case "SquaredError":
                return self.mean(lambda y, t: math.fsum((a - b) ** 2 for a, b in zip(y, t, strict=True)) / D)
            case name:
                return self.per_class(name, metric.average)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("make", ALL)
def test_batches_against_the_naive_metric_of_all_rows(make: Any, weighted: bool, rng: np.random.Generator) -> None:
    metric, naive = make(), Naive()
    for steps in (7, 1, 4, 0):
        ys, targets = batch(make, rng, steps)
        lengths = rng.integers(0, steps + 1, B)
        weights = rng.choice([0.0, 0.5, 1.0, 3.0], (steps, B)) if weighted else None
        naive.update(ys, targets, lengths, weights)
        out = np.arange(steps)[:, None] >= lengths
        if weights is not None:
            weights[out] = np.nan
            out |= weights == 0
        ys[out] = np.nan
        targets[out] = np.nan if make in NUMBERS else 99
        kept = ys.copy(), targets.copy()
        metric.update(ys, targets, lengths=lengths, weights=weights)
        np.testing.assert_array_equal(ys, kept[0])
        np.testing.assert_array_equal(targets, kept[1])
    np.testing.assert_allclose(metric.value(), naive.value(metric), rtol=1e-12)
    np.testing.assert_array_equal(metric.value(), metric.value())


@pytest.mark.parametrize("make", ALL)
def test_reset_forgets(make: Any, rng: np.random.Generator) -> None:
    metric, fresh = make(), make()
    metric.update(*batch(make, rng), weights=rng.random((T, B)))
    metric.reset()
    empty = metric.value()
    assert np.isnan(empty).all() or not np.any(empty)
    last = batch(make, rng)
    metric.update(*last)
    fresh.update(*last)
    np.testing.assert_array_equal(metric.value(), fresh.value())
    assert np.asarray(metric.value()).dtype == np.asarray(fresh.value()).dtype


@pytest.mark.parametrize("dtype", [bool, int])
def test_weights_may_be_what_losses_take(dtype: Any) -> None:
    kept = np.array([1, 0, 1, 1, 0])
    ys, targets = np.eye(V)[[0, 1, 2, 3, 0]], np.array([0, 0, 2, 1, 0])
    accuracy = metrics.Accuracy()
    accuracy.update(ys, targets, weights=kept.astype(dtype))
    assert accuracy.value() == pytest.approx(2 / 3)


@pytest.mark.parametrize("make", ALL)
def test_one_vector_a_row_and_nothing_that_counts(make: Any, rng: np.random.Generator) -> None:
    metric, sequences = make(), make()
    ys, targets = batch(make, rng)
    sequences.update(ys, targets)
    metric.update(ys[0], targets[0])
    metric.update(ys[:0], targets[:0])
    metric.update(ys[1] * np.nan, targets[1], weights=np.zeros(B))
    metric.update(ys[1:].reshape(-1, ys.shape[-1]), targets[1:].reshape(-1, *targets.shape[2:]))
    np.testing.assert_allclose(metric.value(), sequences.value(), rtol=1e-12)
    nothing = make()
    nothing.update(ys, targets, lengths=np.zeros(B, int))
    assert np.isnan(nothing.value()).all() or not np.any(nothing.value())


@pytest.mark.parametrize("make", ALL)
def test_on_another_device(make: Any, rng: np.random.Generator) -> None:
    device, here, there = StrictDevice(), make(), make()
    for _ in range(2):
        arrays = {"lengths": rng.integers(0, T + 1, B), "weights": rng.random((T, B)).astype("f4")}
        ys, targets = batch(make, rng)
        here.update(ys, targets, **arrays)
        moved = {name: device.asarray(array) for name, array in arrays.items()}
        there.update(device.asarray(ys), device.asarray(targets), **moved)
    np.testing.assert_array_equal(there.value(), here.value())


def test_sums_are_in_float64() -> None:
    ys, targets = np.zeros((1, 1), "f4"), np.full((1, 1), 0.1, "f4")
    error = metrics.AbsoluteError()
    for _ in range(1000):
        error.update(ys, targets)
    assert math.isclose(error.value(), float(np.float32(0.1)), rel_tol=1e-13)


def test_differences_are_in_float64() -> None:
    error = metrics.AbsoluteError()
    error.update(np.full((1, 1), 2**24, "f4"), np.full((1, 1), -1, "f4"))
    assert error.value() == 2**24 + 1


def test_r2_of_targets_far_from_zero_and_of_constant_ones() -> None:
    rng = np.random.default_rng(0)
    noise, errors = rng.standard_normal((40, 2)), rng.standard_normal((40, 2))
    near, far = metrics.R2(), metrics.R2()
    for part in np.split(np.arange(40), [1, 3, 20]):
        near.update(noise[part] + errors[part], noise[part])
        far.update(noise[part] + 1e6 + errors[part], noise[part] + 1e6)
    assert math.isclose(near.value(), far.value(), abs_tol=1e-9)
    for ys, expected in (([[5.0]] * 2, 1.0), ([[5.0], [6.0]], 0.0)):
        r2 = metrics.R2()
        r2.update(np.array(ys), np.full((2, 1), 5.0))
        assert r2.value() == expected


def test_equal_logits_go_to_the_lower_id_and_nan_is_never_right() -> None:
    ys, targets = np.array([[1.0, 2, 2, 0]]), np.arange(4)
    for top, right in ((1, [0, 1, 0, 0]), (2, [0, 1, 1, 0]), (3, [1, 1, 1, 0]), (9, [1, 1, 1, 1])):
        for target in targets:
            accuracy = metrics.Accuracy(top)
            accuracy.update(ys, targets[target : target + 1])
            assert accuracy.value() == right[target]
    accuracy = metrics.Accuracy()
    accuracy.update(np.full((4, V), np.nan), targets)
    accuracy.update(np.array([[1.0, np.nan]]), np.array([0]))
    assert accuracy.value() == 0


def test_one_logit_is_two_classes() -> None:
    ys = np.array([[-1.0], [2.0], [0.0], [3.0], [np.nan]])
    for targets in (
        np.array([0, 1, 1, 0, -1]),
        np.array([[0], [1], [1], [0], [-1]]),
        np.array([[0.0], [1.0], [0.9], [0.2], [0.0]]),
    ):
        accuracy, confusion = metrics.Accuracy(), metrics.ConfusionMatrix(2)
        weights = np.array([1.0, 1, 1, 1, 0])
        accuracy.update(ys, targets, weights=weights)
        confusion.update(ys, targets, weights=weights)
        assert accuracy.value() == 0.5
        np.testing.assert_array_equal(confusion.value(), [[1, 1], [1, 1]])


def test_whole_counts_are_integers() -> None:
    confusion = metrics.ConfusionMatrix(V)
    confusion.update(np.eye(V), np.arange(V))
    assert confusion.value().dtype == np.int64
    confusion.value()[...] = 9  # a copy
    confusion.update(np.eye(V), np.arange(V), weights=np.full(V, 0.5))
    for _ in range(2):
        np.testing.assert_array_equal(confusion.value(), 1.5 * np.eye(V))
        confusion.value()[...] = 9


def test_another_ignored_target() -> None:
    accuracy, bits = metrics.Accuracy(ignore_index=0), metrics.BitsPerToken(ignore_index=0)
    for metric in (accuracy, bits):
        metric.update(np.zeros((2, V)), np.array([0, 3]))
    assert (accuracy.value(), bits.value()) == (0, 2)


def test_perplexity_that_no_float_holds() -> None:
    perplexity = metrics.Perplexity()
    perplexity.update(np.array([[0.0, 1e4]]), np.array([0]))
    assert perplexity.value() == math.inf


def test_bits_are_those_of_evaluate(rng: np.random.Generator) -> None:
    model = rnn.Sequential(rnn.OneHot(V), rnn.RNNCell(V, 3, rng=rng), rnn.Linear(3, V, rng=rng)).to(dtype="float64")
    stream = rnn.TokenStream(rng.integers(0, V, 50), batch=3, steps=4)
    bits, state = metrics.BitsPerToken(), None
    for part in stream:
        ys, state = model(part.xs, state, starts=part.starts)
        bits.update(ys, part.targets)
    assert math.isclose(bits.value(), rnn.evaluate(model, stream) / math.log(2), rel_tol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_parity_with_scikit_learn(seed: int) -> None:
    reference: Any = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    ys, targets, weights = rng.standard_normal((60, 6)), rng.integers(0, 5, 60), rng.random(60)
    ys[:, 2] -= 9  # a class that is never predicted; the last one has no targets, and perhaps no predictions
    ys[:, 5] -= 9 * (seed % 2)
    p, guesses = np.exp(ys) / np.exp(ys).sum(axis=-1, keepdims=True), ys.argmax(axis=-1)
    truth = rng.standard_normal((60, 6)) + 100
    for given in (None, weights):
        of: dict[str, Any] = {"sample_weight": given}
        expected: list[tuple[Any, Any]] = [
            (metrics.Accuracy(), reference.accuracy_score(targets, guesses, **of)),
            (metrics.Accuracy(3), reference.top_k_accuracy_score(targets, ys, k=3, labels=range(6), **of)),
            (metrics.ConfusionMatrix(6), reference.confusion_matrix(targets, guesses, labels=range(6), **of)),
            (metrics.BitsPerToken(), reference.log_loss(targets, p, labels=range(6), **of) / math.log(2)),
            (metrics.Perplexity(), math.exp(reference.log_loss(targets, p, labels=range(6), **of))),
        ]
        for average in AVERAGES:
            labels = range(6) if average is None else None
            ratios = reference.precision_recall_fscore_support(
                targets, guesses, average=average, labels=labels, zero_division=0, **of
            )
            kinds: Any = (metrics.Precision, metrics.Recall, metrics.F1)
            expected += [(kind(6, average=average), r) for kind, r in zip(kinds, ratios[:3], strict=True)]
        for metric, value in expected:
            for part in np.split(np.arange(60), [7, 30]):
                metric.update(ys[part], targets[part], weights=None if given is None else given[part])
            np.testing.assert_allclose(metric.value(), value, rtol=1e-10, atol=1e-10, err_msg=repr(metric))
        for metric, value in (
            (metrics.AbsoluteError(), reference.mean_absolute_error(truth, truth + ys, **of)),
            (metrics.SquaredError(), reference.mean_squared_error(truth, truth + ys, **of)),
            (metrics.R2(), reference.r2_score(truth, truth + ys, **of)),
        ):
            for part in np.split(np.arange(60), [7, 30]):
                metric.update((truth + ys)[part], truth[part], weights=None if given is None else given[part])
            np.testing.assert_allclose(metric.value(), value, rtol=1e-10, err_msg=repr(metric))


@pytest.mark.messages
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: metrics.Accuracy(0), ValueError, "Accuracy: top must be at least 1, not 0"),
        (
            lambda: metrics.Accuracy(ignore_index=0.5),  # type: ignore[arg-type]
            TypeError,
            "Accuracy: ignore_index must be an integer, not 0.5",
        ),
        (lambda: metrics.ConfusionMatrix(1), ValueError, "ConfusionMatrix: classes must be at least 2, not 1"),
        (
            lambda: metrics.F1(3, average="mean"),
            ValueError,
            'F1: average must be "macro", "micro" or "weighted", not \'mean\'',
        ),
    ],
)
def test_bad_settings(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


@pytest.mark.messages
@pytest.mark.parametrize(
    ("metric", "arguments", "error", "message"),
    [
        (metrics.Accuracy(), {"ys": np.zeros((T, B), int)}, TypeError, "ys holds int64, not floating-point numbers"),
        (metrics.Accuracy(), {"targets": np.zeros((T, B))}, TypeError, "targets must be an integer array, not float64"),
        (metrics.Accuracy(), {"targets": np.zeros((B, T), int)}, ValueError, "targets has shape (5, 7), but ys (7, 5"),
        (
            metrics.Accuracy(),
            {"targets": np.full((T, B), V)},
            ValueError,
            "id 4 at index (0, 0) is outside the vocabulary, 0 to 3",
        ),
        (metrics.Accuracy(), {"weights": np.zeros((T, B, V))}, ValueError, "weights has shape (7, 5, 4), but ys"),
        (metrics.Accuracy(), {"weights": -np.ones((T, B))}, ValueError, "weights is -1.0 at index (0, 0), but must be"),
        (metrics.Accuracy(), {"weights": np.full((T, B), np.nan)}, ValueError, "weights is nan at index (0, 0)"),
        (metrics.Accuracy(), {"lengths": np.full(B, 9)}, ValueError, "lengths[0] is 9, but with 7 steps"),
        (
            metrics.Accuracy(),
            {"ys": np.zeros((B, V)), "targets": np.zeros(B, int), "lengths": np.ones(B, int)},
            ValueError,
            "lengths go with ys (T, B, V), not (5, 4)",
        ),
        (metrics.Recall(3), {}, ValueError, "ys has logits of 4 classes, not of 3"),
        (metrics.Perplexity(), {"ys": np.zeros((T, B, 1)), "targets": np.ones((T, B), int)}, ValueError, "id 1 at"),
        (metrics.R2(), {}, TypeError, "targets holds int64, not floating-point numbers"),
        (metrics.R2(), {"targets": np.zeros((T, B, 1))}, ValueError, "targets has shape (7, 5, 1), but ys (7, 5, 4)"),
        (metrics.R2(), {"ys": [1.0]}, TypeError, "ys is a list, not an array"),
    ],
)
def test_bad_batches(metric: Any, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"ys": np.zeros((T, B, V)), "targets": np.zeros((T, B), int), **arguments}
    with pytest.raises(error, match=re.escape(f"{metric!r}: {message}")):
        metric.update(given.pop("ys"), given.pop("targets"), **given)
    assert np.isnan(metric.value()).all()  # nothing was added
