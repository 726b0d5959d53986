"""How much the loss of each step of a text depends on the state of each other step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import index
from typing import Any, SupportsIndex

from ..core.arrays import Array, Bool, Booleans, Float, namespace
from ..core.device import on_own_gpu
from ..core.layer import Layer
from ..core.one_hot import OneHotRows
from ..core.roles import Loss, Recurrent
from ..core.states import State, tree_map
from ..models.encoder_decoder import EncoderDecoder
from .recording import check_inputs, layer_record, named_cells, private_copy, run, stop_notes, take_notes, turned_round


@on_own_gpu
def credit_map(
    model: Recurrent | EncoderDecoder,
    xs: Any,
    targets: Any,
    *,
    layer: str | None = None,
    of: str | None = None,
    criterion: Loss | None = None,
    state: State | None = None,
    starts: Bool[Booleans, "T B"] | None = None,
    steps: Iterable[SupportsIndex] | None = None,
) -> Float[Array, "S N"]:
    r"""How far back the loss of each step reaches: the norm of its gradient w.r.t. the state of each step.

    .. math::
        m_{st} = \left\lVert \frac{\partial L_t}{\partial h_s} \right\rVert, \qquad L = \sum_t L_t

    Row s is the step of the state, column t the step of the loss. In a causal model a state does not change the losses
    before it, so the map is 0 below its diagonal. For the `backward_cell` of a `Bidirectional` that no recurrent layer
    follows, it is 0 above its diagonal.

    One forward and one backward run over a batch of copies of the text, one for each column, where the row of step t
    has only the loss of step t; so the whole map takes memory for T rows of T steps. The model does not change, as with
    `record`.

    Args:
        model: any `Recurrent`, or an `EncoderDecoder`.
        xs: one text: ids (T, 1), or (T, 1, D). For an `EncoderDecoder` the pair `(sources, targets)`; for a cell of its
            encoder s is a step of the sources.
        targets: the targets of the criterion, for one text. Where a target is ignored, the column is 0.
        layer: the dotted name of the cell, such as `"layers.1"`; None if there is only one cell.
        of: the value to take the gradient w.r.t.: an array of the state, such as `"c"`, or a gate; None is the first
            array of the state.
        criterion: the loss L; None is `SoftmaxCrossEntropy(reduction="sum")`.
        state: the state before the text, with one row; None is the initial state.
        starts: (T, 1), True where a document begins, as in `forward`: no gradient crosses it.
        steps: the steps of the losses, each of which is a column, such as `range(90, 100)`; None is all.

    Returns:
        (S, N), on the device of the model; S is T, except for the encoder of an `EncoderDecoder`. N is T, or the number
        of `steps`.

    Raises:
        TypeError: the model, the criterion, `xs` or `steps` is of the wrong type.
        ValueError: `xs` is not one row of at least one step; there is no `layer` or `of` of this name; `layer` is None
            and there are several cells, which the message names; the cell does not run exactly once per token; `steps`
            is empty, or one is not from 0 to T - 1.

    References:
        Pascanu, Mikolov and Bengio, *On the Difficulty of Training Recurrent Neural Networks*, 2013.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), RNNCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> ids = rng.integers(0, 5, (7, 1))
        >>> credit = credit_map(model, ids[:-1], ids[1:])
        >>> credit.shape, bool((credit == np.triu(credit)).all())
        ((6, 6), True)
    """
    model, criterion = private_copy("credit_map", model, criterion)
    inputs = check_inputs("credit_map", model, xs, state, starts)
    for x in inputs:
        came: Any = getattr(x, "shape", f"a {type(x).__name__}")
        if came[1:2] != (1,) or not came[0]:
            raise ValueError(
                f"credit_map: xs is {came}, expected an array (T, 1) or (T, 1, D), one text of at least 1 step. From a "
                "batch, give one row, xs[:, b : b + 1], and its targets"
            )
    for argument, value in (("layer", layer), ("of", of)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"credit_map: {argument} must be a name, a str, not {value!r}")
    name = _the_cell(model) if layer is None else layer
    cells = named_cells(model)
    if name not in cells:
        raise ValueError(f"credit_map: layer must be one of {', '.join(map(repr, cells))}, not {layer!r}")
    last = inputs[-1]
    xp, T = namespace(last.ids if isinstance(last, OneHotRows) else last), last.shape[0]
    columns = _columns(steps, T)
    N = len(columns)
    notes = take_notes(cells[name])

    rows = tuple(x[:, xp.zeros(N, int)] for x in inputs)
    state = tree_map(lambda array: _repeated(array, N, 0), state)
    ys, backward = run(model, rows, state, _repeated(starts, N, 1))
    _, cache = criterion.forward(ys[:, :1], targets)
    dys, t = xp.zeros_like(ys), xp.asarray(columns)
    dys[t, xp.arange(N)] = criterion.backward(cache)[t, 0]
    backward(dys)

    if len(notes) not in {x.shape[0] for x in inputs}:
        raise ValueError(
            f"credit_map: {name!r}, {cells[name]!r}, took {len(notes)} steps over a text of {T}; there must be one for "
            "each token"
        )
    stop_notes(cells[name])
    gradients = layer_record(notes[::-1] if id(cells[name]) in turned_round(model) else notes).gradients
    of = next(iter(gradients), None) if of is None else of
    if of not in gradients:
        raise ValueError(f"credit_map: {name!r} has gradients w.r.t. {', '.join(map(repr, gradients))}, not {of!r}")
    return _norms(gradients[of])


def _repeated(array: Any, times: int, axis: int) -> Any:
    """`array` with its one row `times` times; what has no such row the model refuses."""
    return array.repeat(times, axis=axis) if getattr(array, "shape", ())[axis : axis + 1] == (1,) else array


def _columns(steps: Any, T: int) -> list[int]:
    """`steps` as integers, each of them from 0 to T - 1; all of these for None."""
    if steps is None:
        return list(range(T))
    try:
        columns = [index(t) for t in steps]
    except TypeError:
        raise TypeError(f"credit_map: steps must be integers, such as range(3), not {steps!r:.80}") from None
    outside = [t for t in columns if not 0 <= t < T]
    if outside or not columns:
        came = f"holds {outside[0]}" if outside else "is empty"
        raise ValueError(f"credit_map: steps {came}, but must hold integers from 0 to {T - 1}: the text has {T} steps")
    return columns


def _the_cell(model: Layer) -> str:
    """The name of the only cell, not counting cells inside another cell."""
    names = list(named_cells(model))
    within = {
        name for name in names for other in names if name != other and f"{name}.".startswith(other and f"{other}.")
    }
    outer = [name for name in names if name not in within]
    if len(outer) != 1:
        has = f"the cells {', '.join(map(repr, names))}: give one as layer=" if names else "no cell"
        raise ValueError(f"credit_map: {model!r} has {has}")
    return outer[0]


def _norms(gradient: Array) -> Array:
    """Norms over the last axis. Entries are divided by the largest first, so squares neither overflow nor vanish."""
    xp = namespace(gradient)
    largest = abs(gradient).max(axis=-1, keepdims=True)
    divisor: Array = xp.where((largest > 0) & (largest < math.inf), largest, 1)
    scaled = gradient / divisor
    norms: Array = divisor[..., 0] * xp.sqrt((scaled * scaled).sum(axis=-1))
    return norms
