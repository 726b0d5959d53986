"""Every layer of the table against the recipe: an independent forward, gradients, the contract, another device."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn
from naive import by_documents
from table import CASES, LENGTHS, STARTS, Case
from tinygrad_rnn import Attention, Cell, Feedforward, Layer, Loss, OneHotRows, Pool, Recurrent, VanillaRNN
from tinygrad_rnn.core.states import State, leaves, tree_map
from tinygrad_rnn.testing import StrictDevice, check_contract, check_gradients
from tinygrad_rnn.testing.examples import Example, RecurrentExample, StepsExample, examples
from tinygrad_rnn.testing.named import Arrays, same


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def every(which: Callable[[Layer], bool]) -> pytest.MarkDecorator:
    """Each case whose layer is such a one."""
    cases = {name: case for name, case in CASES.items() if which(case.make(rng()))}
    return pytest.mark.parametrize("case", cases.values(), ids=cases.keys())


every_case = every(lambda layer: True)
every_sequence = every(lambda layer: not isinstance(layer, Feedforward))
every_recurrent = every(lambda layer: isinstance(layer, Recurrent))
every_causal = every(lambda layer: isinstance(layer, Recurrent) and layer.causal)
lengths_or_not = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])


def test_every_public_layer_is_in_the_table() -> None:
    roles = {
        Layer,
        Feedforward,
        Recurrent,
        Cell,
        Attention,
        Pool,
        Loss,
        VanillaRNN,
    }  # the last has tests of its own
    public = {
        value
        for value in (getattr(tinygrad_rnn, name) for name in tinygrad_rnn.__all__)
        if inspect.isclass(value) and issubclass(value, Layer) and value not in roles
    }
    assert public == {type(case.make(rng())) for case in CASES.values()} & public


def recurrent(case: Case) -> Recurrent:
    layer = case.make(rng())
    assert isinstance(layer, Recurrent)
    return layer


def check_forward(case: Case, lengths: Any, starts: Any = None) -> None:
    ways = examples(case.make(rng()), rng(1), lengths, starts)
    for example in ways if isinstance(ways[0].layer, Loss) else ways[:1]:
        check_example(example, case, starts)


def check_example(example: Example, case: Case, starts: Any) -> None:
    equations = case.naive
    if isinstance(example.layer, Recurrent):
        equations = without_starts(case.naive) if starts is None else by_documents(case.naive)
    found, expected = (outputs(example, function) for function in (example.layer, partial(equations, example.layer)))
    if isinstance(found.get("y"), OneHotRows):
        found["y"] = found["y"] @ np.eye(found["y"].size)
    same(expected, found, f"{example.layer!r} differs from its equations", 1e-12)


def without_starts(function: Any) -> Any:
    """`function`, which knows of no `starts`, where there are none."""
    return lambda layer, xs, state, lengths, starts: function(layer, xs, state, lengths)


def outputs(example: Example, function: Any) -> Arrays:
    """All that `function` gives, by name."""
    given = example.call(function)
    return example.named(*given) if isinstance(given, tuple) else example.named(given)


def planted(like: State, arrays: list[Any]) -> State:
    """A state of that structure."""
    rest = iter(arrays)
    state: State = tree_map(lambda _: next(rest), like)
    return state


@every_case
def test_forward_is_the_equations(case: Case) -> None:
    check_forward(case, None)


@every_sequence
def test_forward_with_lengths_is_the_equations(case: Case) -> None:
    check_forward(case, LENGTHS)


@lengths_or_not
@every_recurrent
def test_forward_with_starts_is_the_equations_of_each_document_alone(case: Case, lengths: Any) -> None:
    check_forward(case, lengths, STARTS)


# Central differences call a forward a thousand times, of which other tests check the shapes: so here without these
# checks, as the tests of messages.
@pytest.mark.messages
@every_case
def test_gradients(case: Case, record_property: Callable[[str, object], None]) -> None:
    errors = check_gradients(case.make(rng()), rng=rng(1))
    record_property("worst error", max(errors.values(), default=0.0))


@pytest.mark.messages
@every_sequence
def test_gradients_with_lengths(case: Case) -> None:
    check_gradients(case.make(rng()), rng=rng(1), lengths=LENGTHS)


@pytest.mark.messages
@pytest.mark.parametrize("lengths", [pytest.param(None, marks=pytest.mark.long), LENGTHS], ids=["whole", "lengths"])
@every_recurrent
def test_gradients_with_starts(case: Case, lengths: Any) -> None:
    check_gradients(case.make(rng()), rng=rng(1), lengths=lengths, starts=STARTS)


@every_causal
def test_a_sequence_with_starts_is_a_loop_of_the_two_steps(case: Case) -> None:
    """So the kernel, where there is one, is the step, forward and back."""
    layer: Any = case.make(rng())
    for part in (layer, *getattr(layer, "layers", ()), *getattr(layer, "output", ())):
        if hasattr(part, "rate"):
            part.rate = 0.0  # for a step draws a mask of its own
    whole, steps = (kind(layer, rng(1), None, STARTS) for kind in (RecurrentExample, StepsExample))
    upstream = whole.upstream(rng(2))
    same(steps.everything(upstream), whole.everything(upstream), f"{layer!r} is not its steps", 1e-12)


@lengths_or_not
@every_recurrent
def test_starts_that_say_nothing_are_none_to_the_bit(case: Case, lengths: Any) -> None:
    example = RecurrentExample(recurrent(case), rng(1), lengths, np.zeros(STARTS.shape, np.bool))
    upstream = example.upstream(rng(2))
    found = example.everything(upstream)
    example.starts = None
    same(example.everything(upstream), found, f"{example.layer!r}: starts that are all False matter")


@every_recurrent
def test_starts_past_a_rows_end_are_ignored_to_the_bit(case: Case) -> None:
    example = RecurrentExample(recurrent(case), rng(1), LENGTHS, STARTS)
    upstream, found = example.upstream(rng(2)), []
    past = np.arange(len(STARTS))[:, None] >= LENGTHS
    for starts in (STARTS & ~past, STARTS | past):
        example.starts = starts
        found.append(example.everything(upstream))
    same(found[0], found[1], f"{example.layer!r}: starts past a row's end matter")


@every_recurrent
def test_a_start_at_the_first_step_is_the_initial_state(case: Case) -> None:
    """Whatever the state was, NaN too; it gets no gradient, but what is kept."""
    example = RecurrentExample(recurrent(case), rng(1), None, np.arange(5)[:, None] == np.zeros(4, int))
    layer, kept = example.layer, [leaf.kept for leaf in leaves(example.layer.state_spec)]
    given, initial = leaves(example.state), leaves(layer.initial_state(4))
    if not layer.causal:
        return  # of what reads backward, the state belongs to the end of the row
    upstream = example.upstream(rng(2))
    example.state = planted(example.state, [a if keep else a * np.nan for a, keep in zip(given, kept, strict=True)])
    found = example.everything(upstream)
    example.starts = None
    example.state = planted(example.state, [a if keep else i for a, i, keep in zip(given, initial, kept, strict=True)])
    expected = example.everything(upstream)
    before = [name for name in expected if name.startswith("gradient of state")]
    for name, keep in zip(
        before, [keep for a, keep in zip(given, kept, strict=True) if a.dtype.kind == "f"], strict=True
    ):
        assert keep or not found[name].any()
        expected[name] = expected[name] if keep else found[name]
    same(expected, found, f"{layer!r}: a start at the first step is not the initial state")


@pytest.mark.messages
@every_recurrent
def test_starts_that_do_not_fit_are_told_why(case: Case) -> None:
    example = RecurrentExample(recurrent(case), rng(1), LENGTHS)
    layer, xs, state, wrong = example.layer, example.xs, example.state, StrictDevice().asarray(STARTS)
    before = [parameter.value.copy() for parameter in layer.parameters()]
    for starts, error, message in (
        (STARTS.astype(int), TypeError, "starts must be an array of bools, True where a document begins, not int64"),
        (STARTS.tolist(), TypeError, "starts must be an array of bools, True where a document begins, not a list"),
        (STARTS[:4], ValueError, "starts has shape (4, 4), expected (5, 4)"),
        (STARTS[0], ValueError, "starts has shape (4,), expected (5, 4)"),
        (STARTS.T, ValueError, "starts has shape (4, 5), expected (5, 4)"),
        (wrong, TypeError, "starts is on strict, but the parameters are on cpu. Nothing moves by itself"),
    ):
        calls: list[Callable[..., object]] = [layer, layer.forward]
        for call in calls:
            with pytest.raises(error, match=re.escape(f"{layer!r}: {message}")):
                call(xs, state, starts=starts)
    flags: Any
    for flags, error, message in (
        (LENGTHS, TypeError, "starts must be an array of bools"),
        (STARTS, ValueError, "starts has shape (5, 4), expected (4,)"),
        (wrong[0], TypeError, "starts is on strict"),
    ):
        if layer.causal:
            with pytest.raises(error, match=re.escape(message)):
                layer.step(xs[0], state, starts=flags)
    for parameter, value in zip(layer.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.value, value)


@every_case
def test_contract(case: Case) -> None:
    check_contract(case.make(rng()), rng=rng(1))


@every_case
def test_strict_device_computes_the_same(case: Case) -> None:
    """The strict device stands in for a GPU: no hidden transfer, no host round trip, the same numbers."""
    device = StrictDevice()
    layer = case.make(rng())
    rows: list[tuple[Any, Any]] = [(None, None)] if isinstance(layer, Feedforward) else [(None, None), (LENGTHS, None)]
    rows += [(None, STARTS), (LENGTHS, STARTS)] if isinstance(layer, Recurrent) else []
    for example in [example for given in rows for example in examples(layer, rng(1), *given)]:
        upstream = example.upstream(rng(2))
        strict = example.to(device, "float64")
        found = strict.everything({name: device.asarray(array) for name, array in upstream.items()})
        for name, array in found.items():
            assert array.device == device, f"{name} came back on {array.device}"
        found = {name: device.to_host(array) for name, array in found.items()}
        same(example.everything(upstream), found, f"{layer!r} on the strict device", 1e-12)
