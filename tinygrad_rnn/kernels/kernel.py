"""What a kernel is, a cell over a whole sequence at once; and what a backend is, functions that kernels are made of."""

from collections.abc import Callable
from typing import Any, NamedTuple  # not `annotations`: a NamedTuple of text takes half as long again to make

from ..core.arrays import Array, Integers
from ..core.one_hot import Input, OneHotRows
from ..core.states import State


class Kernel(NamedTuple):
    """The fast path of a cell: it computes what the steps of the cell compute."""

    weights: Callable[..., Any]
    """A `NamedTuple` of the weights; its fields are named like the parameters of the cell."""
    forward: Callable[..., Any]
    """`(xs, state, weights, rows, begun)` to `(ys, state, cache)`.

    `begun` is the state where a document begins, of B rows; None where `rows.starts` is. The cache is that of the
    cell's step, with a time axis.
    """
    backward: Callable[..., Any]
    """`(dys, dstate, cache, weights, rows, gradients)` to `(dxs, dstate, dbegun)`; adds to `gradients`.

    `dys` is 0 where a row has ended. `dbegun` is the gradient w.r.t. `begun`; None where `rows.starts` is.
    """
    step: Callable[..., Any] | None
    """Where code is compiled, `(x, state, weights)` to the next state, at inference.

    None where `step_forward` of the cell is as fast, as it is where nothing is compiled.
    """


TakeSteps = Callable[..., Any]
"""Takes the steps of a block, forward or back: what it takes and gives, the functions of `plain` say."""
Project = Callable[[Array, Array], None]
Step = Callable[[Input, State, Any], State]
SoftmaxForward = Callable[[Array, Integers, float], tuple[Array, Array, Array]]
SoftmaxBackward = Callable[[Array, Integers, float, Array, Array, Array], Array]


class CrossEntropy(NamedTuple):
    """The whole `SoftmaxCrossEntropy` of ids, with its reduction, in one operation each way."""

    forward: Callable[..., Any]
    backward: Callable[..., Array]


class OptimizerStep(NamedTuple):
    """A step of an optimizer in two operations; `kernels.cuda.optimizers` explains them."""

    examine: Callable[..., tuple[Array, Array]]
    update: Callable[..., None]


class Backend(NamedTuple):
    """What a backend has of its own; that of `plain` is where each function is explained."""

    rnn_forward_steps: Callable[[str, Array, int], TakeSteps]
    rnn_backward_steps: Callable[[str, Array, int], TakeSteps]
    lstm_forward_steps: Callable[[Array, Array | None, int], TakeSteps]
    lstm_backward_steps: Callable[[Array, Array | None, int], TakeSteps]
    lstm_step: Step | None
    """A step at inference; None where the `step_forward` of the cell is as fast."""
    gru_forward_steps: Callable[[Array, Array, int], TakeSteps]
    gru_backward_steps: Callable[[Array, int], TakeSteps]
    gru_step: Step | None
    linear_forward_steps: Callable[..., None]
    linear_backward_steps: Callable[..., Array]
    by_gate: Callable[[Array, int, int], Array]
    empty_gates: Callable[[Array, int, int, int, int], Array]
    projection: Callable[[Array, Array | None, int], Project]
    add_product: Callable[[Array, Array, Array], None]
    look_up: Callable[[OneHotRows, Array, Array], None]
    add_by_id: Callable[[OneHotRows, Array, Array], None]
    softmax_forward: SoftmaxForward
    softmax_backward: SoftmaxBackward
    additive_scores: Callable[[Array, Array, Array], Array]
    additive_backward: Callable[[Array, Array, Array, Array, Array], tuple[Array, Array]]
    random_mask: Callable[..., Array]
    cross_entropy: CrossEntropy | None
    """On a GPU; `kernels.cuda.cross_entropy` explains it. None elsewhere."""
    optimizer_step: OptimizerStep | None
    """Likewise."""
