"""The clauses of the contract that speak of time: padding, absent states, rows, chunks, steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Generator
from ..layers.base import Layer
from ..layers.roles import Recurrent
from .examples import Arrays, RecurrentExample, examples, leaves, planted, same

LENGTHS = np.array([3, 0, 5, 4])
"""A row that is whole, an empty one, and two that end before."""


def padding_never_matters(layer: Layer, rng: Generator) -> None:
    """What lies past a row's end changes nothing, to the bit; there is no output and no gradient there."""
    example = examples(layer, rng, LENGTHS)[0]
    upstream = example.upstream(rng)
    expected = example.everything(upstream)
    past = np.arange(LENGTHS.max())[:, None] >= LENGTHS
    for name in ("xs", "ys", "targets"):
        if hasattr(example, name):
            array = getattr(example, name)
            array[past] = np.nan if array.dtype.kind == "f" else 10**6
    if "ys" in upstream:
        upstream["ys"][past] = np.nan
    found = example.everything(upstream)
    same(expected, found, f"{layer!r}: what lies past a row's end matters")
    for name in ("ys", "gradient of xs", "gradient of ys"):
        if name in found:
            assert not found[name][past].any(), f"{layer!r}: {name} is not 0 past a row's end"


def a_state_is_frozen_past_the_end(layer: Layer, rng: Generator) -> None:
    """A row of length 0 ends in the state that it began with, and its gradient passes straight through."""
    example = _whole(layer, rng, lengths=True)
    upstream = example.upstream(rng)
    found = example.everything(upstream)
    for name in example.variables:
        if name != "xs":
            row = {name: example.variables[name][1], f"gradient of {name}": upstream[name][1]}
            same(row, {key: found[key][1] for key in row}, f"{layer!r}: a row of length 0 is not passed through")


def none_is_zeros(layer: Layer, rng: Generator) -> None:
    """An absent state is the initial one; an absent `dys` or `dstate`, or a part of it, is zeros."""
    example = _whole(layer, rng)
    example.state = example.layer.initial_state(example.xs.shape[1])
    ys, state, _ = example.layer.forward(example.xs)
    outputs, cache = example.forward()
    found = {"ys": ys, **leaves("state", state)}
    same(outputs, {name: found[name] for name in outputs}, f"{layer!r}: state=None is not the initial state")
    upstream = example.upstream(rng)
    states = set(upstream) - {"ys"}
    for absent in ({"ys"}, states, {"ys", *states}):
        zeros = {name: array * (name not in absent) for name, array in upstream.items()}
        given = {name: array for name, array in upstream.items() if name not in absent}
        for dstate in [planted("state", example.state, given)] + ([None] if states <= absent else []):
            dxs, before = example.layer.backward(given.get("ys"), dstate, cache)
            found = {"xs": dxs, **leaves("state", before)}
            expected = example.backward(zeros, cache)
            same(expected, {n: found[n] for n in expected}, f"{layer!r}: None for {sorted(absent)} is not zeros")


def gradients_that_do_not_fit_raise(layer: Layer, rng: Generator) -> None:
    """An upstream gradient of another shape, dtype or structure than what forward gave."""
    example = _whole(layer, rng)
    outputs, cache = example.forward()
    ys, state = outputs.get("ys"), planted("state", example.state, outputs)
    calls: list[tuple[type[Exception], Any, Any]] = [(ValueError, None, given) for given in ((*state, ys), [*state])]
    if ys is not None:
        calls += [(ValueError, ys[:, :1], None), (TypeError, ys.astype("float32"), None)]
    for name in set(outputs) - {"ys"}:
        calls.append((ValueError, None, planted("state", example.state, outputs | {name: outputs[name][:1]})))
        calls.append((TypeError, None, planted("state", example.state, outputs | {name: outputs[name].astype("f4")})))
    for error, dys, dstate in calls:
        try:
            example.layer.backward(dys, dstate, cache)
        except error as raised:
            assert "dys" in str(raised) or "dstate" in str(raised), f"{layer!r}: {raised} names no gradient"
            continue
        raise AssertionError(f"{layer!r}: backward takes gradients that do not fit, without a {error.__name__}")


def the_last_state_is_small(layer: Layer, rng: Generator) -> None:
    """It is not a view that keeps the whole sequence alive."""
    for name, array in _whole(layer, rng).forward()[0].items():
        owner = array
        while owner.base is not None:
            owner = owner.base
        if name != "ys":
            assert owner.size <= array.size, f"{layer!r}: the last {name} is a view of an array {owner.shape}"


def a_batch_equals_its_rows(layer: Layer, rng: Generator) -> None:
    """A batch with lengths gives what its rows give, cut to their lengths and run one by one."""
    example = _whole(layer, rng, lengths=True)
    if example.layer.generators():
        return  # a batch draws in another order than its rows
    upstream = example.upstream(rng)
    batch = example.everything(upstream)
    parameters = {f"gradient of {name}" for name, _ in example.layer.named_parameters()}
    total: Arrays = dict.fromkeys(parameters, 0)
    for i, length in enumerate(LENGTHS.tolist()):
        row, steps = slice(i, i + 1), slice(0, length)
        single = example.cut(steps, row)
        alone = single.everything({n: a[steps, row] if n == "ys" else a[row] for n, a in upstream.items()})
        for name, array in alone.items():
            if name in parameters:
                total[name] += array
            else:
                mine = batch[name][steps, row] if name in ("ys", "gradient of xs") else batch[name][row]
                same({name: array}, {name: mine}, f"{layer!r}: row {i} in a batch is not row {i} alone", 1e-12)
    same(total, {name: batch[name] for name in total}, f"{layer!r}: a batch is not the sum of its rows", 1e-12)


def a_sequence_equals_its_chunks(layer: Layer, rng: Generator) -> None:
    """Run by a loop of `step`, or in two chunks, the state carried forth and its gradient back, it is the same."""
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
        return  # a chunk may draw a mask of its own
    whole = example.everything(upstream)
    every, first, rest = slice(None), slice(0, 1), slice(1, None)
    head, tail = example.cut(first, every), example.cut(rest, every)
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


def step_raises(layer: Layer, rng: Generator) -> None:
    """A layer that is not causal has no step, and says so."""
    example = _whole(layer, rng)
    try:
        example.layer.step(example.xs[0], None)
    except ValueError:
        return
    raise AssertionError(f"{layer!r}: is not causal, but step does not raise ValueError")


def _whole(layer: Layer, rng: Generator, *, lengths: bool = False) -> RecurrentExample:
    """The example that runs the whole sequence at once."""
    assert isinstance(layer, Recurrent)
    return RecurrentExample(layer, rng, LENGTHS if lengths else None)
