"""The contract check: what every layer must satisfy besides correct gradients, clause by clause."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from ..core.arrays import Generator
from ..core.device import Device
from ..core.layer import Layer
from ..core.one_hot import OneHotRows
from ..core.roles import Feedforward, Loss, Recurrent
from ..core.states import tree_map
from ..layers.attention.base import Attention
from ..layers.pooling.base import Pool
from ..models.encoder_decoder import EncoderDecoder
from ..models.many_to_one import ManyToOne
from . import sequences
from .examples import Example, RecurrentExample, examples, takes_weights
from .examples.base import draw
from .inner import check_inner_float32
from .named import Arrays, floats, leaves, planted, same


def check_contract(layer: Layer, *, rng: Generator) -> list[str]:
    """Check the contract of a layer, whatever its role, clause by clause.

    Args:
        layer: `Feedforward`, `Recurrent`, `Attention`, `Pool`, `EncoderDecoder`, `ManyToOne` or `Loss`; it is not
            changed.
        rng: draws inputs and parameters.

    Returns:
        The names of the clauses that were checked, which depend on the role of the layer.

    Raises:
        AssertionError: a clause does not hold; the message says which clause, for which array, and where in it.
        TypeError: the layer has none of these roles.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> clauses = check_contract(RNNCell(3, 4, rng=rng), rng=rng)
        >>> len(clauses), clauses[0]
        (21, 'nothing_given_is_written_to')
    """
    clauses: list[Callable[[Layer, Generator], None]] = [
        nothing_given_is_written_to,
        backwards_come_in_any_order_and_add_up,
        nothing_kept_is_overwritten,
        nothing_is_kept_on_the_layer,
        parameters_have_one_dtype,
        float32_stays_float32,
        mixed_dtypes_raise,
        layout_does_not_matter,
        empty_axes_are_legal,
        threads_may_run_forward,
    ]
    if not isinstance(layer, Loss):
        clauses.append(nothing_is_drawn_in_use)
    if not isinstance(layer, Feedforward):
        clauses.append(sequences.padding_never_matters)
    if takes_weights(layer):
        clauses.append(sequences.what_weighs_nothing_never_matters)
    if isinstance(layer, Recurrent):
        clauses += [
            sequences.the_last_state_is_small,
            sequences.a_state_is_frozen_past_the_end,
            sequences.a_sequence_equals_its_chunks if layer.causal else sequences.step_raises,
            sequences.documents_in_a_row_equal_documents_alone,
            sequences.documents_do_not_see_each_other,
        ]
        if layer.causal:
            clauses.append(sequences.a_loop_of_step_begins_documents_too)
    if isinstance(layer, ManyToOne):
        clauses += [
            sequences.the_last_state_is_small,
            sequences.a_state_is_frozen_past_the_end,
            sequences.a_stream_is_its_prefixes
            if layer.pool == "last" and layer.encoder.causal
            else sequences.step_raises,
        ]
    if isinstance(layer, (Recurrent, Attention, EncoderDecoder, Pool, ManyToOne)):
        clauses += [
            sequences.none_is_zeros,
            sequences.gradients_that_do_not_fit_raise,
            sequences.a_batch_equals_its_rows,
        ]
    for clause in clauses:
        try:
            clause(layer, rng)
        except Exception as error:
            error.add_note(f"check_contract was at the clause {clause.__name__}: {clause.__doc__}")
            raise
    return [clause.__name__ for clause in clauses]


def nothing_given_is_written_to(layer: Layer, rng: Generator) -> None:
    """A call writes to no input, upstream gradient, cache, or output of an earlier call."""
    for example in _all(layer, rng):
        message = f"{layer!r}: a call wrote to what it was given or had given"
        inputs = copy.deepcopy(_arrays("", example.given))  # before any call: a later one may write the same again
        upstream = example.upstream(rng)
        same(inputs, _arrays("", example.given), message)
        given = (upstream, *example.forward())
        before = copy.deepcopy(_arrays("", given))
        example.backward(upstream, given[2])
        example.forward()
        same(before, _arrays("", given), message)
        same(inputs, _arrays("", example.given), message)


def backwards_come_in_any_order_and_add_up(layer: Layer, rng: Generator) -> None:
    """After two forwards, backwards run any number of times in any order; each adds its gradients once."""
    message = f"{layer!r}: a backward depends on earlier backwards"
    for first in _all(layer, rng):
        second = _halved(first)
        upstream = first.upstream(rng)
        alone = first.everything(upstream), second.everything(upstream)
        first.layer.zero_grad()
        caches = first.forward()[1], second.forward()[1]
        for i in (0, 1, 1, 0, 1):
            gradients = (first, second)[i].gradients(upstream, caches[i])
            found = {f"gradient of {name}": array for name, array in gradients.items()}
            same({n: alone[i][n] for n in found}, found, message)
        found = {f"gradient of {name}": p.grad for name, p in first.layer.named_parameters()}
        expected = {name: 2 * alone[0][name] + 3 * alone[1][name] for name in found}
        same(expected, found, f"{layer!r}: backwards do not add up", 1e-12)


def nothing_kept_is_overwritten(layer: Layer, rng: Generator) -> None:
    """Later calls do not change the content of a cache or an output."""
    for example in _all(layer, rng):
        kept = example.forward()
        before = copy.deepcopy(_arrays("", kept))
        other = _halved(example)
        other.everything(other.upstream(rng))
        same(before, _arrays("", kept), f"{layer!r}: a later call overwrote a cache or an output")
        if isinstance(other.layer, Loss):
            dys = other.layer.backward(kept[1])
            shared = [place for place, array in _arrays("cache", kept[1]).items() if np.shares_memory(dys, array)]
            assert not shared, f"{layer!r}: what backward gives is not a new array, but shares memory with {shared}"


def nothing_is_kept_on_the_layer(layer: Layer, rng: Generator) -> None:
    """A cache also works with a copy of the layer, and backward uses the parameters as they are then."""
    for example in _all(layer, rng):
        before = _attributes(example.layer)
        upstream = example.upstream(rng)
        _, cache = example.forward()
        after = _attributes(example.layer)
        left = sorted(name for name in before.keys() | after.keys() if before.get(name) is not after.get(name, before))
        assert not left, f"{layer!r}: forward left something on the layer: {', '.join(left)}"
        for name, parameter in example.layer.named_parameters():
            for place, array in _arrays("cache", cache).items():
                for copied in (array, array.T):
                    stale = copied.shape == parameter.shape and (copied == parameter.value).all() and copied.size
                    assert not stale or np.shares_memory(array, parameter.value), (
                        f"{layer!r}: the cache holds {name} from forward, {place}: backward must read it itself"
                    )
        for parameter in example.layer.parameters():
            parameter.value *= 1.5
        other = copy.copy(example)
        other.layer = copy.deepcopy(example.layer)
        expected = other.gradients(upstream, cache)
        same(expected, example.gradients(upstream, cache), f"{layer!r}: forward left something on the layer")


def parameters_have_one_dtype(layer: Layer, rng: Generator) -> None:
    """All parameters have one dtype in the layer as it was made, before it is moved to another."""
    dtypes = {name: str(parameter.value.dtype) for name, parameter in layer.named_parameters()}
    assert len({*dtypes.values()}) <= 1, (
        f"{layer!r}: its parameters are of several dtypes: {', '.join(map(' '.join, dtypes.items()))}. "
        "An array made without a dtype is float64: write Parameter(np.zeros(size, np.float32))"
    )


def float32_stays_float32(layer: Layer, rng: Generator) -> None:
    """Outputs and gradients, also inner ones, have the parameters' dtype; in float32 they are close to float64."""
    for example in _all(layer, rng):
        upstream = example.upstream(rng)
        single = example.to(Device("cpu"), "float32")
        found = single.everything({name: array.astype("float32") for name, array in upstream.items()})
        for name, array in found.items():
            assert array.dtype == "float32", f"{layer!r}: with parameters of float32, {name} is {array.dtype}"
        if isinstance(single.layer, Recurrent):
            for name, array in floats(leaves("the initial state", single.layer.initial_state(3))).items():
                assert array.dtype == "float32", f"{layer!r}: with parameters of float32, {name} is {array.dtype}"
        same(example.everything(upstream), found, f"{layer!r}: float32 is far from float64", 1e-4)
    check_inner_float32(layer, rng)


def mixed_dtypes_raise(layer: Layer, rng: Generator) -> None:
    """A float64 array in forward or backward of a float32 layer is a TypeError that gives both ways to fix it."""
    if not layer.parameters():
        return
    example = examples(layer, rng)[0]
    upstream = example.upstream(rng)
    calls: dict[str, Callable[[], object]] = {}
    for name, array in example.variables.items():
        mixed = example.to(Device("cpu"), "float32")
        if isinstance(mixed, RecurrentExample) and name != "xs":
            mixed.state = planted("state", mixed.state, mixed.inputs | {name: array})
        else:
            setattr(mixed, name, array)
        calls[name] = mixed.forward
    single = example.to(Device("cpu"), "float32")
    _, cache = single.forward()
    for name, array in upstream.items():
        mixture = {key: array if key == name else upstream[key].astype("float32") for key in upstream}
        calls[f"the gradient of {name}"] = partial(single.backward, mixture, cache)
    for name, call in calls.items():
        try:
            call()
        except TypeError as error:
            assert ".astype(" in str(error) and ".to(dtype=" in str(error), f"{layer!r}: {error} gives no fix"
        else:
            raise AssertionError(f"{layer!r}: takes {name} in float64 with parameters in float32")


def layout_does_not_matter(layer: Layer, rng: Generator) -> None:
    """Inputs and upstream gradients may be views with any strides, such as a transpose."""
    for example in _all(layer, rng):
        upstream = example.upstream(rng)
        expected = example.everything(upstream)
        for name, value in example.given.items():
            setattr(example, name, tree_map(_strided, value))
        found = example.everything({name: _strided(array) for name, array in upstream.items()})
        same(expected, found, f"{layer!r}: the strides of its inputs matter", 1e-12)


def empty_axes_are_legal(layer: Layer, rng: Generator) -> None:
    """No steps (T = 0, or S = 0 in a memory) and no rows (B = 0) give outputs and gradients of these sizes, no NaN."""
    whole = examples(layer, rng)[0]
    outputs = whole.forward()[0]
    for empty in (*whole.sizes, "".join(whole.sizes)):
        example = whole.cut({axis: slice(0) for axis in empty})
        example.how = ": " + ", ".join(f"{k} = {0 if k in empty else size}" for k, size in whole.sizes.items())
        message = f"{layer!r}{example.how}"
        found = example.everything({name: draw(rng, array.shape) for name, array in example.forward()[0].items()})
        for name, array in outputs.items():
            shape, expected = found[name].shape, example.part(name, array, {axis: slice(0) for axis in empty}).shape
            assert shape == expected, f"{message}: {name} has shape {shape}, not {expected}"
        for name, array in found.items():
            assert not np.isnan(array).any(), f"{message}: {name} holds NaN"


def threads_may_run_forward(layer: Layer, rng: Generator) -> None:
    """Several threads on one layer get what one thread gets; not checked for layers that draw, where order matters."""
    interval, message = sys.getswitchinterval(), f"{layer!r}: threads disturb each other"
    for example in examples(layer, rng):
        if not example.layer.generators():
            both = (example, _halved(example))  # different inputs, so that mixed-up results show
            alone = [one.forward()[0] for one in both]
            sys.setswitchinterval(1e-6)
            try:
                with ThreadPoolExecutor(4) as pool:
                    for i, outputs in enumerate(pool.map(lambda i, both=both: both[i % 2].forward()[0], range(16))):
                        same(alone[i % 2], outputs, message)
            finally:
                sys.setswitchinterval(interval)


def nothing_is_drawn_in_use(layer: Layer, rng: Generator) -> None:
    """Only training advances a random stream: evaluating or sampling during training changes nothing."""
    example: Any = examples(layer, rng)[0]
    streams = example.layer.generators()
    calls = {"a call": partial(example.call, example.layer)}
    if isinstance(layer, Recurrent) and layer.causal:
        calls["a step"] = partial(example.layer.step, example.xs[0], example.state)
    for how, call in calls.items():
        upcoming = {name: copy.deepcopy(stream).random() for name, stream in streams.items()}
        call()
        moved = [name for name, stream in streams.items() if stream.random() != upcoming[name]]
        assert not moved, f"{layer!r}: {how} at inference drew from {', '.join(moved)}"


def _all(layer: Layer, rng: Generator) -> list[Example]:
    """Every way to call the layer: with and without lengths, and with documents in its rows."""
    if isinstance(layer, Feedforward):
        return examples(layer, rng)
    both = examples(layer, rng) + examples(layer, rng, sequences.LENGTHS)
    if isinstance(layer, Recurrent):
        both += examples(layer, rng, sequences.LENGTHS, sequences.STARTS)
    return both


def _attributes(layer: Layer, path: str = "") -> dict[str, Any]:
    """The attributes of a layer and of its children, by dotted name."""
    found = {path + name: value for name, value in vars(layer).items()}
    for name, value in vars(layer).items():
        for i, child in enumerate(value if isinstance(value, (tuple, list)) else (value,)):
            if isinstance(child, Layer):
                found |= _attributes(child, f"{path}{name}.{i}.")
    return found


def _strided(array: Any) -> Any:
    """The same numbers, not contiguous in any order."""
    if array.ndim == 0:
        return array
    view = np.zeros([2 * size for size in array.shape[::-1]], array.dtype).T[(slice(None, None, 2),) * array.ndim]
    view[...] = array
    return view


def _halved(example: Example) -> Example:
    """Another example with the same layer, and halved inputs."""
    layer = example.layer
    other = copy.deepcopy(example)
    other.layer = layer
    for array in other.variables.values():
        array *= 0.5
    return other


def _arrays(name: str, value: Any) -> Arrays:
    """All arrays in nested tuples, lists and dicts, by their paths."""
    if isinstance(value, OneHotRows):
        return {name: value.ids}
    if isinstance(value, (tuple, list)):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        return {place: array for key in value for place, array in _arrays(f"{name}[{key}]", value[key]).items()}
    return {name: value} if isinstance(value, np.ndarray) else {}
