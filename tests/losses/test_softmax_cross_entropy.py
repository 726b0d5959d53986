from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import SoftmaxCrossEntropy
from tinygrad_rnn.kernels import backends, threads
from tinygrad_rnn.kernels.compiled import softmax_cross_entropy as compiled_kernel
from tinygrad_rnn.kernels.compiled.backend import COMPILED

REDUCTIONS = ["mean", "sum", "none"]
T, B, V = 4, 3, 5


@pytest.fixture(autouse=True, params=[False, True], ids=["", "compiled"])
def _compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_compiled", COMPILED if request.param else None)


def draw() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))


def both(ys: Any, targets: Any, *, lengths: Any = None, **options: Any) -> tuple[Any, Any]:
    """The loss and the gradient by `ys`."""
    criterion = SoftmaxCrossEntropy(**options)
    loss, cache = criterion.forward(ys, targets, lengths=lengths)
    return loss, criterion.backward(cache)


def one(scores: list[float], target: int, dtype: str = "float32") -> tuple[Any, Any]:
    ys: Any = np.array([scores], dtype)
    targets: Any = np.array([target])
    return both(ys, targets)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "reduction": "none"}])
def test_blocks_of_rows_are_the_same(options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, whatever their size, in any number of threads."""
    ys, targets = draw()
    expected = both(ys, targets, **options)
    monkeypatch.setattr(threads, "BLOCK", 2 * V)
    monkeypatch.setattr(compiled_kernel, "WORTH", 2 * V)
    for count in (1, 2):
        monkeypatch.setattr(threads, "_count", count)
        for found, whole in zip(both(ys, targets, **options), expected, strict=True):
            np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "reduction": "sum"}])
def test_it_is_the_definition(dtype: str, options: Any, rng: np.random.Generator) -> None:
    """As written for one row after another, in any layout."""
    scores = np.asfortranarray(3 * rng.standard_normal((70, 2 * 37)).astype(dtype))[:, ::2]
    targets, smoothing = rng.integers(-1, 37, 70), options.get("label_smoothing", 0)
    losses, slopes = [], np.zeros(scores.shape)
    for slope, y, target in zip(slopes, scores.astype(float), targets, strict=True):
        if target >= 0:
            p, q = np.exp(y) / np.exp(y).sum(), (1 - smoothing) * (np.arange(37) == target) + smoothing / 37
            losses.append(-(q * np.log(p)).sum())
            slope[...] = p - q
    scale = len(losses) if options.get("reduction", "mean") == "mean" else 1
    loss, dys = both(scores, targets, **options)
    assert loss.dtype == dys.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(loss, sum(losses) / scale, rtol=20 * eps)
    np.testing.assert_allclose(dys, slopes / scale, rtol=0, atol=20 * eps / scale)


@pytest.mark.parametrize("size", [1, 2, 65, 100_000])
def test_the_loss_of_equal_scores_is_ln_v(size: int) -> None:
    for score in (0.0, 7.0, -800.0):
        assert both(np.full((2, 3, size), score), np.zeros((2, 3), int))[0] == pytest.approx(math.log(size), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [800.0, 1e30])
def test_huge_scores_give_no_nan(size: float, dtype: str) -> None:
    for scores, target, loss, dys in (
        ([size, -size], 0, 0, [0, 0]),
        ([size, -size], 1, 2 * size, [1, -1]),
        ([-size, -size], 1, math.log(2), [0.5, -0.5]),
        ([size, 0.0], 1, size, [1, -1]),
    ):
        found, gradient = one(scores, target, dtype)
        assert found.dtype == gradient.dtype == dtype
        np.testing.assert_allclose(found, loss, rtol=1e-6)
        np.testing.assert_array_equal(gradient, [dys])


def test_a_known_loss_and_gradient() -> None:
    loss, dys = one([math.log(1), math.log(2), math.log(5)], 1, "float64")
    assert loss == pytest.approx(math.log(4), rel=1e-15)
    np.testing.assert_allclose(dys, [[1 / 8, 2 / 8 - 1, 5 / 8]], rtol=1e-15)


def test_label_smoothing_of_a_known_loss() -> None:
    ys, targets = np.log([[1.0, 3.0]]), np.array([1])
    loss, dys = both(ys, targets, label_smoothing=0.2)
    assert loss == pytest.approx(-0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4), rel=1e-15)
    np.testing.assert_allclose(dys, [[1 / 4 - 0.1, 3 / 4 - 0.9]], rtol=1e-14)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(T, B), (0, B), (T, 0)])
def test_where_nothing_counts_loss_and_gradient_are_zero(reduction: str, shape: tuple[int, int]) -> None:
    targets: Any = np.full(shape, -1)
    loss, dys = both(np.ones((*shape, V)), targets, reduction=reduction)
    assert dys.shape == (*shape, V)
    assert not dys.any()
    assert not np.any(loss)
    assert loss.shape == (shape if reduction == "none" else ())


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_lengths_do_what_targets_of_minus_one_do(reduction: str) -> None:
    ys, targets = draw()
    lengths: Any = np.array([2, 0, 4])
    cut = np.where(np.arange(T)[:, None] < lengths, targets, -1)
    for found, expected in zip(
        both(ys, targets, reduction=reduction, lengths=lengths), both(ys, cut, reduction=reduction), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_padded_targets_train_nothing() -> None:
    ys, targets = draw()
    targets[2:] = -1
    loss, dys = both(ys, targets)
    assert loss == pytest.approx(both(ys[:2], targets[:2])[0], rel=1e-14)
    assert not dys[2:].any()
    np.testing.assert_array_equal(dys[:2], both(ys[:2], targets[:2])[1])


@pytest.mark.parametrize(
    "how",
    [
        "lengths",
        "targets",
    ],
)
def test_scores_that_do_not_count_may_be_nan(how: str) -> None:
    ys, targets = draw()
    lengths: Any = np.array([3, 3, 3])
    expected = both(ys, targets, lengths=lengths)
    ys[3] = np.nan
    if how == "targets":
        targets[3] = -1
        lengths = None
    for found, array in zip(both(ys, targets, lengths=lengths), expected, strict=True):
        np.testing.assert_array_equal(found, array)


def test_ignore_index_may_be_any_id() -> None:
    ys, targets = draw()
    targets[0] = 2
    loss, dys = both(ys, targets, ignore_index=2)
    masked = np.where(targets == 2, -1, targets)
    assert loss == both(ys, masked)[0]
    np.testing.assert_array_equal(dys, both(ys, masked)[1])


def test_mean_sum_and_none_scale_the_gradient_as_the_loss() -> None:
    ys, targets = draw()
    targets[1, 1] = targets[3, 0] = -1
    (mean, dmean), (total, dtotal), (each, deach) = (both(ys, targets, reduction=r) for r in REDUCTIONS)
    assert each.shape == (T, B)
    assert total == pytest.approx(each.sum(), rel=1e-14)
    assert mean == pytest.approx(total / 10, rel=1e-14)
    np.testing.assert_allclose(dmean, dtotal / 10, rtol=1e-14)
    np.testing.assert_allclose(dtotal, deach, rtol=1e-14)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weights_are_factors_in_compiled_code_too(reduction: str, smoothing: float, rng: np.random.Generator) -> None:
    ys, targets = draw()
    weights, of_class = rng.random((T, B)), rng.random(V)
    weights[1, 2], ys[1, 2], targets[0, 1] = 0, np.nan, -1
    options: Any = {"label_smoothing": smoothing, "class_weights": of_class}
    criterion = SoftmaxCrossEntropy(reduction=reduction, **options)
    loss, cache = criterion.forward(ys, targets, weights=weights)
    losses, slopes = np.zeros((T, B)), np.zeros((T, B, V))
    for t, b in np.argwhere((weights > 0) & (targets >= 0)):
        log_p = ys[t, b] - np.log(np.exp(ys[t, b]).sum())
        q = of_class * ((1 - smoothing) * np.eye(V)[targets[t, b]] + smoothing / V)
        losses[t, b], slopes[t, b] = -weights[t, b] * q @ log_p, weights[t, b] * (q.sum() * np.exp(log_p) - q)
    total = (weights * of_class[targets])[targets >= 0].sum() if reduction == "mean" else 1
    np.testing.assert_allclose(loss, losses if reduction == "none" else losses.sum() / total, rtol=1e-12)
    np.testing.assert_allclose(criterion.backward(cache), slopes / total, rtol=0, atol=1e-14)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_dloss_scales_the_gradient(reduction: str, rng: np.random.Generator) -> None:
    ys, targets = draw()
    criterion = SoftmaxCrossEntropy(reduction=reduction)
    loss, cache = criterion.forward(ys, targets)
    dloss = rng.standard_normal(loss.shape)
    scale = dloss[..., None] if reduction == "none" else dloss
    np.testing.assert_allclose(criterion.backward(cache, dloss), criterion.backward(cache) * scale, rtol=1e-12)


@pytest.mark.parametrize(
    "dloss", [np.float64(2), np.array(2.0), np.full((T, B), 2.0)], ids=["number", "no axes", "array"]
)
def test_the_gradient_has_the_dtype_of_the_scores(dloss: Any) -> None:
    ys, targets = draw()
    criterion = SoftmaxCrossEntropy(reduction="none")
    _, cache = criterion.forward(ys.astype("float32"), targets)
    dys = criterion.backward(cache, dloss)
    assert dys.dtype == "float32"
    np.testing.assert_allclose(dys, 2 * both(ys, targets, reduction="none")[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("offset", [0, 1e4, -2e38])
def test_the_loss_of_scores_far_from_zero_is_the_same(offset: float) -> None:
    scores = np.arange(8, dtype="float32") * (1 if abs(offset) < 1e5 else 0)
    found, _ = both(scores[None] + np.float32(offset), np.array([2]), label_smoothing=0.1)
    expected, _ = both(scores[None].astype(float), np.array([2]), label_smoothing=0.1)
    assert found == pytest.approx(expected, rel=1e-6)


def test_backward_gives_a_fresh_array_each_time() -> None:
    ys, targets = draw()
    criterion = SoftmaxCrossEntropy()
    _, cache = criterion.forward(ys, targets)
    first = criterion.backward(cache)
    kept = first.copy()
    first.fill(9)
    np.testing.assert_array_equal(criterion.backward(cache), kept)


def test_each_gradient_row_sums_to_zero() -> None:
    ys, targets = draw()
    np.testing.assert_allclose(both(ys, targets, label_smoothing=0.3)[1].sum(axis=-1), 0, atol=1e-15)


def test_the_perplexity_of_a_uniform_model_is_v() -> None:
    _, targets = draw()
    assert math.exp(both(np.zeros((T, B, V)), targets)[0]) == pytest.approx(V, rel=1e-14)


def test_the_loss_takes_any_leading_axes_and_integer_dtype() -> None:
    ys, targets = draw()
    expected = both(ys, targets)[0]
    assert both(ys.reshape(-1, V), targets.reshape(-1).astype(np.int8))[0] == pytest.approx(expected, rel=1e-14)
    wanted: Any = np.array(3)
    assert both(ys[0, 0], wanted)[1].shape == (V,)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "avg"}, 'reduction must be "mean", "sum" or "none", not \'avg\''),
        ({"label_smoothing": 1.0}, r"label_smoothing must be 0 to below 1, not 1\.0"),
        ({"label_smoothing": -0.1}, r"label_smoothing must be 0 to below 1, not -0\.1"),
        ({"label_smoothing": math.nan}, "label_smoothing must be 0 to below 1, not nan"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^SoftmaxCrossEntropy: {message}$"):
        SoftmaxCrossEntropy(**options)


@pytest.mark.messages
def test_what_does_not_fit_is_told_why() -> None:
    ys, targets = draw()
    name, outside = r"SoftmaxCrossEntropy\(reduction='sum'\): ", targets.copy()
    outside[3, 1] = V
    cases: list[tuple[Any, Any, type[Exception], str]] = [
        (ys, targets.T, ValueError, r"targets has shape \(3, 4\), but ys \(4, 3, 5\); expected \(4, 3\)"),
        (ys, targets.astype(float), TypeError, "targets must be an integer array, not float64"),
        (ys, np.eye(V + 1)[targets], ValueError, r"soft targets have shape \(4, 3, 6\), but ys \(4, 3, 5\)"),
        (
            ys,
            np.eye(V, dtype="f4")[targets],
            TypeError,
            r"targets is float32, but ys float64\. Convert it, targets\.as",
        ),
        (ys, 0.5 * np.eye(V)[targets], ValueError, r"targets at index \(0, 0\) sums to 0\.5, but a distribution sums"),
        (ys, 2 * np.eye(V)[targets], ValueError, r"targets is 2\.0 at index \(0, 0, \d\), but must be 0 to 1"),
        (ys, targets.tolist(), TypeError, "targets must be an integer array, not a list"),
        (ys, outside, ValueError, r"id 5 at index \(3, 1\) is outside the vocabulary, 0 to 4"),
        (ys, np.where(targets == 1, -2, targets), ValueError, r"id -2 at index \(\d, \d\) is outside the vocabulary"),
        (ys.astype(int), targets, TypeError, "ys holds int64, not floating-point numbers"),
        (ys.tolist(), targets, TypeError, "ys is a list, not an array"),
    ]
    for scores, wanted, error, message in cases:
        with pytest.raises(error, match=name + message):
            both(scores, wanted, reduction="sum")


@pytest.mark.messages
def test_lengths_without_a_batch_are_refused() -> None:
    ys, targets = draw()
    with pytest.raises(ValueError, match=r"lengths go with ys \(T, B, V\), not \(4, 5\)"):
        both(ys[:, 0], targets[:, 0], lengths=np.array([4]))
