"""`Quantile` and `GaussianNLL`: known values, their distributions, and numbers far from 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import GaussianNLL, Loss, Quantile
from tinygrad_rnn.testing import StrictDevice

T, B, D = 4, 3, 5


def one(criterion: Loss, *ys: float, target: float) -> tuple[float, list[float]]:
    """The loss and the slopes of one target."""
    predictions: Any = np.array([ys])
    targets: Any = np.array([[target]])
    loss, cache = criterion.forward(predictions, targets)
    return float(loss), criterion.backward(cache)[0].tolist()


def test_quantiles_of_a_known_loss() -> None:
    criterion = Quantile((0.2, 0.9))
    loss, slopes = one(criterion, 1.0, 4.0, target=2.0)
    assert loss == pytest.approx((0.2 * 1 + 0.1 * 2) / 2, rel=1e-15)
    assert slopes == pytest.approx([-0.2 / 2, 0.1 / 2], rel=1e-14)
    assert one(criterion, 2.0, 2.0, target=2.0)[1] == pytest.approx([0.3 / 2, -0.4 / 2], rel=1e-14)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_best_constant_is_the_quantile(q: float) -> None:
    targets = np.random.default_rng(0).standard_normal((999, 1))
    best = np.quantile(targets, q)
    criterion = Quantile((q,))
    losses = [float(criterion(np.full_like(targets, y), targets)) for y in (best - 0.1, best, best + 0.1)]
    assert losses[1] == min(losses)


def test_the_columns_of_quantiles_are_those_of_each_target() -> None:
    ys, targets = np.random.default_rng(0).standard_normal((2, T, B, 3 * D)), np.zeros((T, B, D))
    each = Quantile(reduction="none")(ys[0], targets)
    for d in range(D):
        alone = Quantile(reduction="none")(ys[0][..., d::D], targets[..., d : d + 1])
        np.testing.assert_allclose(each[..., d], alone[..., 0], rtol=1e-14)


def test_a_normal_density_of_a_known_loss() -> None:
    loss, (dmean, ds) = one(GaussianNLL(least_variance=0.5), 3.0, math.log(1.5), target=2.0)
    assert loss == pytest.approx(-math.log(math.exp(-1 / 4) / math.sqrt(4 * math.pi)), rel=1e-14)
    assert dmean == pytest.approx(1 / 2, rel=1e-14)
    assert ds == pytest.approx(0.5 * (1.5 / 2) * (1 - 1 / 2), rel=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_variances_far_from_zero_give_no_nan(dtype: str) -> None:
    ys: Any = np.array([[[1.0, 0.0, 1.0, 1e4, -1e4, -1e4]]], dtype)
    targets: Any = np.zeros((1, 1, 3), dtype)
    criterion = GaussianNLL(reduction="none")
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, cache = criterion.forward(ys, targets)
        dys = criterion.backward(cache)
    expected = 0.5 * (np.array([1e4, math.log(1e-6), 1e6 + math.log(1e-6)]) + math.log(2 * math.pi))
    np.testing.assert_allclose(loss[0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(dys[0, 0], [0, 0, 1e6, 0.5, 0, 0], rtol=1e-5)


def test_the_best_log_variance_is_that_of_the_errors() -> None:
    targets = 3 * np.random.default_rng(0).standard_normal((999, 1))
    ys = np.full((999, 2), [targets.mean(), math.log(targets.var())])
    criterion = GaussianNLL(least_variance=1e-12)
    _, cache = criterion.forward(ys, targets)
    np.testing.assert_allclose(criterion.backward(cache).sum(axis=0), 0, atol=1e-10)


@pytest.mark.parametrize("criterion", [GaussianNLL(), Quantile(), Quantile((0.3,))], ids=repr)
def test_samples_have_the_mean(criterion: Any) -> None:
    rng = np.random.default_rng(0)
    ys = rng.standard_normal((T, B, criterion.outputs_per_target * D))
    mean = criterion.mean(ys)
    assert mean.shape == (T, B, D)
    samples = np.array([criterion.sample(ys, rng) for _ in range(4000)])
    assert samples.shape == (4000, T, B, D)
    error = np.sqrt(samples.var(axis=0) / 4000)
    assert (abs(samples.mean(axis=0) - mean) <= 5 * error + 1e-12).all()
    np.testing.assert_array_equal(
        criterion.sample(ys, np.random.default_rng(1)), criterion.sample(ys, np.random.default_rng(1))
    )
    single = ys.astype("float32")
    assert criterion.mean(single).dtype == criterion.sample(single, rng).dtype == np.float32


def test_samples_have_the_variance_or_the_quantiles() -> None:
    rng = np.random.default_rng(0)
    ys: Any = np.tile([1.0, math.log(4.0)], (20_000, 1))
    samples = GaussianNLL().sample(ys, rng)
    assert samples.std() == pytest.approx(2, rel=0.02)
    ys = np.tile([5.0, -1.0, 2.0], (20_000, 1))  # they cross
    samples = Quantile().sample(ys, rng)
    assert np.quantile(samples, [0.3, 0.5, 0.7]) == pytest.approx([0.5, 2.0, 3.5], abs=0.1)
    assert (samples.min(), samples.max()) == (-1, 5)
    assert (samples == -1).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("criterion", [GaussianNLL(), Quantile()], ids=repr)
def test_a_device_samples_the_same(criterion: Any) -> None:
    strict: Any = StrictDevice()
    ys = np.random.default_rng(0).standard_normal((T, B, criterion.outputs_per_target * D))
    there = strict.asarray(ys)
    np.testing.assert_array_equal(strict.to_host(criterion.mean(there)), criterion.mean(ys))
    found = strict.to_host(criterion.sample(there, np.random.default_rng(1)))
    np.testing.assert_array_equal(found, criterion.sample(ys, np.random.default_rng(1)))


@pytest.mark.messages
def test_what_does_not_fit_is_told_why() -> None:
    for criterion, K in ((GaussianNLL(), 2), (Quantile(), 3)):
        with pytest.raises(
            ValueError, match=rf"ys has shape \(4, 7\), expected {K} D on the last axis: {K} for each tar"
        ):
            criterion.mean(np.zeros((4, 7)))
        with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator"):
            criterion.sample(np.zeros((4, 6)), 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="ys holds int64"):
            criterion.mean(np.zeros((4, 6), int))
