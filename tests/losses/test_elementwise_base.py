"""What losses with one prediction for each target share."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import BinaryCrossEntropy, Huber, MeanAbsoluteError, MeanSquaredError
from tinygrad_rnn.testing import StrictDevice

REDUCTIONS = ["mean", "sum", "none"]
T, B, D = 4, 3, 5
LENGTHS: Any = np.array([2, 0, 4])
PAST = np.arange(T)[:, None] >= LENGTHS
every_loss = pytest.mark.parametrize("kind", [MeanSquaredError, MeanAbsoluteError, Huber, BinaryCrossEntropy])
every_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


def draw(dtype: str = "float64") -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((T, B, D)).astype(dtype), rng.random((T, B, D)).astype(dtype)


def both(kind: Any, ys: Any, targets: Any, *, lengths: Any = None, **options: Any) -> tuple[Any, Any]:
    """The loss and the gradient by `ys`."""
    criterion = kind(**options)
    loss, cache = criterion.forward(ys, targets, lengths=lengths)
    return loss, criterion.backward(cache)


@every_loss
def test_mean_sum_and_none_scale_the_gradient_as_the_loss(kind: Any) -> None:
    ys, targets = draw()
    for lengths, count in ((None, T * B * D), (LENGTHS, 6 * D)):
        results = [both(kind, ys, targets, lengths=lengths, reduction=r) for r in REDUCTIONS]
        (mean, dmean), (total, dtotal), (each, deach) = results
        assert each.shape == (T, B, D)
        assert mean.shape == total.shape == ()
        assert isinstance(mean, np.ndarray)  # no number of NumPy's, which lies on no device
        assert total == pytest.approx(each.sum(), rel=1e-14)
        assert mean == pytest.approx(total / count, rel=1e-14)
        np.testing.assert_allclose(dmean, dtotal / count, rtol=1e-14)
        np.testing.assert_array_equal(dtotal, deach)


@every_loss
@every_reduction
def test_padding_may_hold_anything(kind: Any, reduction: str) -> None:
    """NaN, or targets out of range, in values and in the gradient from above: to the bit."""
    ys, targets = draw()
    criterion = kind(reduction=reduction)
    expected, cache = criterion.forward(ys, targets, lengths=LENGTHS)
    dloss = np.random.default_rng(1).standard_normal(expected.shape)
    gradient = criterion.backward(cache, dloss)
    for fill in (np.nan, np.inf, -1e300):
        ys[PAST] = targets[PAST] = fill
        if reduction == "none":
            dloss[PAST] = fill
        loss, cache = criterion.forward(ys, targets, lengths=LENGTHS)
        np.testing.assert_array_equal(loss, expected)
        np.testing.assert_array_equal(criterion.backward(cache, dloss), gradient)
    assert not gradient[PAST].any()
    assert gradient[~PAST].all()
    if reduction == "none":
        assert not expected[PAST].any()


@every_loss
@every_reduction
def test_a_batch_with_lengths_is_its_steps_alone(kind: Any, reduction: str) -> None:
    ys, targets = draw()
    loss, dys = both(kind, ys, targets, lengths=LENGTHS, reduction=reduction)
    alone, dalone = both(kind, ys[~PAST], targets[~PAST], reduction=reduction)
    np.testing.assert_allclose(loss[~PAST] if reduction == "none" else loss, alone, rtol=1e-14)
    np.testing.assert_allclose(dys[~PAST], dalone, rtol=1e-14)


@every_loss
@every_reduction
def test_where_nothing_counts_loss_and_gradient_are_zero(kind: Any, reduction: str) -> None:
    for shape, lengths in (((T, B, D), [0] * B), ((0, B, D), None), ((T, 0, D), []), ((T, B, 0), [T] * B)):
        given: Any = None if lengths is None else np.array(lengths, int)
        loss, dys = both(kind, np.ones(shape), np.ones(shape), lengths=given, reduction=reduction)
        assert dys.shape == shape
        assert not dys.any()
        assert not np.any(loss)
        assert loss.shape == (shape if reduction == "none" else ())


@every_loss
@every_reduction
def test_dloss_scales_the_gradient(kind: Any, reduction: str, rng: np.random.Generator) -> None:
    criterion = kind(reduction=reduction)
    loss, cache = criterion.forward(*draw())
    dloss = rng.standard_normal(loss.shape)
    np.testing.assert_allclose(criterion.backward(cache, dloss), criterion.backward(cache) * dloss, rtol=1e-14)


@every_loss
@every_reduction
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_float32_stays_float32(kind: Any, reduction: str, lengths: Any) -> None:
    loss, dys = both(kind, *draw("float32"), lengths=lengths, reduction=reduction)
    assert loss.dtype == dys.dtype == np.float32


@every_loss
def test_any_leading_axes_will_do_without_lengths(kind: Any) -> None:
    ys, targets = draw()
    loss, dys = both(kind, ys, targets)
    flat_loss, flat_dys = both(kind, ys.ravel(), targets.ravel())
    assert flat_loss == pytest.approx(loss, rel=1e-14)
    np.testing.assert_array_equal(flat_dys, dys.ravel())


@pytest.mark.messages
@every_loss
def test_what_does_not_fit_is_told_why(kind: Any) -> None:
    ys, targets = draw()
    name, strict = f"^{re.escape(repr(kind(reduction='sum')))}: ", StrictDevice()
    shape, other = r"\(4, 3, 5\)", targets[..., :1]
    cases: list[tuple[Any, Any, type[Exception], str]] = [
        (ys, other, ValueError, rf"targets has shape \(4, 3, 1\), but ys {shape}; they must be the same"),
        (ys, targets.astype("float32"), TypeError, r"targets is float32, but ys float64\. Convert it, targets\.astype"),
        (ys, targets > 0.5, TypeError, "targets holds bool, not floating-point numbers"),
        (ys, targets.tolist(), TypeError, "targets is a list, not an array"),
        (ys, strict.asarray(targets), TypeError, "targets is on strict, but the parameters are on cpu"),
        (ys.astype(int), targets, TypeError, "ys holds int64, not floating-point numbers"),
        (ys[0, 0, 0], targets[0, 0, 0], ValueError, r"ys has shape \(\), but its last axis must have size at least 1"),
    ]
    for predictions, wanted, error, message in cases:
        with pytest.raises(error, match=name + message):
            both(kind, predictions, wanted, reduction="sum")


@pytest.mark.messages
@every_loss
def test_lengths_that_do_not_fit_are_refused(kind: Any) -> None:
    ys, targets = draw()
    with pytest.raises(ValueError, match=r"lengths go with ys \(T, B, V\), not \(3, 5\)"):
        both(kind, ys[0], targets[0], lengths=LENGTHS)
    with pytest.raises(ValueError, match=r"lengths\[2\] is 5, but with 4 steps it must be 0 to 4"):
        both(kind, ys, targets, lengths=np.array([0, 4, 5]))
    with pytest.raises(ValueError, match=r"lengths has shape \(2,\), expected \(3,\)"):
        both(kind, ys, targets, lengths=np.array([0, 4]))


@pytest.mark.messages
@every_loss
def test_other_reductions_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match=f'^{kind.__name__}: reduction must be "mean", "sum" or "none", not \'avg\'$'):
        kind(reduction="avg")
