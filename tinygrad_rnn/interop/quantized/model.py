"""A model whose step is computed in whole numbers: in NumPy what the C computes, to the bit."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from ...cells.base import Cell
from ...core.arrays import Array, Integers
from ...core.checks import check_ids
from ...core.parameter import Parameter
from ...core.states import Leaf, State, StateSpec
from ..steps import Operation, plan
from .arithmetic import NARROW, WIDE, rescaled
from .calibration import Range, ranges
from .cells import GRU, LSTM, RNN
from .layers import ID, Activation, Embedding, Input, Layer, LayerNorm, Linear, OneHot, Signal, Softmax

KINDS: dict[str, Any] = {
    "one_hot": OneHot,
    "embedding": Embedding,
    "linear": Linear,
    "layer_norm": LayerNorm,
    "tanh": Activation,
    "sigmoid": Activation,
    "relu": Activation,
    "softmax": Softmax,
    "rnn": RNN,
    "lstm": LSTM,
    "layer_norm_lstm": LSTM,
    "gru": GRU,
}
MULTIPLIED = {"linear", "rnn", "lstm", "layer_norm_lstm", "gru", "residual"}
"""Layers that multiply what comes by a matrix, and so take 8 bits."""


class Residual(Layer):
    """y = x + f(x)."""

    def __init__(self, operation: Operation, x: Signal, found: dict[str, Range], limit: int) -> None:
        super().__init__(operation, x, found, limit)
        self.inside = in_a_row(operation.inside, x, found, limit)
        self.of_x, self.of_f = x.to(self.y), self.inside[-1].y.to(self.y)

    def run(self, x: Integers, state: tuple[Integers, ...]) -> Any:
        f, after = run(self.inside, x, state)
        whole = rescaled(x, *self.of_x, 2 * self.y.limit) + rescaled(f, *self.of_f, 2 * self.y.limit)
        return np.clip(whole, -self.y.limit, self.y.limit), after


def in_a_row(
    operations: tuple[Operation, ...], x: Signal, found: dict[str, Range], last: int = WIDE
) -> tuple[Layer, ...]:
    """Quantized layers, each of the output of the one before; the last gives 16 bits, or what is asked for."""
    layers: list[Layer] = []
    for operation, following in zip(operations, (*operations[1:], None), strict=True):
        limit = last if following is None else NARROW if following.kind in MULTIPLIED else WIDE
        try:
            layer = (Residual if operation.kind == "residual" else KINDS[operation.kind])(operation, x, found, limit)
        except ValueError as error:
            raise ValueError(f"{operation.path}, {operation.layer!r}: {error}. Make the layer smaller") from error
        layers.append(layer)
        x = layer.y
    return tuple(layers)


def all_states(layers: tuple[Layer, ...]) -> list[tuple[Layer, str]]:
    """Where the arrays of the state are, in the order in which they are handed on."""
    found = []
    for layer in layers:
        found += all_states(layer.inside) if isinstance(layer, Residual) else [(layer, name) for name in layer.states]
    return found


def run(layers: tuple[Layer, ...], x: Integers, state: tuple[Integers, ...]) -> Any:
    """One step through layers in a row."""
    after: list[Integers] = []
    for layer in layers:
        count = len(all_states((layer,)))
        x, new = layer.run(x, state[len(after) : len(after) + count])
        after += new
    return x, tuple(after)


class Steps(NamedTuple):
    """The layers of a quantized model."""

    input: Input | None
    """None where the model takes ids."""
    layers: tuple[Layer, ...]


class Quantized(Cell):
    """A model that computes in integers what `to_c` writes with `dtype="int8"`, to the bit; `quantize` makes it.

    It is a `Recurrent` that takes what the model takes and gives outputs in the same units, so `evaluate`, `generate`
    and the like show how good the quantized model is. Its state holds whole numbers, exactly, in floating-point arrays.
    It has no gradient.
    """

    def __init__(self, text: str, steps: Any, in_size: int, out_size: int) -> None:
        self.text, self.steps = text, steps
        self.in_size, self.out_size = in_size, out_size
        self.takes_ids = steps.input is None
        self.scale = steps.layers[-1].y.scale
        states = all_states(steps.layers)
        self.state_sizes = tuple(layer.states[name].size for layer, name in states)
        self._spec = tuple(
            Leaf(f"{layer.path}.{name}", layer.states[name].shape, Parameter(layer.states[name].astype("float32")))
            for layer, name in states
        )

    @property
    def state_spec(self) -> StateSpec:
        return self._spec

    def integers(self, x: Any, state: State) -> tuple[Integers, tuple[Integers, ...]]:
        """One step in integers, as in C: x (B,) ids or (B, D), and each array of the state, are integers."""
        y, after = run(self.steps.layers, np.asarray(x, "int64"), tuple(np.asarray(a, "int64") for a in state))
        return y, after

    def numbers(self, x: Array) -> Integers:
        """The integers (..., D) with which the step in C is called for x (..., D)."""
        result: Integers = self.steps.input.numbers(x)
        return result

    def step_forward(self, x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        if self.takes_ids:
            check_ids(self, x, self.in_size)
        y, after = self.integers(x if self.takes_ids else self.numbers(x), state)
        return (y * self.scale).astype("float32"), tuple(array.astype("float32") for array in after), None

    def step_backward(self, dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        raise TypeError(f"{self!r} has no gradient; train the model of which it was made")

    def __repr__(self) -> str:
        return f"Quantized({self.text})"


def quantize(model: Any, calibration: Any) -> Quantized:
    """A model that computes in integers, in NumPy exactly what `to_c` writes with `dtype="int8"`.

    Weights have 8 bits with a scale for each output, activations have 8, the memory of an LSTM and the state of a GRU
    have 16, and sums have 32. How large the activations become is measured on `calibration`.

    Args:
        model: what `to_c` takes.
        calibration: inputs like those that the model will read: ids (T,) or (T, B), or numbers (T, D) or (T, B, D).
            Some thousand steps are enough.

    Returns:
        A `Quantized`, on the CPU.

    Raises:
        TypeError: `model` is not a layer, or `calibration` not an array of what it takes.
        ValueError: a layer cannot be written in C, or its sums do not fit 32 bits; a weight is not finite; or
            `calibration` is empty, or drives the model to numbers that are not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), GRUCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> quantized = interop.quantize(model, rng.integers(0, 5, 200))
        >>> ys, state = quantized(np.array([[3], [1]]))
        >>> bool(np.abs(ys - model(np.array([[3], [1]]))[0]).max() < 0.05)
        True
    """
    return quantized("quantize", model, calibration)


def quantized(call: str, model: Any, calibration: Any) -> Quantized:
    """`quantize`, for a function whose errors begin with its own name."""
    plan(call, model)
    text, model = repr(model), copy.deepcopy(model).to("cpu")
    operations = plan(call, model)
    first = operations[0]
    takes_ids = first.kind in ("one_hot", "embedding")
    xs = sequences(call, model, calibration, takes_ids)
    found, _ = ranges(operations, xs)
    for path, measured in found.items():
        if not np.isfinite([measured.y, *measured.inner.values()]).all():
            raise ValueError(f"{call}: calibration drives {path} to numbers that are not finite; look at its values")
    try:
        if takes_ids:
            steps = Steps(None, in_a_row(operations, ID, found))
        else:
            standardized = first.kind == "standardize"
            largest = found[first.path].y if standardized else float(np.abs(xs).max())
            whole = Input(first, largest)
            rest = operations[1:] if standardized else operations
            if not rest:
                raise ValueError(f"{first.path}, {first.layer!r}: nothing after it computes in whole numbers")
            steps = Steps(whole, in_a_row(rest, whole.y, found))
    except ValueError as error:
        raise ValueError(f"{call}: {error}") from error
    if steps.layers[-1].y.limit == 0:
        raise ValueError(f"{call}: {model!r} gives one-hot rows; put a Linear after them")
    return Quantized(text, steps, first.in_size, operations[-1].out_size)


def sequences(call: str, model: Any, calibration: Any, takes_ids: bool) -> Any:
    """`calibration` with a batch axis, in the dtype of the model."""
    kind, axes = ("iu", 2) if takes_ids else ("f", 3)
    wanted = "ids (T,) or (T, B)" if takes_ids else "floating-point numbers (T, D) or (T, B, D)"
    if not isinstance(calibration, np.ndarray) or calibration.dtype.kind not in kind:
        came = f"of {calibration.dtype}" if isinstance(calibration, np.ndarray) else f"a {type(calibration).__name__}"
        raise TypeError(f"{call}: calibration must be an array of {wanted}, not {came}")
    if calibration.ndim not in (axes - 1, axes) or not calibration.size:
        raise ValueError(f"{call}: calibration has shape {calibration.shape}, expected {wanted}, with a step at least")
    xs = calibration if calibration.ndim == axes else calibration[:, None]
    like = model._like()
    return xs if takes_ids or like is None else xs.astype(like.dtype)
