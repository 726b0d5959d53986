"""Losses against those of PyTorch: every reduction, ignored and padded targets, label smoothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import BinaryCrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy

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


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize(
    ("make", "theirs"),
    [(MeanSquaredError, "mse_loss"), (BinaryCrossEntropy, "binary_cross_entropy_with_logits")],
)
@every_reduction
def test_number_by_number(
    torch: Any, compare: Compare, reduction: str, make: Callable[..., Loss], theirs: str, padded: bool
) -> None:
    """Where rows end early, PyTorch is given what counts alone."""
    function = getattr(torch.nn.functional, theirs)
    for seed in range(8):
        rng = np.random.default_rng([seed, padded])
        T, B, D = (int(rng.integers(2, most + 1)) for most in (12, 6, 7))
        ys, targets = 4 * rng.standard_normal((T, B, D)), rng.random((T, B, D))
        lengths = np.array([1, *rng.integers(0, T + 1, B - 1)]) if padded else None
        criterion = make(reduction=reduction)
        loss, cache = criterion.forward(ys, targets, lengths=lengths)
        dloss = rng.standard_normal(loss.shape)
        dys = criterion.backward(cache, dloss)

        active = np.arange(T)[:, None] < (T if lengths is None else lengths) * np.ones(B)
        given = torch.tensor(ys, requires_grad=True)
        counted = function(given[torch.tensor(active)], torch.tensor(targets[active]), reduction=reduction)
        counted.backward(torch.tensor(dloss[active] if reduction == "none" else dloss))
        ours = {"loss": loss[active] if reduction == "none" else loss, "ys": dys}
        compare(f"`{make.__name__}` {reduction}", ours, {"loss": counted, "ys": given.grad})
        assert reduction != "none" or not loss[~active].any()
