"""Eligibility propagation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..core.parameter import Parameter
from ..core.roles import Feedforward, Recurrent
from ..models.sequential import Sequential
from .numbers import Numbers
from .rtrl import RTRL


class EProp(RTRL):
    r"""Eligibility propagation: traces within each unit, times a learning signal of the present step.

    It is `RTRL` without the influence that goes from unit to unit through the recurrent weights :math:`W_h`. What a
    unit keeps by itself, such as the memory of an LSTM through its forget gate, remains:

    .. math::
        \varepsilon_t = J^\circ_t \varepsilon_{t-1} + \frac{\partial s_t}{\partial w}, \qquad
        \frac{dL_t}{dw} \approx \frac{\partial L_t}{\partial w} +
        \left( \frac{\partial L_t}{\partial s_{t-1}} \right)_{W_h = 0} \varepsilon_{t-1}

    :math:`J^\circ` is the derivative of the next state w.r.t. the state, with 0 for :math:`W_h` on the way back. The
    learning signal is that of symmetric e-prop: the gradient of the present loss w.r.t. the output of the cell. Units
    of an `RNNCell` keep nothing by themselves, so for them this is truncation to one step. With the true learning
    signal, the gradient that also comes back from later steps, it would be exact.

    The model has one `Cell`, whose recurrent weights have the name `w_h`; before and after it there may be feed-forward
    layers. For a stack use `SnAp1` or `RTRL`. All derivatives come from `step_backward`, so it takes the memory of
    `RTRL`, and a little more time.

    The carry is `(state, (trace,))`, the trace (B, n, P).

    Raises:
        TypeError: in a call, there are several cells or other layers with a state, or the cell has no `w_h`; and as
            `RTRL` does.

    References:
        Bellec et al., *A Solution to the Learning Dilemma for Recurrent Networks of Spiking Neurons*, 2020.

    Example:
        >>> from tinygrad_rnn.through_time import EProp
        >>> model = LSTMCell(3, 4, rng=np.random.default_rng(0))
        >>> batch = Batch(np.ones((7, 2, 3), np.float32), np.zeros((7, 2), int))
        >>> loss, ys, (state, (trace,)) = EProp()(model, SoftmaxCrossEntropy(), batch)
        >>> trace.shape  # h and c of 4 units; 128 parameters
        (2, 8, 128)
    """

    def check_core(self, core: Recurrent, output: int | None) -> None:
        cells = [layer for layer in _flat(core) if not isinstance(layer, Feedforward)]
        if len(cells) != 1:
            raise TypeError(
                f"{self!r}: {core!r} has {len(cells)} cells, where one was expected: the trace of a unit knows no way "
                "over the units of another cell. Use SnAp1() or RTRL()"
            )
        if not _recurrent_weights(core):
            raise TypeError(
                f"{self!r}: {cells[0]!r} has no parameter w_h, so what leads from unit to unit is not known. Give its "
                "recurrent weights this name, or use SnAp1(), which needs none"
            )

    def gradient(self, numbers: Numbers, memory: Any, after: Any, dy: Any, cache: Any) -> Any:
        numbers.step_back(dy, numbers.no_dstate, cache)
        direct = numbers.take()
        with _without(_recurrent_weights(numbers.core)):
            dbefore = numbers.step_back(dy, numbers.no_dstate, cache)
        numbers.take()
        return direct + self.credit(numbers, memory, dbefore)

    def advance(self, numbers: Numbers, memory: tuple[Any, ...], cache: Any) -> tuple[Any, ...]:
        _, direct = numbers.derivatives(cache)
        with _without(_recurrent_weights(numbers.core)):
            jacobian = numbers.jacobian(cache)
        return (jacobian @ memory[0] + direct,)


def _flat(layer: Any) -> Iterator[Any]:
    """The layers of a `Sequential`, and of those in it."""
    if isinstance(layer, Sequential):
        for inner in layer.layers:
            yield from _flat(inner)
    else:
        yield layer


def _recurrent_weights(core: Recurrent) -> list[Parameter]:
    """The parameters that lead from unit to unit, also of a cell in another, such as a `Zoneout`."""
    return [p for name, p in core.named_parameters() if name.rpartition(".")[2] == "w_h"]


@contextmanager
def _without(parameters: list[Parameter]) -> Iterator[None]:
    """A `with` block in which these parameters are 0."""
    kept = [p.value.copy() for p in parameters]
    try:
        for p in parameters:
            p.value[...] = 0
        yield
    finally:
        for p, value in zip(parameters, kept, strict=True):
            p.value = value
