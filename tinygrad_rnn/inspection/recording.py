"""What a model computes at each step of a text, and the gradient of the loss w.r.t. it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..cells.base import Cell
from ..core.arrays import Array, Bool, Booleans, Float, NDArray, namespace
from ..core.device import device_of, on_own_gpu
from ..core.layer import Layer, places
from ..core.one_hot import OneHotRows
from ..core.roles import Loss, Recurrent
from ..core.states import State, leaves
from ..losses.softmax_cross_entropy import SoftmaxCrossEntropy
from ..models.bidirectional import Bidirectional
from ..models.encoder_decoder import EncoderDecoder


class LayerRecord(NamedTuple):
    """What a cell computed at each step of a text. The arrays are (T, B, H), on the device of the model."""

    values: dict[str, Array]
    """The arrays of the state after each step, and the other arrays of its cache with a row axis, such as gates."""
    gradients: dict[str, Array]
    """The gradients of the loss w.r.t. the values of that name: the state, and what `inner_gradients` gives."""


class Recording:
    """What `record` gives; `recording["layers.1"]` is the record of the cell of that name.

    Args:
        labels: (T, B), strings: the tokens read; without a tokenizer their ids, and for vectors the numbers of the
            steps.
        outputs: (T, B, V), the outputs of the model.
        loss: the loss, an array without axes; None without targets.
        layers: the records by dotted name of the cell, such as `"layers.1"`; `""` is the model itself, if it is a cell.

    Raises:
        KeyError: no cell of that name was recorded; the message lists those that were.
    """

    def __init__(
        self,
        labels: NDArray[np.object_],
        outputs: Float[Array, "T B V"],
        loss: Float[Array, "..."] | None,
        layers: dict[str, LayerRecord],
    ) -> None:
        self.labels = labels
        self.outputs = outputs
        self.loss = loss
        self.layers = layers

    def __getitem__(self, name: str) -> LayerRecord:
        if name not in self.layers:
            raise KeyError(
                f"recording[{name!r}]: there is {', '.join(map(repr, self.layers)) or 'no cell'}. A cell is recorded "
                "under the first of its names, if it took as many steps as the text has"
            )
        return self.layers[name]

    def __repr__(self) -> str:
        steps, batch = self.labels.shape
        return f"<Recording of {steps} steps of {batch} rows: {', '.join(map(repr, self.layers)) or 'no cell'}>"


@on_own_gpu
def record(
    model: Recurrent | EncoderDecoder,
    xs: Any,
    targets: Any = None,
    *,
    criterion: Loss | None = None,
    state: State | None = None,
    starts: Bool[Booleans, "T B"] | None = None,
    tokenizer: Any = None,
) -> Recording:
    r"""Every state and gate of every cell at each step of a text, and the gradient of the loss w.r.t. each of them.

    The gradient w.r.t. :math:`h_t` is the whole gradient: from the output of step t and from the later steps. The same
    holds for the gates of the cells of this package. A class of your own without `inner_gradients` has only gradients
    w.r.t. the state as it goes on to the next step, and through the output where the output is the same array.

    A copy of the model runs at inference, without dropout, each cell step by step. The model itself does not change: no
    parameter, no gradient, no random stream. This takes as long as a run without kernels, and twice the memory of the
    recording.

    Args:
        model: any `Recurrent`, or an `EncoderDecoder`. Every `Cell` in it is recorded, also one inside another: for a
            `Zoneout` the state that goes on, and for its `cell` the new state before the old one is mixed in. A cell
            that does not run exactly once per token is left out.
        xs: ids (T, B), or (T, B, D): rows of one length, whole texts or a chunk of them. For an `EncoderDecoder` the
            pair `(sources, targets)` that its `forward` takes; cells of the encoder have the steps of the sources.
        targets: the targets of the criterion; with None there is no loss, and there are no gradients.
        criterion: the loss; None is `SoftmaxCrossEntropy(reduction="sum")`, with which the gradients of a step do not
            shrink with the length of the text.
        state: the state before the text; None is the initial state.
        starts: (T, B), True where a document begins, as in `forward`.
        tokenizer: its `decode` gives the labels; with None they are the ids.

    Returns:
        The labels, outputs and loss, and a `LayerRecord` for each cell. Entry t belongs to token t, also in a cell that
        reads backward.

    Raises:
        TypeError: the model, the criterion or `xs` is of the wrong type.
        ValueError: two arguments do not go together: a state or starts with an `EncoderDecoder`, a criterion without
            targets, or a tokenizer with vectors.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tokenizer = CharTokenizer.from_text("abcab")
        >>> model = Sequential(OneHot(3), LSTMCell(3, 8, rng=rng), Linear(8, 3, rng=rng))
        >>> ids = tokenizer.encode("abcab")[:, None]
        >>> recording = record(model, ids[:-1], ids[1:], tokenizer=tokenizer)
        >>> recording
        <Recording of 4 steps of 1 rows: 'layers.1'>
        >>> values, gradients = recording["layers.1"]
        >>> list(values), values["f"].shape, gradients["f"].shape
        (['h', 'c', 'i', 'f', 'o', 'g'], (4, 1, 8), (4, 1, 8))
        >>> "".join(recording.labels[:, 0])
        'abca'
    """
    if criterion is not None and targets is None:
        raise ValueError(f"record: criterion, {criterion!r}, was given, but no targets to judge the outputs by")
    if tokenizer is not None and not (hasattr(tokenizer, "encode") and hasattr(tokenizer, "decode")):
        raise TypeError(f"record: tokenizer must have encode and decode, as CharTokenizer, not {tokenizer!r}")
    model, criterion = private_copy("record", model, criterion)
    cells, turned = named_cells(model), turned_round(model)
    notes = {name: take_notes(cell) for name, cell in cells.items()}
    inputs = check_inputs("record", model, xs, state, starts)
    ys, backward = run(model, inputs, state, starts)
    loss = None
    if targets is not None:
        loss, cache = criterion.forward(ys, targets)
        backward(criterion.backward(cache))
    lengths = {x.shape[0] for x in inputs}
    layers = {
        name: layer_record(steps[::-1] if id(cells[name]) in turned else steps)
        for name, steps in notes.items()
        if steps and len(steps) in lengths
    }
    for cell in cells.values():
        stop_notes(cell)
    return Recording(_labels(inputs[-1], tokenizer), ys, loss, layers)


class Step:
    """What is recorded of a cell at one step."""

    def __init__(self, y: Any, after: State, cache: Any, values: dict[str, Array]) -> None:
        self.y = y
        self.after = after
        self.cache = cache
        self.values = values
        self.gradients: dict[str, Array] = {}


def take_notes(cell: Any) -> list[Step]:
    """Make `cell` run step by step from now on, and append a `Step` for each step to the list that this returns."""
    names = [leaf.name for leaf in leaves(cell.state_spec)]
    forward, backward, inner_gradients = cell.step_forward, cell.step_backward, cell.inner_gradients
    steps: list[Step] = []
    ahead: list[Step] = []  # the steps that no gradient has come back through yet

    def forth(x: Any, state: State, *, training: bool = True) -> tuple[Any, State, Any]:
        y, after, cache = forward(x, state, training=training)
        given, values = [x, *leaves(state)], dict(zip(names, leaves(after), strict=True))
        for name, value in getattr(cache, "_asdict", dict)().items():
            if name not in values and not any(value is array for array in given) and _is_of_rows(value, y.shape[0]):
                values[name] = value
        step = Step(y, after, cache, values)
        steps.append(step)
        ahead.append(step)
        return y, after, cache

    def back(dy: Any, dstate: State, cache: Any) -> tuple[Any, State]:
        # Of several steps with the same cache, such as None, this takes the last: its gradient comes back first.
        step = next((step for step in reversed(ahead) if step.cache is cache), None)
        if step is not None:
            ahead.remove(step)
            for name, array, d in zip(names, leaves(step.after), leaves(dstate), strict=True):
                step.gradients[name] = d + dy if array is step.y else d
            inner = inner_gradients(dy, dstate, cache)
            step.gradients.update({name: d for name, d in inner.items() if name in step.values})
        before: tuple[Any, State] = backward(dy, dstate, cache)
        return before

    cell.step_forward, cell.step_backward = forth, back  # a cell with replaced steps does not run its kernel
    return steps


def stop_notes(cell: Any) -> None:
    """Undo `take_notes`: its functions and the cell hold each other, which would keep all steps in memory."""
    del cell.step_forward, cell.step_backward


def layer_record(steps: list[Step]) -> LayerRecord:
    """The record of at least one step, in the order of the text."""
    return LayerRecord(_stacked([step.values for step in steps]), _stacked([step.gradients for step in steps]))


def named_cells(model: Layer) -> dict[str, Any]:
    """The cells of a model, also those inside cells, each under the first of its names."""
    cells: dict[str, Any] = {}
    for name, cell in _all_of(Cell, model):
        if all(cell is not other for other in cells.values()):
            cells[name] = cell
    return cells


def turned_round(model: Layer) -> set[int]:
    """The cells, by `id`, that read the reversed text: each is inside an odd number of layers `backward_cell`."""
    turned: set[int] = set()
    for both in {id(both): both for _, both in _all_of(Bidirectional, model)}.values():
        turned ^= {id(cell) for _, cell in _all_of(Cell, both.backward_cell)}
    return turned


def private_copy(owner: str, model: Any, criterion: Any) -> tuple[Any, Any]:
    """Copies of `model` and `criterion` (or the default), with their own parameters, gradients and random streams."""
    if not isinstance(model, (Recurrent, EncoderDecoder)):
        raise TypeError(
            f"{owner}: model must be a Recurrent, such as Sequential, or an EncoderDecoder, not {model!r}. Other "
            "layers go into a Sequential"
        )
    if criterion is None:
        criterion = SoftmaxCrossEntropy(reduction="sum")
    if not isinstance(criterion, Loss):
        raise TypeError(f"{owner}: criterion must be a Loss, such as SoftmaxCrossEntropy(), not {criterion!r}")
    both: tuple[Any, Any] = copy.deepcopy((model, criterion))  # copied together: they may share parameters
    return both


def check_inputs(owner: str, model: Any, xs: Any, state: Any, starts: Any) -> tuple[Any, ...]:
    """The sequences that the model reads: one, or two for an `EncoderDecoder`."""
    if not isinstance(model, EncoderDecoder):
        return (xs,)
    if not isinstance(xs, tuple) or len(xs) != 2:
        came = f"a tuple of {len(xs)}" if isinstance(xs, tuple) else f"a {type(xs).__name__}"
        raise TypeError(
            f"{owner}: xs is {came}, but an EncoderDecoder reads two sequences: give xs=(sources, targets), the second "
            "what its decoder reads"
        )
    if state is not None:
        raise ValueError(f"{owner}: a state was given, but an EncoderDecoder has none: its decoder begins from sources")
    if starts is not None:
        raise ValueError(f"{owner}: starts were given, but an EncoderDecoder reads one source a row: leave them out")
    pair: tuple[Any, ...] = xs
    return pair


def run(model: Any, inputs: tuple[Any, ...], state: Any, starts: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The outputs at inference, and a function that takes the gradient w.r.t. them back through the model."""
    if isinstance(model, EncoderDecoder):
        ys, cache = model.forward(*inputs, training=False)
        return ys, lambda dys: model.backward(dys, cache)
    ys, _, cache = model.forward(*inputs, state, starts=starts, training=False)
    return ys, lambda dys: model.backward(dys, None, cache)


def _all_of(kind: Any, layer: Layer) -> Iterator[tuple[str, Any]]:
    """`layer` and all layers in it that are of a kind, by dotted name; also those inside one of the kind."""
    if isinstance(layer, kind):
        yield "", layer
    yield from places(layer, lambda value: isinstance(value, kind), seen=set())  # `layer` too, where a part knows it


def _is_of_rows(value: Any, batch: int) -> bool:
    """Whether it is a floating-point array (B, H), and not None, a cache, or the vector of a parameter."""
    return getattr(getattr(value, "dtype", None), "kind", "") == "f" and value.ndim > 1 and value.shape[0] == batch


def _stacked(steps: list[dict[str, Array]]) -> dict[str, Array]:
    """The arrays that all steps have, stacked over time."""
    names = [name for name in steps[0] if all(name in step for step in steps)]
    return {name: namespace(steps[0][name]).stack([step[name] for step in steps]) for name in names}


def _labels(xs: Any, tokenizer: Any) -> NDArray[np.object_]:
    ids = xs.ids if isinstance(xs, OneHotRows) else xs
    if ids.dtype.kind == "f":
        if tokenizer is not None:
            raise ValueError(f"record: tokenizer, {tokenizer!r}, names ids, but xs holds vectors {xs.shape}")
        shape = ids.shape[:2]
        texts = [str(t) for t in range(shape[0]) for _ in range(shape[1])]
    else:
        host, shape = device_of(ids).to_host(ids), ids.shape
        known = {i: str(i) if tokenizer is None else tokenizer.decode([i]) for i in np.unique(host).tolist()}
        texts = [known[i] for i in host.ravel().tolist()]
    labels: NDArray[np.object_] = np.array(texts, object).reshape(shape)  # a dtype of str would strip "\0"
    return labels
