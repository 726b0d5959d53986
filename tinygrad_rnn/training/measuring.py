"""The loss and other measures of a model over batches."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..core.arrays import namespace
from ..core.checks import check_finite_from_0, check_ids
from ..core.device import on_host, on_own_gpu
from ..core.roles import Loss, Recurrent
from ..core.rows import make_rows
from ..data.batch import Batch
from ..losses.softmax_cross_entropy import SoftmaxCrossEntropy
from ..models.many_to_one import ManyToOne
from .gradients import check_batch, check_batches, check_loss, check_parts, counted_of, rows_of


@on_own_gpu
def measure(
    model: Recurrent | ManyToOne, criterion: Loss, batches: Iterable[Batch], *, metrics: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The mean loss of a model over batches, and its metrics, at inference.

    There is no dropout, no random stream advances, and a training in progress is not disturbed. If the batches have
    `starts`, which say where documents begin, as those of a `TokenStream` do, the state is carried from batch to batch.

    Args:
        model: a `Recurrent`, or a `ManyToOne`, on any device.
        criterion: the loss; with the reduction "mean" the result is exactly the mean over all batches together,
            with "sum" it is the mean of the sums.
        batches: such as a `TokenStream` or `SequenceBatches`, with arrays on the host.
        metrics: by name, objects such as `metrics.Accuracy()`; they are reset first.

    Returns:
        The measures by name, `loss` first, as numbers, or lists of numbers if a metric gives an array.

    Raises:
        TypeError, ValueError: there is no batch, `metrics` are not metrics or one has the name "loss", or as
            `gradients` does.

    Example:
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=np.random.default_rng(0)))
        >>> measures = measure(model, SoftmaxCrossEntropy(), TokenStream(np.arange(5), batch=1, steps=2))
        >>> [*measures], 1 < measures["loss"] < 3
        (['loss'], True)
    """
    check_parts("measure", model, criterion)
    check_batches("measure", "batches", batches)
    check_metrics("measure", metrics)
    return take_measures("measure", model, criterion, batches, metrics)


def take_measures(
    owner: str, model: Any, criterion: Any, batches: Iterable[Batch], metrics: Mapping[str, Any] | None
) -> dict[str, Any]:
    """`measure`, of what was checked; errors begin with `owner`, what the user called."""
    metrics, state, number = metrics or {}, None, 0
    losses: list[Any] = []
    counts: list[Any] = []
    for metric in metrics.values():
        metric.reset()
    for number, batch in enumerate(batches, 1):  # noqa: B007
        check_batch(owner, model, batch)
        batch = on_device(model, criterion, batch)
        ys, after = model(batch.xs, state, **rows_of(batch))
        state = after if batch.starts is not None else None
        counted = counted_of(model, batch)
        loss, cache = criterion.forward(ys, batch.targets, **counted)
        check_loss(owner, criterion, loss)
        is_mean = getattr(criterion, "reduction", "mean") == "mean"
        losses.append(loss)
        counts.append(criterion.count(cache) if is_mean else 1.0)
        for metric in metrics.values():
            metric.update(ys, batch.targets, **counted)
    if not number:
        raise ValueError(
            f"{owner}: there are no batches to measure, or an iterator that has ended: give a list or a source of them"
        )
    weights = read(counts)
    total, count = sum(map(operator.mul, weights, read(losses))), sum(weights)
    return {
        "loss": total / count if count else 0.0,
        **{name: _plain(metric.value()) for name, metric in metrics.items()},
    }


def read(numbers: list[Any]) -> list[float]:
    """Arrays () of a device, or numbers, on the host: all at once, as each time that a GPU is read takes time."""
    if not numbers or isinstance(numbers[0], float) or type(numbers[0]) in (np.ndarray, np.float64, np.float32):
        return [float(number) for number in numbers]
    found: list[float] = on_host(namespace(numbers[0]).stack(numbers)).astype(np.float64).tolist()
    return found


def on_device(model: Any, criterion: Any, batch: Any) -> Any:
    """A batch whose arrays lie on the device of the model.

    There nothing looks at values, which would be to wait, so those of a batch are checked here, on the host.

    Raises:
        ValueError: an id, a target, a length or a weight is out of its range, as a layer or the loss says on the CPU.
    """
    device = model.device
    if device.name == "cpu" or not isinstance(batch, Batch):
        return batch
    _check_values(model, criterion, batch)
    return Batch(*(None if array is None else device.asarray(array) for array in batch))


def _check_values(model: Any, criterion: Any, batch: Batch) -> None:
    xs, targets, lengths, _, weights = batch
    if not isinstance(xs, np.ndarray) or xs.ndim < 2:
        return  # the model says what is wrong
    rows = make_rows(model, lengths, None, xs.shape[0], xs.shape[1], xs)
    if model.takes_ids and model.in_size is not None and xs.dtype.kind in "iu":
        check_ids(model, rows.clear(xs), model.in_size)
    if weights is not None:
        check_finite_from_0(criterion, "weights", weights)
    is_ids = isinstance(targets, np.ndarray) and targets.dtype.kind in "iu"
    if isinstance(criterion, SoftmaxCrossEntropy) and is_ids and model.out_size is not None:
        counts = targets != criterion.ignore_index
        if rows.active is not None and rows.active.shape == targets.shape:
            counts &= rows.active
        if getattr(weights, "shape", None) == targets.shape:
            counts &= weights != 0
        criterion.check_targets(np.where(counts, targets, 0), model.out_size)


def check_metrics(owner: str, metrics: Any) -> None:
    """Metrics must be a mapping from names to what has the methods of one.

    Raises:
        TypeError: they are not.
        ValueError: one has the name of the loss.
    """
    if not isinstance(metrics, (Mapping, type(None))):
        raise TypeError(f'{owner}: metrics must be a dict, such as {{"accuracy": Accuracy()}}, not {metrics!r:.80}')
    for name, metric in (metrics or {}).items():
        if not isinstance(name, str) or isinstance(metric, type) or not hasattr(metric, "update"):
            raise TypeError(f"{owner}: metrics has {name!r}: {metric!r:.80}, where a name and a metric were expected")
        if name == "loss":
            raise ValueError(f"{owner}: metrics has 'loss', which is the name of the mean loss: give it another")


def _plain(value: Any) -> Any:
    """A number, or nested lists of numbers, such as JSON can hold."""
    return value.tolist() if hasattr(value, "tolist") else value
