"""Plain back-propagation through time, as a method."""

from __future__ import annotations

from typing import Any

from ..core.roles import Loss
from ..data.batch import Batch
from ..training.gradients import add_gradients
from .method import Method


class BPTT(Method):
    """Back-propagation through all steps of a batch: what `gradients` and `fit` do without a method.

    It keeps the caches of all T steps, and takes one forward and one backward. Gradients do not go back into the batch
    before. The carry is the state. The model may also be a `ManyToOne`.

    References:
        Werbos, *Backpropagation Through Time: What It Does and How to Do It*, 1990.

    Example:
        >>> from tinygrad_rnn.through_time import BPTT
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=np.random.default_rng(0)))
        >>> batch = Batch(np.array([[0], [1]]), np.array([[1], [2]]))
        >>> loss, ys, state = BPTT()(model, SoftmaxCrossEntropy(), batch)
        >>> ys.shape, bool(model.layers[1].w_h.grad.any())
        ((2, 1, 8), True)
    """

    def add_gradients(
        self, model: Any, criterion: Loss, batch: Batch, carry: Any, dloss: float | None
    ) -> tuple[Any, Any, Any]:
        return add_gradients(repr(self), model, criterion, batch, carry, dloss)
