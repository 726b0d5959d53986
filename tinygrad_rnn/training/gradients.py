"""The gradients of one batch: forward, loss and backward."""

from __future__ import annotations

from typing import Any

from ..core.layer import Layer
from ..core.roles import Loss, Recurrent
from ..data.batch import Batch


def gradients(
    model: Layer, criterion: Loss, batch: Batch, state: Any = None, *, dloss: float | None = None
) -> tuple[Any, Any, Any]:
    """Add the gradients of the loss of a batch to those of the parameters.

    These are the three lines of every training step. Gradients add up: the loop clears them, by `model.zero_grad()`,
    and takes the step, by `optimizer.step()`.

    Args:
        model: a `Recurrent`, or a `ManyToOne`.
        criterion: the loss of the outputs and `batch.targets`.
        batch: its arrays lie on the device of the model; `lengths`, `starts` and `weights` may be None.
        state: the state before the batch; None is the initial state. No gradient flows back into it.
        dloss: a factor of the gradients; None is 1.

    Returns:
        `(loss, ys, state)`: the loss, an array () on the device; the outputs; and the state after the batch.

    Raises:
        TypeError: `model` is no layer, `criterion` no loss or `batch` no `Batch`; or as `forward` and `backward` say.
        ValueError: as these say.

    Example:
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=np.random.default_rng(0)))
        >>> batch = Batch(np.array([[0], [1]]), np.array([[1], [2]]))
        >>> loss, ys, state = gradients(model, SoftmaxCrossEntropy(), batch)
        >>> ys.shape, bool(model.layers[1].w_h.grad.any())
        ((2, 1, 8), True)
    """
    if not isinstance(batch, Batch):
        raise TypeError(f"gradients: batch must be a Batch(xs, targets, ...), not a {type(batch).__name__}")
    given: Any = model
    if not (isinstance(given, Layer) and hasattr(given, "forward")):
        raise TypeError(f"gradients: model must be a layer, such as Sequential, not a {type(model).__name__}")
    if not isinstance(criterion, Loss):
        raise TypeError(f"gradients: criterion must be a Loss, not a {type(criterion).__name__}")
    network: Any = model  # layers of several roles have both methods
    ys, state, cache = network.forward(batch.xs, state, **rows_of(batch))
    loss, loss_cache = criterion.forward(ys, batch.targets, **counted_of(model, batch))
    network.backward(criterion.backward(loss_cache, dloss), None, cache)  # None: nothing flows in from the future
    return loss, ys, state


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
