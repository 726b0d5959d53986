"""Losses against those of PyTorch: every reduction, ignored and padded targets, label smoothing, class weights."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

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

from .conftest import Compare

every_reduction = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("ignored", [False, True], ids=["all count", "some ignored"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@every_reduction
def test_softmax_cross_entropy(
    torch: Any, compare: Compare, reduction: str, smoothing: float, ignored: bool, padded: bool
) -> None:
    for seed in range(8):
        rng = np.random.default_rng([seed, ignored, padded])
        T, B, V = (int(rng.integers(2, most + 1)) for most in (12, 6, 30))
        ys, targets = 4 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
        if ignored:
            targets[rng.random((T, B)) < 0.3] = -1
        targets[0, 0] = V - 1  # one counts, whatever was drawn
        lengths = np.array([1, *rng.integers(0, T + 1, B - 1)]) if padded else None
        criterion = SoftmaxCrossEntropy(reduction=reduction, label_smoothing=smoothing)
        loss, cache = criterion.forward(ys, targets, lengths=lengths)
        dloss = rng.standard_normal(loss.shape)
        dys = criterion.backward(cache, dloss)

        # PyTorch knows no lengths: what is past a row's end is ignored. Its classes are on the second axis.
        counted = targets if lengths is None else np.where(np.arange(T)[:, None] < lengths, targets, -1)
        given = torch.tensor(ys, requires_grad=True)
        theirs = torch.nn.functional.cross_entropy(
            given.movedim(-1, 1), torch.tensor(counted), ignore_index=-1, reduction=reduction, label_smoothing=smoothing
        )
        theirs.backward(torch.tensor(dloss))
        line = f"`SoftmaxCrossEntropy` {reduction}" + (", smoothed" if smoothing else "")
        compare(line, {"loss": loss, "ys": dys}, {"loss": theirs, "ys": given.grad})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@every_reduction
def test_where_no_token_counts_ours_is_0(torch: Any, reduction: str, smoothing: float) -> None:
    """PyTorch's mean is 0 / 0 there; the gradients of both are 0."""
    ys, targets = np.ones((3, 2, 4)), np.full((3, 2), -1)
    criterion = SoftmaxCrossEntropy(reduction=reduction, label_smoothing=smoothing)
    loss, cache = criterion.forward(ys, targets)
    given = torch.tensor(ys, requires_grad=True)
    theirs = torch.nn.functional.cross_entropy(
        given.movedim(-1, 1), torch.tensor(targets), ignore_index=-1, reduction=reduction, label_smoothing=smoothing
    )
    theirs.sum().backward()
    assert not loss.any()
    assert theirs.isnan().any().item() is (reduction == "mean")
    assert not criterion.backward(cache).any()
    assert not given.grad.any()


def test_scores_of_ignored_tokens_may_be_anything(torch: Any) -> None:
    """In PyTorch a NaN there leaves the loss as it is, but the gradient is NaN."""
    ys, targets = np.zeros((2, 1, 4)), np.array([[3], [-1]])
    ys[1] = np.nan
    criterion = SoftmaxCrossEntropy()
    loss, cache = criterion.forward(ys, targets)
    dys = criterion.backward(cache)
    given = torch.tensor(ys, requires_grad=True)
    theirs = torch.nn.functional.cross_entropy(given.movedim(-1, 1), torch.tensor(targets), ignore_index=-1)
    theirs.backward()
    assert float(loss) == pytest.approx(theirs.item(), rel=1e-15)
    assert not dys[1].any()
    assert given.grad[1].isnan().all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [False, True], ids=["ids", "soft"])
@every_reduction
def test_class_weights_and_soft_targets(
    torch: Any, compare: Compare, reduction: str, soft: bool, smoothing: float
) -> None:
    for seed in range(16):
        rng = np.random.default_rng([seed, soft])
        T, B, V = (int(rng.integers(2, most + 1)) for most in (12, 6, 30))
        ys, targets = 4 * rng.standard_normal((T, B, V)), cast(Any, rng.integers(0, V, (T, B)))
        of_class = rng.random(V) if seed % 2 or not soft else None
        if soft:
            targets = rng.dirichlet(np.ones(V), (T, B))
        else:
            targets[rng.random((T, B)) < 0.3] = -1
            targets[0, 0] = V - 1
        criterion = SoftmaxCrossEntropy(reduction=reduction, label_smoothing=smoothing, class_weights=of_class)
        loss, cache = criterion.forward(ys, targets)
        dloss = rng.standard_normal(loss.shape)
        dys = criterion.backward(cache, dloss)

        given, wanted = torch.tensor(ys, requires_grad=True), torch.tensor(targets)
        theirs = torch.nn.functional.cross_entropy(
            given.movedim(-1, 1),
            wanted.movedim(-1, 1) if soft else wanted,
            weight=None if of_class is None else torch.tensor(of_class),
            ignore_index=-1,
            reduction=reduction,
            label_smoothing=smoothing,
        )
        theirs.backward(torch.tensor(dloss))
        line = f"`SoftmaxCrossEntropy` {'of soft targets' if soft else 'with class weights'}" + ", smoothed" * bool(
            smoothing
        )
        compare(line, {"loss": loss, "ys": dys}, {"loss": theirs, "ys": given.grad})


def absolute(torch: Any, ys: Any, targets: Any, reduction: str) -> Any:
    return torch.nn.functional.l1_loss(ys, targets, reduction=reduction)


def squared(torch: Any, ys: Any, targets: Any, reduction: str) -> Any:
    return torch.nn.functional.mse_loss(ys, targets, reduction=reduction)


def huber(torch: Any, ys: Any, targets: Any, reduction: str) -> Any:
    return torch.nn.functional.huber_loss(ys, targets, reduction=reduction, delta=0.7)


def of_logits(torch: Any, ys: Any, targets: Any, reduction: str) -> Any:
    return torch.nn.functional.binary_cross_entropy_with_logits(ys, targets, reduction=reduction)


def of_weighted_logits(torch: Any, ys: Any, targets: Any, reduction: str) -> Any:
    return torch.nn.functional.binary_cross_entropy_with_logits(
        ys, targets, reduction=reduction, pos_weight=torch.tensor(POSITIVES, dtype=torch.float64)
    )


def normal(torch: Any, ys: Any, targets: Any, reduction: str) -> Any:
    mean, s = ys.chunk(2, dim=-1)
    return torch.nn.functional.gaussian_nll_loss(mean, targets, s.exp() + 1e-6, full=True, reduction=reduction)


def quantiles(torch: Any, ys: Any, targets: Any, reduction: str) -> Any:
    """PyTorch has none: the gradients that it finds of the formula."""
    pairs = zip((0.1, 0.5, 0.9), ys.chunk(3, dim=-1), strict=True)
    losses = sum(torch.maximum((1 - q) * (y - targets), q * (targets - y)) for q, y in pairs) / 3
    return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()


POSITIVES = (0.5, 3.0, 1.0, 9.0)
NUMBERS: dict[str, tuple[Any, Any]] = {
    "MeanSquaredError": (MeanSquaredError, squared),
    "BinaryCrossEntropy": (BinaryCrossEntropy, of_logits),
    "BinaryCrossEntropy with pos_weight": (partial(BinaryCrossEntropy, pos_weight=POSITIVES), of_weighted_logits),
    "MeanAbsoluteError": (MeanAbsoluteError, absolute),
    "Huber": (partial(Huber, 0.7), huber),
    "Quantile": (Quantile, quantiles),
    "GaussianNLL": (GaussianNLL, normal),
}


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("name", NUMBERS)
@every_reduction
def test_number_by_number(torch: Any, compare: Compare, reduction: str, name: str, padded: bool) -> None:
    """Where rows end early, PyTorch is given what counts alone."""
    make, function = NUMBERS[name]
    for seed in range(8):
        rng = np.random.default_rng([seed, padded])
        T, B, D = int(rng.integers(2, 13)), int(rng.integers(2, 7)), len(POSITIVES)
        criterion: Loss = make(reduction=reduction)
        ys, targets = 4 * rng.standard_normal((T, B, criterion.outputs_per_target * D)), rng.random((T, B, D))
        lengths = np.array([1, *rng.integers(0, T + 1, B - 1)]) if padded else None
        loss, cache = criterion.forward(ys, targets, lengths=lengths)
        dloss = rng.standard_normal(loss.shape)
        dys = criterion.backward(cache, dloss)

        active = np.arange(T)[:, None] < (T if lengths is None else lengths) * np.ones(B)
        given = torch.tensor(ys, requires_grad=True)
        counted = function(torch, given[torch.tensor(active)], torch.tensor(targets[active]), reduction)
        counted.backward(torch.tensor(dloss[active] if reduction == "none" else dloss))
        ours = {"loss": loss[active] if reduction == "none" else loss, "ys": dys}
        kind, _, rest = name.partition(" ")
        compare(f"`{kind}`{' ' * bool(rest)}{rest} {reduction}", ours, {"loss": counted, "ys": given.grad})
        assert reduction != "none" or not loss[~active].any()


@pytest.mark.parametrize("name", NUMBERS)
@every_reduction
def test_weights_and_gaps(torch: Any, compare: Compare, reduction: str, name: str) -> None:
    """PyTorch knows neither: it gives the loss of each number that counts, whose weighted mean or sum is taken."""
    make, function = NUMBERS[name]
    for seed in range(8):
        rng = np.random.default_rng(seed)
        T, B, D = int(rng.integers(2, 13)), int(rng.integers(2, 7)), len(POSITIVES)
        criterion: Loss = make(reduction=reduction, missing="nan")
        ys, targets = 4 * rng.standard_normal((T, B, criterion.outputs_per_target * D)), rng.random((T, B, D))
        weights, gaps = rng.random((T, B)) * (rng.random((T, B)) < 0.8), rng.random((T, B, D)) < 0.3
        weights[0, 0], gaps[0, 0] = 0.5, False
        loss, cache = criterion.forward(ys, np.where(gaps, np.nan, targets), weights=weights)
        dloss = rng.standard_normal(loss.shape)
        dys = criterion.backward(cache, dloss)

        given = torch.tensor(ys, requires_grad=True)
        each = torch.tensor(weights[..., None] * ~gaps)
        theirs = each * function(torch, given, torch.tensor(targets), "none")
        if reduction != "none":
            theirs = theirs.sum() / (each.sum() if reduction == "mean" else 1)
        theirs.backward(torch.tensor(dloss))
        kind = name.partition(" ")[0]
        compare(f"`{kind}` with weights and gaps", {"loss": loss, "ys": dys}, {"loss": theirs, "ys": given.grad})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [False, True], ids=["ids", "soft"])
@every_reduction
def test_weights_of_steps(torch: Any, compare: Compare, reduction: str, soft: bool, smoothing: float) -> None:
    """The weighted mean, or sum, of the loss that PyTorch gives each token."""
    for seed in range(8):
        rng = np.random.default_rng([seed, soft])
        T, B, V = (int(rng.integers(2, most + 1)) for most in (12, 6, 30))
        ys, targets = 4 * rng.standard_normal((T, B, V)), cast(Any, rng.integers(0, V, (T, B)))
        weights = rng.random((T, B)) * (rng.random((T, B)) < 0.8)
        if soft:
            targets = rng.dirichlet(np.ones(V), (T, B))
        weights[0, 0] = 0.5
        criterion = SoftmaxCrossEntropy(reduction=reduction, label_smoothing=smoothing)
        loss, cache = criterion.forward(ys, targets, weights=weights)
        dloss = rng.standard_normal(loss.shape)
        dys = criterion.backward(cache, dloss)

        given, wanted, each = torch.tensor(ys, requires_grad=True), torch.tensor(targets), torch.tensor(weights)
        theirs = each * torch.nn.functional.cross_entropy(
            given.movedim(-1, 1), wanted.movedim(-1, 1) if soft else wanted, reduction="none", label_smoothing=smoothing
        )
        if reduction != "none":
            theirs = theirs.sum() / (each.sum() if reduction == "mean" else 1)
        theirs.backward(torch.tensor(dloss))
        compare("`SoftmaxCrossEntropy` with weights", {"loss": loss, "ys": dys}, {"loss": theirs, "ys": given.grad})
