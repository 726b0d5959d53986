"""The clauses of the contract about sequences: padding, absent states, rows, chunks, steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..core.arrays import Generator
from ..core.layer import Layer
from ..core.roles import Recurrent
from .examples import Example, RecurrentExample, examples
from .named import Arrays, leaves, planted, same

LENGTHS = np.array([3, 0, 5, 4])
"""A whole row, an empty one, and two that end early."""
STARTS = np.zeros((5, 4), np.bool)
"""Where documents begin: at the first step, at several steps in a row, and past the end of a row."""
STARTS[[0, 2, 1, 2, 3, 3, 4], [0, 0, 1, 2, 2, 3, 3]] = True


def padding_never_matters(layer: Layer, rng: Generator) -> None:
    """The content past a row's end changes nothing, to the bit; outputs and gradients are 0 there."""
    for example in examples(layer, rng, LENGTHS):
        upstream = example.upstream(rng)
        expected = example.everything(upstream)
        for _, array, past in _of_steps(example, example.given | upstream):
            array[past] = np.nan if array.dtype.kind == "f" else 10**6
        found = example.everything(upstream)
        same(expected, found, f"{layer!r}: the content past a row's end matters")
        names = [*upstream, *(f"gradient of {name}" for name in example.variables)]
        for name, array, past in _of_steps(example, {name: found[name] for name in names}):
            assert not array[past].any(), f"{layer!r}: {name} is not 0 past a row's end"


def what_weighs_nothing_never_matters(layer: Layer, rng: Generator) -> None:
    """Where a weight is 0, the content changes nothing, to the bit; loss and gradient are 0 there."""
    for lengths in (None, LENGTHS):
        for example in examples(layer, rng, lengths):
            weights = getattr(example, "weights", None)
            if weights is None:
                continue
            upstream = example.upstream(rng)
            expected = example.everything(upstream)
            arrays = {name: example.given[name] for name in ("ys", "targets")} | upstream
            for array in arrays.values():
                if array.ndim:
                    array[weights == 0] = np.nan if array.dtype.kind == "f" else 10**6
            found = example.everything(upstream)
            same(expected, found, f"{layer!r}: what weighs 0 matters")
            for name, array in found.items():
                assert not array.ndim or not array[weights == 0].any(), (
                    f"{layer!r}: {name} is not 0 where the weight is"
                )


def a_state_is_frozen_past_the_end(layer: Layer, rng: Generator) -> None:
    """A row of length 0 ends in its initial state, and the gradient w.r.t. the state passes through unchanged."""
    example = _whole(layer, rng, lengths=True)
    upstream = example.upstream(rng)
    found = example.everything(upstream)
    for name in example.variables:
        if name != "xs":
            row = {name: example.variables[name][1], f"gradient of {name}": upstream[name][1]}
            same(row, {key: found[key][1] for key in row}, f"{layer!r}: a row of length 0 is not passed through")


def none_is_zeros(layer: Layer, rng: Generator) -> None:
    """An absent state is the initial state; an absent upstream gradient, or a part of `dstate`, is zeros."""
    example = examples(layer, rng)[0]
    if isinstance(example, RecurrentExample):
        example.state = example.layer.initial_state(example.xs.shape[1])
        *given_none, _ = example.layer.forward(example.xs)
        outputs, found = example.forward()[0], example.named(*given_none)
        same(outputs, {name: found[name] for name in outputs}, f"{layer!r}: state=None is not the initial state")
    _, cache = example.forward()
    upstream = example.upstream(rng)
    states = {name for name in upstream if name.startswith("state")}
    for absent in [*({name} for name in upstream), states, set(upstream)]:
        zeros = {name: array * (name not in absent) for name, array in upstream.items()}
        given = {name: array for name, array in upstream.items() if name not in absent}
        message, expected = f"{layer!r}: None for {sorted(absent)} is not zeros", example.backward(zeros, cache)
        same(expected, example.backward(given, cache), message)
        if isinstance(example, RecurrentExample) and states <= absent:
            dxs, before = example.layer.backward(given.get("ys", given.get("y")), None, cache)
            found = {"xs": dxs, **leaves("state", before)}
            same(expected, {name: found[name] for name in expected}, message)


def gradients_that_do_not_fit_raise(layer: Layer, rng: Generator) -> None:
    """An upstream gradient whose shape, dtype or structure differs from what forward gave raises."""
    example = examples(layer, rng)[0]
    outputs, cache = example.forward()
    calls: list[tuple[type[Exception], str, Callable[[], object]]] = []
    for name, array in outputs.items():
        other = array[:, :1] if array.shape[1] > 1 else array.repeat(2, axis=1)
        calls.append((ValueError, name, partial(example.backward, outputs | {name: other}, cache)))
        calls.append((TypeError, name, partial(example.backward, outputs | {name: array.astype("float32")}, cache)))
    if isinstance(example, RecurrentExample):
        state = planted("state", example.state, outputs)
        for dstate in ((*state, outputs.get("ys")), [*state]):
            calls.append((ValueError, "state", partial(example.layer.backward, None, dstate, cache)))
    for error, name, call in calls:
        try:
            call()
        except error as raised:
            assert f"d{name}" in str(raised), f"{layer!r}: {raised} does not name d{name}"
            continue
        raise AssertionError(f"{layer!r}: backward takes gradients that do not fit, without a {error.__name__}")


def the_last_state_is_small(layer: Layer, rng: Generator) -> None:
    """The final state is not a view that keeps the whole sequence in memory."""
    for name, array in _whole(layer, rng).forward()[0].items():
        owner = array
        while owner.base is not None:
            owner = owner.base
        if name != "ys":
            assert owner.size <= array.size, f"{layer!r}: the final {name} is a view of an array {owner.shape}"


def a_batch_equals_its_rows(layer: Layer, rng: Generator) -> None:
    """A batch with lengths gives what its rows give, when they are cut to their lengths and run one by one."""
    example = examples(layer, rng, LENGTHS)[0]
    if example.layer.generators():
        return  # a batch draws in another order than its rows
    upstream = example.upstream(rng)
    batch = example.everything(upstream)
    parameters = {f"gradient of {name}" for name, _ in example.layer.named_parameters()}
    total: Arrays = dict.fromkeys(parameters, 0)
    for i in range(len(LENGTHS)):
        ends = {axis: slice(int(getattr(example, lengths)[i])) for axis, lengths in example.ends.items()}
        where = {"B": slice(i, i + 1), **ends}
        alone = example.cut(where).everything({n: example.part(n, array, where) for n, array in upstream.items()})
        for name, array in alone.items():
            if name in parameters:
                total[name] += array
            else:
                mine = example.part(name, batch[name], where)
                same({name: array}, {name: mine}, f"{layer!r}: row {i} in a batch is not row {i} alone", 1e-12)
    same(total, {name: batch[name] for name in total}, f"{layer!r}: a batch is not the sum of its rows", 1e-12)


def a_sequence_equals_its_chunks(layer: Layer, rng: Generator) -> None:
    """A loop of `step`, or two chunks that pass on the state and its gradient, give the same as the sequence."""
    example = _whole(layer, rng)
    upstream = example.upstream(rng)
    state, steps = example.state, []
    for t in range(example.xs.shape[0]):
        y, state = example.layer.step(example.xs[t], state)
        steps.append(y)
    in_use = example.layer(example.xs, example.state)
    found = leaves("state", state) | ({"ys": np.stack(steps)} if "ys" in upstream else {})
    expected = {"ys": in_use[0], **leaves("state", in_use[1])}
    same({name: expected[name] for name in found}, found, f"{layer!r}: a sequence is not a loop of step", 1e-12)

    if example.layer.generators():
        return  # each chunk may draw its own mask
    whole = example.everything(upstream)
    first, rest = slice(0, 1), slice(1, None)
    head, tail = example.cut({"T": first}), example.cut({"T": rest})
    example.layer.zero_grad()
    ys_head, head_cache = head.run()
    tail.state = planted("state", example.state, ys_head)
    ys_tail, tail_cache = tail.run()
    up = {name: array[rest] if name == "ys" else array for name, array in upstream.items()}
    gradients_tail = tail.backward(up, tail_cache)
    up = {name: upstream[name][first] if name == "ys" else gradients_tail[name] for name in upstream}
    gradients_head = head.backward(up, head_cache)
    found = {f"gradient of {name}": p.grad for name, p in example.layer.named_parameters()}
    for name in example.variables:
        both = (gradients_head[name], gradients_tail[name])
        found[f"gradient of {name}"] = np.concatenate(both) if name == "xs" else both[0]
    for name in upstream:
        found[name] = np.concatenate([ys_head[name], ys_tail[name]]) if name == "ys" else ys_tail[name]
    same(whole, found, f"{layer!r}: a sequence is not its chunks", 1e-12)


def documents_in_a_row_equal_documents_alone(layer: Layer, rng: Generator) -> None:
    """A document that begins where `starts` is True gives the same as alone, in forward and backward."""
    assert isinstance(layer, Recurrent)
    example = RecurrentExample(layer, rng, starts=STARTS)
    spec = example.layer.state_spec
    if example.layer.generators():
        return  # a row draws in another order than its documents
    if not layer.causal:  # a state that is read backward belongs to the end of the last document
        example.state = None  # type: ignore[assignment]
    upstream = {n: d if n == "ys" or layer.causal else 0 * d for n, d in example.upstream(rng).items()}
    packed = example.everything(upstream)
    parameters = {f"gradient of {name}" for name, _ in example.layer.named_parameters()}
    total: Arrays = dict.fromkeys(parameters, 0)
    kept = {name for name, leaf in leaves("state", spec).items() if leaf.kept}
    whole = [f"gradient of {name}" for name in example.variables if name in kept]  # sums over the documents of a row
    total |= {name: np.zeros_like(packed[name]) for name in whole}
    for row, first, last, begins in _documents(STARTS):
        where = {"B": slice(row, row + 1), "T": slice(first, last)}
        message = f"{layer!r}: the document from step {first} of row {row} is not that document alone"
        alone = example.cut(where)
        alone.starts = None
        if begins:
            alone.state = planted("state", example.state, {n: leaves("state", alone.state)[n] for n in kept})
        up = {
            name: example.part(name, array, where) * (name == "ys" or last == len(STARTS))
            for name, array in upstream.items()
        }
        found = alone.everything(up)
        for name in parameters:
            total[name] += found[name]
        for name in whole:
            total[name][row : row + 1] += found[name]
        expected = {"gradient of xs"} if last < len(STARTS) else {*upstream, "gradient of xs"}
        for name in sorted({"ys", *expected} & found.keys()):
            if layer.causal or not name.startswith("state"):
                same({name: found[name]}, {name: example.part(name, packed[name], where)}, message, 1e-12)
        for name in sorted(example.variables.keys() - {"xs"} - kept):
            gradient = example.part(name, packed[f"gradient of {name}"], where)
            if first == 0 and layer.causal:
                expected_gradient = 0 * gradient if begins else found[f"gradient of {name}"]
                same({name: expected_gradient}, {name: gradient}, f"{message}: the gradient of {name}", 1e-12)
    same(total, {name: packed[name] for name in total}, f"{layer!r}: a row is not the sum of its documents", 1e-12)


def documents_do_not_see_each_other(layer: Layer, rng: Generator) -> None:
    """The content of a document, even NaN, or the state before the row changes no other document, to the bit."""
    assert isinstance(layer, Recurrent)
    example = RecurrentExample(layer, rng, starts=STARTS)
    upstream = example.upstream(rng)
    expected = example.everything(upstream)
    other = np.zeros(STARTS.shape, bool)
    other[:2, 0] = other[:2, 2] = other[:3, 3] = True  # the first documents of these rows
    example.xs[other] = np.nan if example.xs.dtype.kind == "f" else 0
    if layer.causal:
        kept = [leaf.kept for leaf in leaves("state", example.layer.state_spec).values()]
        for array, stays in zip(leaves("state", example.state).values(), kept, strict=True):
            if not stays:
                array[0] = np.nan  # where the first document begins at the first step
    found = example.everything(upstream)
    for name in sorted({"ys", "gradient of xs"} & found.keys()):
        if name != "gradient of xs" or example.xs.dtype.kind == "f":
            message = f"{layer!r}: {name} of a document depends on another document"
            same({name: expected[name][~other]}, {name: found[name][~other]}, message)


def a_loop_of_step_begins_documents_too(layer: Layer, rng: Generator) -> None:
    """A loop of `step` with `starts` gives, to the bit, what each document gives in a batch of the same size."""
    assert isinstance(layer, Recurrent)
    example = RecurrentExample(layer, rng, starts=STARTS)
    state, packed = example.state, []
    for t, starts in enumerate(STARTS):
        y, state = example.layer.step(example.xs[t], state, starts=starts)
        packed.append({"y": y, **leaves("state", state)})
    given, spec = leaves("state", example.state), leaves("state", example.layer.state_spec)
    kept = {name: given[name] for name, leaf in spec.items() if leaf.kept}
    for row, first, last, begins in _documents(STARTS):
        state = planted("state", example.state, kept) if begins else example.state
        for t in range(first, last):
            y, state = example.layer.step(example.xs[t], state)
            alone = {"y": y, **leaves("state", state)}
            for name, array in alone.items():
                if isinstance(array, np.ndarray):
                    message = f"{layer!r}: {name} at step {t} of row {row} is not that of the document alone"
                    same({name: array[row]}, {name: packed[t][name][row]}, message)


def _documents(starts: Any) -> Iterator[tuple[int, int, int, bool]]:
    """For each document: its row, first step, the step after the last, and whether the state is reset at its start."""
    for row in range(starts.shape[1]):
        firsts = [0, *(t for t in range(1, len(starts)) if starts[t, row])]
        for first, last in zip(firsts, [*firsts[1:], len(starts)], strict=True):
            yield row, first, last, bool(starts[first, row])


def a_stream_is_its_prefixes(layer: Layer, rng: Generator) -> None:
    """Each `step` of a loop gives what a call gives of all steps so far."""
    example = _whole(layer, rng)
    state = example.state
    for t in range(example.xs.shape[0]):
        *found, state = example.layer.step(example.xs[t], state)
        expected = example.named(*example.layer(example.xs[: t + 1], example.state))
        same(expected, example.named(*found, state), f"{layer!r}: step {t} is not the sequence up to it", 1e-12)


def step_raises(layer: Layer, rng: Generator) -> None:
    """A layer whose output depends on more than the state and the step has no `step`, and raises."""
    example = _whole(layer, rng)
    try:
        example.layer.step(example.xs[0], None)
    except ValueError:
        return
    raise AssertionError(f"{layer!r}: is not causal, but step does not raise ValueError")


def _of_steps(example: Example, arrays: Arrays) -> Iterator[tuple[str, Any, Any]]:
    """The arrays that have padding: name, a view with steps and rows first, and a mask of the padding."""
    for name, array in arrays.items():
        axes = "" if isinstance(array, tuple) else example.axes(name)[: array.ndim]
        for axis, lengths in example.ends.items():
            if axis in axes:
                view = np.moveaxis(array, (axes.index(axis), axes.index("B")), (0, 1))
                yield name, view, np.arange(len(view))[:, None] >= getattr(example, lengths)


def _whole(layer: Layer, rng: Generator, *, lengths: bool = False) -> RecurrentExample:
    """The example that runs the whole sequence at once."""
    example = examples(layer, rng, LENGTHS if lengths else None)[0]
    assert isinstance(example, RecurrentExample)
    return example
