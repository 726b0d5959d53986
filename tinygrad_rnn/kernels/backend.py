"""What a backend is: functions of arrays that it has in its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..core.arrays import Array, Integers
from ..core.one_hot import Input, OneHotRows
from ..core.states import State

TakeSteps = Callable[..., Any]
"""Takes the steps of a block, forward or back: what it takes and gives, the functions of `plain` say."""
Project = Callable[[Array, Array], None]
Step = Callable[[Input, State, Any], State]
SoftmaxForward = Callable[[Array, Integers, float], tuple[Array, Array, Array]]
SoftmaxBackward = Callable[[Array, Integers, float, Array, Array, Array], Array]


class Backend(NamedTuple):
    """What a backend has of its own; that of `plain` is where each function is explained."""

    rnn_forward_steps: Callable[[str, Array, int], TakeSteps]
    rnn_backward_steps: Callable[[str, Array, int], TakeSteps]
    lstm_forward_steps: Callable[[Array, int], TakeSteps]
    lstm_backward_steps: Callable[[Array, int], TakeSteps]
    lstm_step: Step | None
    """A step at inference; None where the `step_forward` of the cell is as fast."""
    gru_forward_steps: Callable[[Array, Array, int], TakeSteps]
    gru_backward_steps: Callable[[Array, int], TakeSteps]
    gru_step: Step | None
    projection: Callable[[Array, Array, int], Project]
    look_up: Callable[[OneHotRows, Array, Array], None]
    add_by_id: Callable[[OneHotRows, Array, Array], None]
    softmax_forward: SoftmaxForward
    softmax_backward: SoftmaxBackward
