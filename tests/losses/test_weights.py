"""Weights of steps, classes and positives, gaps, and what counted: the same in every loss."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import (
    BinaryCrossEntropy,
    GaussianNLL,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Quantile,
    SoftmaxCrossEntropy,
)
from tinygrad_rnn.testing import StrictDevice

T, B, D = 4, 3, 5
REDUCTIONS = ["mean", "sum", "none"]
NUMBERS: list[Any] = [MeanSquaredError, MeanAbsoluteError, Huber, BinaryCrossEntropy, Quantile, GaussianNLL]
every_loss = pytest.mark.parametrize("kind", [SoftmaxCrossEntropy, *NUMBERS])
every_loss_of_numbers = pytest.mark.parametrize("kind", NUMBERS)
every_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


def draw(kind: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    ys = rng.standard_normal((T, B, D * kind().outputs_per_target))
    return ys, rng.integers(0, D, (T, B)) if kind.takes_ids else rng.random((T, B, D))


def both(criterion: Loss, ys: Any, targets: Any, **given: Any) -> tuple[Any, Any, Any]:
    """The loss, the gradient by `ys`, and what counted."""
    loss, cache = criterion.forward(ys, targets, **given)
    return loss, criterion.backward(cache), criterion.count(cache)


def per_number(kind: Any) -> int:
    """How many numbers have the weight of a step."""
    return 1 if kind.takes_ids else D


@every_loss
@every_reduction
def test_a_step_of_weight_two_is_two_steps(kind: Any, reduction: str) -> None:
    """And one of weight 0 is none."""
    ys, targets = draw(kind)
    weights = np.random.default_rng(1).integers(0, 3, T)
    twice = np.repeat(np.arange(T), weights)
    loss, dys, counted = both(kind(reduction=reduction), ys, targets, weights=np.outer(weights, np.ones(B)))
    alone, dalone, count = both(kind(reduction=reduction), ys[twice], targets[twice])
    assert counted == count == weights.sum() * B * per_number(kind)
    expected = np.zeros_like(dys)
    np.add.at(expected, twice, dalone)
    np.testing.assert_allclose(dys, expected, rtol=1e-12)
    if reduction == "none":
        for t in range(T):
            np.testing.assert_allclose(loss[t], alone[twice == t].sum(axis=0), rtol=1e-12)
    else:
        np.testing.assert_allclose(loss, alone, rtol=1e-12)


@every_loss
@pytest.mark.parametrize("dtype", [bool, np.int64, "float32", "float64"])
def test_weights_may_be_a_mask_in_any_dtype(kind: Any, dtype: Any) -> None:
    ys, targets = draw(kind)
    mask = np.random.default_rng(1).random((T, B)) < 0.5
    expected = both(kind(reduction="sum"), ys[mask], targets[mask])
    loss, dys, counted = both(kind(reduction="sum"), ys, targets, weights=mask.astype(dtype))
    np.testing.assert_allclose(loss, expected[0], rtol=1e-12)
    np.testing.assert_array_equal(dys[mask], expected[1])
    assert not dys[~mask].any()
    assert counted == expected[2]
    found = both(kind(), ys.astype("f4"), targets if kind.takes_ids else targets.astype("f4"), weights=mask)
    assert {array.dtype for array in found} == {np.dtype("float32")}


@every_loss
@every_reduction
def test_ones_are_no_weights(kind: Any, reduction: str) -> None:
    ys, targets = draw(kind)
    lengths: Any = np.array([2, 0, 4])
    for given in ({}, {"lengths": lengths}):
        found = both(kind(reduction=reduction), ys, targets, weights=np.ones((T, B)), **given)
        for array, expected in zip(found, both(kind(reduction=reduction), ys, targets, **given), strict=True):
            np.testing.assert_allclose(array, expected, rtol=1e-12)


@every_loss
@every_reduction
def test_small_weights_make_no_small_mean(kind: Any, reduction: str) -> None:
    """The sum of weights may be below 1, which is no count."""
    ys, targets = draw(kind)
    weights = np.random.default_rng(1).random((T, B))
    large, small = (both(kind(reduction=reduction), ys, targets, weights=w) for w in (weights, 1e-3 * weights))
    factor = 1 if reduction == "mean" else 1e-3
    np.testing.assert_allclose(small[0], factor * large[0], rtol=1e-12)
    np.testing.assert_allclose(small[1], factor * large[1], rtol=1e-12)
    np.testing.assert_allclose(small[2], 1e-3 * large[2], rtol=1e-12)


@every_loss
@every_reduction
def test_where_all_weighs_nothing_loss_and_gradient_are_zero(kind: Any, reduction: str) -> None:
    ys, targets = draw(kind)
    for array in both(kind(reduction=reduction), np.full_like(ys, np.nan), targets, weights=np.zeros((T, B))):
        assert not array.any()


@every_loss
def test_means_of_batches_are_joined_by_what_counted(kind: Any) -> None:
    ys, targets = draw(kind)
    weights, lengths = np.random.default_rng(1).random((T, B)), np.array([2, 0, 4])
    parts = [both(kind(), ys[:, k], targets[:, k], weights=weights[:, k], lengths=lengths[k]) for k in ([0, 1], [2])]
    total = sum(count for _, _, count in parts)
    loss, _, counted = both(kind(), ys, targets, weights=weights, lengths=lengths)
    assert sum(count * mean for mean, _, count in parts) / total == pytest.approx(loss, rel=1e-12)
    assert counted == pytest.approx(total, rel=1e-12)


@every_loss
@every_reduction
@pytest.mark.parametrize("lengths", [None, np.array([2, 0, 4])], ids=["whole", "lengths"])
def test_count_is_that_of_the_mean_for_every_reduction(kind: Any, reduction: str, lengths: Any) -> None:
    ys, targets = draw(kind)
    criterion = kind(reduction=reduction)
    _, cache = criterion.forward(ys, targets, lengths=lengths)
    counted = criterion.count(cache)
    assert isinstance(counted, np.ndarray)
    assert counted.shape == ()
    assert counted.dtype == ys.dtype
    assert counted == (T * B if lengths is None else lengths.sum()) * per_number(kind)


@every_loss_of_numbers
@every_reduction
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lengths", [None, np.array([2, 0, 4])], ids=["whole", "lengths"])
def test_gaps_are_left_out_number_by_number(kind: Any, reduction: str, weighted: bool, lengths: Any) -> None:
    """As if each number were a row of its own."""
    ys, targets = draw(kind)
    rng = np.random.default_rng(1)
    gaps = rng.random(targets.shape) < 0.4
    weights = rng.integers(0, 3, (T, B)).astype(float) if weighted else np.ones((T, B))
    targets = np.where(gaps, np.nan, targets)
    ys[np.tile(gaps, kind().outputs_per_target)] = np.nan
    given: Any = {"lengths": lengths} | ({"weights": weights} if weighted else {})
    criterion = kind(reduction=reduction, missing="nan")
    loss, dys, counted = both(criterion, ys, targets, **given)
    active = np.arange(T)[:, None] < (T if lengths is None else lengths) * np.ones(B)
    here = ~gaps & (active & (weights > 0))[..., None]
    apart, dapart = (np.moveaxis(array.reshape(T, B, -1, D), 2, -1) for array in (ys, dys))
    alone, dalone, count = both(
        kind(reduction=reduction),
        apart[here],
        targets[here][:, None],
        weights=np.broadcast_to(weights[..., None], here.shape)[here],
    )
    if reduction == "none":
        loss, alone = loss[here], alone[:, 0]
    np.testing.assert_allclose(loss, alone, rtol=1e-12)
    np.testing.assert_allclose(dapart[here], dalone, rtol=1e-12)
    assert not dapart[~here].any()
    assert counted == pytest.approx(count, rel=1e-12)


@every_loss_of_numbers
def test_a_gap_that_was_not_asked_for_is_seen(kind: Any) -> None:
    ys, targets = draw(kind)
    targets[1, 2, 3] = np.nan
    if kind is BinaryCrossEntropy:
        with pytest.raises(ValueError, match=r"targets is nan at index \(1, 2, 3\)"):
            kind()(ys, targets)
        return
    loss, dys, _ = both(kind(), ys, targets)
    assert np.isnan(loss)
    assert np.isnan(dys).sum() == kind().outputs_per_target


class Own(Loss):
    """Of a user, from before there were weights."""

    def forward(self, ys: Any, targets: Any, *, lengths: Any = None) -> tuple[Any, Any]:  # type: ignore[override]
        return ((ys - targets) ** 2).sum(), ys - targets

    def backward(self, cache: Any, dloss: Any = None) -> Any:
        return 2 * cache if dloss is None else 2 * cache * dloss


def test_a_loss_of_ones_own_needs_no_weights() -> None:
    assert Own()(np.ones(3), np.zeros(3)) == 3
    with pytest.raises(TypeError, match="weights"):
        Own()(np.ones(3), np.zeros(3), weights=np.ones(()))
    with pytest.raises(
        TypeError, match=r"^Own\(\): cache must be what forward gave, with .* the field `counted`, not a"
    ):
        Own().count(Own().forward(np.ones(3), np.zeros(3))[1])


@pytest.mark.parametrize("ids", [True, False], ids=["ids", "soft"])
@every_reduction
def test_a_class_of_weight_two_counts_twice(reduction: str, ids: bool) -> None:
    ys, targets = draw(SoftmaxCrossEntropy)
    of_class: Any = np.array([1.0, 0.0, 2.0, 0.5, 3.0])
    given = targets if ids else np.eye(D)[targets]
    loss, dys, counted = both(SoftmaxCrossEntropy(reduction=reduction, class_weights=of_class), ys, given)
    assert counted == (of_class[targets].sum() if ids else T * B)
    plain = SoftmaxCrossEntropy(reduction="sum" if reduction == "mean" else reduction)
    expected, dexpected, _ = both(plain, ys, targets, weights=of_class[targets])
    factor = counted if reduction == "mean" else 1
    np.testing.assert_allclose(loss, expected / factor, rtol=1e-12)
    np.testing.assert_allclose(dys, dexpected / factor, rtol=1e-12, atol=1e-16)


def test_what_is_no_class_of_weight_may_be_nan() -> None:
    ys, targets = draw(SoftmaxCrossEntropy)
    ys[targets == 1] = np.nan
    loss, dys, _ = both(SoftmaxCrossEntropy(class_weights=[1, 0, 1, 1, 1]), ys, targets)
    assert np.isfinite(loss)
    assert not dys[targets == 1].any()


@every_reduction
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_soft_targets_of_one_class_are_its_id(reduction: str, smoothing: float) -> None:
    ys, targets = draw(SoftmaxCrossEntropy)
    criterion = SoftmaxCrossEntropy(reduction=reduction, label_smoothing=smoothing)
    lengths: Any = np.array([2, 0, 4])
    for found, expected in zip(
        both(criterion, ys, np.eye(D)[targets], lengths=lengths),
        both(criterion, ys, targets, lengths=lengths),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-16)


def test_soft_targets_that_are_the_prediction_leave_their_entropy() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(D), (T, B))
    loss, dys, _ = both(SoftmaxCrossEntropy(), np.log(p) + 3, p)
    assert loss == pytest.approx(-(p * np.log(p)).sum(axis=-1).mean(), rel=1e-12)
    np.testing.assert_allclose(dys, 0, atol=1e-16)


def test_a_class_that_is_ruled_out_and_not_wanted_costs_nothing() -> None:
    ys, q = np.array([[0.0, 0.0, -np.inf]]), np.array([[0.25, 0.75, 0.0]])
    with np.errstate(all="raise"):
        loss, dys, _ = both(SoftmaxCrossEntropy(), ys, q)
    assert loss == pytest.approx(np.log(2), rel=1e-15)
    np.testing.assert_array_equal(dys, [[0.25, -0.25, 0.0]])


def test_constants_move_with_the_loss_and_stay_arguments() -> None:
    ys, targets = draw(SoftmaxCrossEntropy)
    strict: Any = StrictDevice()
    losses: list[tuple[Loss, str, Any]] = [
        (SoftmaxCrossEntropy(class_weights=np.arange(5.0)), "class_weights", targets),
        (BinaryCrossEntropy(pos_weight=[*range(5)]), "pos_weight", np.eye(D)[targets]),
    ]
    for criterion, name, wanted in losses:
        expected = both(criterion, ys, wanted)
        assert criterion.config()[name] == (0.0, 1.0, 2.0, 3.0, 4.0)
        there = strict.asarray(ys), strict.asarray(wanted)
        with pytest.raises(TypeError, match=rf"{name} is on cpu, but ys on strict.* criterion\.to\('strict'\)"):
            criterion(*there)
        criterion.to(strict)
        for found, array in zip(both(criterion, *there), expected, strict=True):
            np.testing.assert_allclose(strict.to_host(found), array, rtol=1e-15)
        assert both(type(criterion)(**criterion.config()), ys, wanted)[0] == expected[0]


@pytest.mark.messages
@every_loss
def test_weights_that_do_not_fit_are_told_why(kind: Any) -> None:
    ys, targets = draw(kind)
    weights = np.ones((T, B))
    below, nan = weights.copy(), weights.copy()
    below[2, 1], nan[2, 1] = -1, np.nan
    cases: list[tuple[Any, type[Exception], str]] = [
        (
            weights.T,
            ValueError,
            rf"weights has shape \(3, 4\), but ys \(4, 3, {ys.shape[-1]}\); expected \(4, 3\), one we",
        ),
        (weights[..., None], ValueError, r"weights has shape \(4, 3, 1\), but ys"),
        (below, ValueError, r"weights is -1\.0 at index \(2, 1\), but must be finite and at least 0"),
        (nan, ValueError, r"weights is nan at index \(2, 1\), but must be finite and at least 0"),
        (np.inf * weights, ValueError, r"weights is inf at index \(0, 0\), but must be finite and at least 0"),
        (weights.tolist(), TypeError, "weights must be an array of numbers or bools, not a list"),
        (1j * weights, TypeError, "weights must be floats, integers or bools, not complex128"),
        (StrictDevice().asarray(weights), TypeError, "weights is on strict, but the parameters are on cpu"),
    ]
    for given, error, message in cases:
        with pytest.raises(error, match=f"^{re.escape(repr(kind()))}: {message}"):
            kind()(ys, targets, weights=given)


@pytest.mark.messages
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: SoftmaxCrossEntropy(class_weights=[1, -1]),
            ValueError,
            r"class_weights\[1\] must be at least 0, not -1",
        ),
        (lambda: SoftmaxCrossEntropy(class_weights=[]), ValueError, "class_weights must hold at least one number"),
        (
            lambda: SoftmaxCrossEntropy(class_weights=[np.inf]),
            ValueError,
            r"class_weights\[0\] must be finite, not inf",
        ),
        (
            lambda: SoftmaxCrossEntropy(class_weights=np.ones((2, 2))),
            TypeError,
            "class_weights must be a list, a tuple or",
        ),
        (lambda: BinaryCrossEntropy(pos_weight=-1.0), ValueError, r"pos_weight\[0\] must be at least 0, not -1\.0"),
        (lambda: BinaryCrossEntropy(missing="NaN"), ValueError, "missing must be None or \"nan\", not 'NaN'"),
        (lambda: Huber(0), ValueError, r"delta must be above 0, not 0\.0"),
        (
            lambda: Quantile((0.5, 0.5)),
            ValueError,
            r"quantiles must be between 0 and 1, each above the one before, not \(",
        ),
        (lambda: Quantile((0.0, 0.5)), ValueError, "quantiles must be between 0 and 1, each above the one before"),
        (lambda: GaussianNLL(least_variance=0), ValueError, r"least_variance must be finite and above 0, not 0\.0"),
    ],
)
def test_options_that_do_not_fit_are_told_why(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^\w+: {message}"):
        make()


@pytest.mark.messages
def test_constants_of_another_size_are_told_why() -> None:
    ys, targets = draw(SoftmaxCrossEntropy)
    with pytest.raises(ValueError, match=r"^SoftmaxCrossEntropy\(.*\): class_weights has 2 entries, but ys 5 classes"):
        SoftmaxCrossEntropy(class_weights=[1, 2])(ys, targets)
    with pytest.raises(
        ValueError, match=r"^BinaryCrossEntropy\(.*\): pos_weight has 2 entries, but ys has shape \(4, 3, 5"
    ):
        BinaryCrossEntropy(pos_weight=[1, 2])(ys, np.eye(D)[targets])
    with pytest.raises(
        ValueError, match=r"targets has shape \(4, 3, 5\), but ys \(4, 3, 5\); expected ys \(\.\.\., 2 D\) for"
    ):
        GaussianNLL()(ys, np.eye(D)[targets])
