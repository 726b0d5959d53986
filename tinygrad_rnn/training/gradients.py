"""The gradients of one batch: forward, loss and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.layer import Layer
from ..core.roles import Loss, Recurrent
from ..data.batch import Batch
from ..models.many_to_one import ManyToOne


def gradients(
    model: Recurrent | ManyToOne, criterion: Loss, batch: Batch, state: Any = None, *, dloss: float | None = None
) -> tuple[Any, Any, Any]:
    """Add the gradients of the loss of a batch to those of the parameters.

    These are three lines of every training step. Gradients add up: the loop clears them with `model.zero_grad()`, and
    takes the step with `optimizer.step()`.

    Args:
        model: a `Recurrent`, or a `ManyToOne`.
        criterion: the loss of the outputs and `batch.targets`.
        batch: its arrays are on the device of the model; `lengths`, `starts` and `weights` may be None.
        state: the state before the batch; None is the initial state. No gradient flows back into it.
        dloss: a factor of the gradients; None is 1.

    Returns:
        `(loss, ys, state)`: the loss, an array () on the device; the outputs; and the state after the batch.

    Raises:
        TypeError: `model`, `criterion` or `batch` is of another kind; or as `forward` and `backward` say.
        ValueError: the loss is not one number, or `batch.starts` goes with a `ManyToOne`; or as these say.

    Example:
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=np.random.default_rng(0)))
        >>> batch = Batch(np.array([[0], [1]]), np.array([[1], [2]]))
        >>> loss, ys, state = gradients(model, SoftmaxCrossEntropy(), batch)
        >>> ys.shape, bool(model.layers[1].w_h.grad.any())
        ((2, 1, 8), True)
    """
    check_parts("gradients", model, criterion)
    return add_gradients("gradients", model, criterion, batch, state, dloss)


def add_gradients(
    owner: str, model: Any, criterion: Loss, batch: Any, state: Any, dloss: float | None
) -> tuple[Any, Any, Any]:
    """`gradients`, of a model and a loss that were checked; errors begin with `owner`, what the user called."""
    check_batch(owner, model, batch)
    ys, state, cache = model.forward(batch.xs, state, **rows_of(batch))
    loss, loss_cache = criterion.forward(ys, batch.targets, **counted_of(model, batch))
    check_loss(owner, criterion, loss)
    model.backward(criterion.backward(loss_cache, dloss), None, cache)  # None: no gradient from later chunks
    return loss, ys, state


def check_parts(owner: str, model: Any, criterion: Any) -> None:
    """The model and the loss of a training must be such.

    Raises:
        TypeError: they are not.
    """
    if not isinstance(model, (Recurrent, ManyToOne)):
        came = repr(model) if isinstance(model, Layer) else f"a {type(model).__name__}"
        raise TypeError(f"{owner}: model must be a Recurrent, such as Sequential, or a ManyToOne, not {came}")
    if not isinstance(criterion, Loss):
        raise TypeError(f"{owner}: criterion must be a Loss, not a {type(criterion).__name__}")


def check_batches(owner: str, name: str, batches: Any) -> None:
    """The argument `name` must be something to go through.

    Raises:
        TypeError: it is not.
        ValueError: it is empty.
    """
    is_other = hasattr(batches, "dtype") or isinstance(batches, Mapping)
    if is_other or not any(hasattr(batches, method) for method in ("__iter__", "__getitem__", "epoch")):
        raise TypeError(f"{owner}: {name} must be an iterable of Batch, such as a TokenStream, not {batches!r:.80}")
    if hasattr(batches, "__len__") and not len(batches):
        raise ValueError(f"{owner}: there is no batch in {name}")


def check_batch(owner: str, model: Any, batch: Any) -> None:
    """A batch must be one, and tell the model only what it takes.

    Raises:
        TypeError: it is not a `Batch`.
        ValueError: it has `starts`, but the model gives one vector a row.
    """
    if not isinstance(batch, Batch):
        raise TypeError(f"{owner}: batch must be a Batch(xs, targets, ...), not a {type(batch).__name__}")
    if batch.starts is not None and not isinstance(model, Recurrent):
        raise ValueError(f"{owner}: the batch has starts, but {model!r} gives one vector a row: give a document a row")


def check_loss(owner: str, criterion: Loss, loss: Any) -> None:
    """A loss that is trained or measured must be one number.

    Raises:
        ValueError: it has axes.
    """
    if loss.shape != ():
        raise ValueError(
            f"{owner}: {criterion!r} gives a loss of shape {loss.shape}, not one number: give it the reduction "
            '"mean" or "sum"'
        )


def rows_of(batch: Batch) -> dict[str, Any]:
    """What a batch tells the model beside the inputs."""
    rows = {}
    if batch.lengths is not None:
        rows["lengths"] = batch.lengths
    if batch.starts is not None:
        rows["starts"] = batch.starts
    return rows


def counted_of(model: Layer, batch: Batch) -> dict[str, Any]:
    """What a batch tells the loss beside the targets: outputs without a time axis have no padding."""
    counted = {}
    if batch.lengths is not None and isinstance(model, Recurrent):
        counted["lengths"] = batch.lengths
    if batch.weights is not None:
        counted["weights"] = batch.weights
    return counted
