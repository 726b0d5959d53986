"""The loss and other measures of a model over batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.device import Device, device_of
from ..core.layer import Layer
from ..core.roles import Loss
from ..data.batch import Batch
from .gradients import counted_of, rows_of


def measure(
    model: Layer, criterion: Loss, batches: Iterable[Batch], *, metrics: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The mean loss of a model over batches, and its metrics, at inference.

    There is no dropout, no random stream advances, and a training in progress is not disturbed. The state is carried
    from batch to batch where the batches say by `starts` where documents begin, as those of a `TokenStream` do.

    Args:
        model: a `Recurrent`, or a `ManyToOne`, on any device.
        criterion: the loss; with the reduction "mean" the result is exactly the mean over all batches together,
            with "sum" it is the mean of the sums.
        batches: such as a `TokenStream` or `SequenceBatches`, with arrays on the host.
        metrics: by name, objects such as `metrics.Accuracy()`; they are reset first.

    Returns:
        The measures by name, `loss` first: numbers, or lists of them where a metric gives an array.

    Raises:
        TypeError, ValueError: as `gradients` does.

    Example:
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=np.random.default_rng(0)))
        >>> measures = measure(model, SoftmaxCrossEntropy(), TokenStream(np.arange(5), batch=1, steps=2))
        >>> [*measures], 1 < measures["loss"] < 3
        (['loss'], True)
    """
    metrics, device, state = metrics or {}, model.device, None
    total, count = 0.0, 0.0
    for metric in metrics.values():
        metric.reset()
    for batch in batches:
        batch = on_device(batch, device)
        ys, after = model(batch.xs, state, **rows_of(batch))  # type: ignore[operator]
        state = after if batch.starts is not None else None
        counted = counted_of(model, batch)
        loss, cache = criterion.forward(ys, batch.targets, **counted)
        weight = _read(criterion.count(cache)) if getattr(criterion, "reduction", "mean") == "mean" else 1.0
        total, count = total + weight * _read(loss), count + weight
        for metric in metrics.values():
            metric.update(ys, batch.targets, **counted)
    return {
        "loss": total / count if count else 0.0,
        **{name: _plain(metric.value()) for name, metric in metrics.items()},
    }


def on_device(batch: Batch, device: Device) -> Batch:
    """A batch whose arrays lie on the device."""
    if device.name == "cpu":
        return batch
    return Batch(*(None if array is None else device.asarray(array) for array in batch))


def _read(number: Any) -> float:
    return float(device_of(number).to_host(number) if hasattr(number, "device") else number)


def _plain(value: Any) -> Any:
    """A number, or nested lists of numbers, such as JSON can hold."""
    return value.tolist() if hasattr(value, "tolist") else value
