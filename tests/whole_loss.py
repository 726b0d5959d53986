"""A stand-in, in NumPy, for the loss of a backend that computes it as a whole, as that of a GPU does."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.kernels.kernel import CrossEntropy
from tinygrad_rnn.kernels.plain import softmax_cross_entropy as plain
from tinygrad_rnn.kernels.plain.backend import PLAIN


def forward(  # as `kernels.cuda.cross_entropy`
    ys: Any,
    targets: Any,
    *,
    weights: Any,
    lengths: Any,
    of_class: Any,
    rows: int,
    ignore_index: int,
    smoothing: float,
    reduction: str,
) -> tuple[Any, ...]:
    assert ys.size
    n = np.arange(len(ys))
    mass = np.ones(len(ys)) if weights is None else weights.astype(float)
    mass = np.where(targets == ignore_index, 0, mass)
    mass = mass if lengths is None else np.where(n // rows < lengths[n % rows], mass, 0)
    ids = np.where(mass != 0, targets, 0)
    mass = mass if of_class is None else mass * of_class[ids]
    losses, largest, total = plain.forward(ys, ids, smoothing)
    losses, counted = np.where(mass != 0, losses, 0) * mass, mass.sum()
    scale = mass / (counted or 1) if reduction == "mean" else mass
    loss = losses.sum() / (counted or 1) if reduction == "mean" else losses.sum()
    return losses, largest, total, scale, mass != 0, np.asarray(loss), np.asarray(counted)


def backward(ys: Any, targets: Any, smoothing: float, largest: Any, total: Any, scale: Any, dloss: Any) -> Any:
    assert ys.size
    assert ys.ndim == 2
    assert targets.shape == scale.shape == (len(ys),)
    dlosses = scale * (1 if dloss is None else np.reshape(dloss, -1))
    return plain.backward(ys, np.where(scale != 0, targets, 0), smoothing, largest, total, dlosses)


def backend(used: list[Any]) -> Any:
    """The plain one, with that; `used` gets what each backward gives."""

    def noted(*given: Any) -> Any:
        used.append(backward(*given))
        return used[-1]

    return PLAIN._replace(cross_entropy=CrossEntropy(forward, noted))
