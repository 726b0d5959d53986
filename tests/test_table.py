"""Every layer of the table against the recipe: an independent forward, gradients, the contract, another device."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn
from table import CASES, LENGTHS, Case
from tinygrad_rnn import Attention, Cell, Feedforward, Layer, Loss, OneHotRows, Recurrent, VanillaRNN
from tinygrad_rnn.testing import StrictDevice, check_contract, check_gradients
from tinygrad_rnn.testing.examples import Arrays, Example, examples, same

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
every_sequence = pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if not isinstance(case.make(np.random.default_rng(0)), Feedforward)],
    ids=[name for name, case in CASES.items() if not isinstance(case.make(np.random.default_rng(0)), Feedforward)],
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_every_public_layer_is_in_the_table() -> None:
    roles = {
        Layer,
        Feedforward,
        Recurrent,
        Cell,
        Attention,
        Loss,
        VanillaRNN,
    }  # the last has tests of its own
    public = {
        value
        for value in vars(tinygrad_rnn).values()
        if inspect.isclass(value) and issubclass(value, Layer) and value not in roles
    }
    assert public == {type(case.make(rng())) for case in CASES.values()} & public


def check_forward(case: Case, lengths: Any) -> None:
    example = examples(case.make(rng()), rng(1), lengths)[0]
    found, expected = (outputs(example, function) for function in (example.layer, partial(case.naive, example.layer)))
    if isinstance(found.get("y"), OneHotRows):
        found["y"] = found["y"] @ np.eye(found["y"].size)
    same(expected, found, f"{example.layer!r} differs from its equations", 1e-12)


def outputs(example: Example, function: Any) -> Arrays:
    """All that `function` gives, by name."""
    given = example.call(function)
    return example.named(*given) if isinstance(given, tuple) else example.named(given)


@every_case
def test_forward_is_the_equations(case: Case) -> None:
    check_forward(case, None)


@every_sequence
def test_forward_with_lengths_is_the_equations(case: Case) -> None:
    check_forward(case, LENGTHS)


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


@every_case
def test_contract(case: Case) -> None:
    check_contract(case.make(rng()), rng=rng(1))


@every_case
def test_strict_device_computes_the_same(case: Case) -> None:
    """The strict device stands in for a GPU: no hidden transfer, no host round trip, the same numbers."""
    device = StrictDevice()
    layer = case.make(rng())
    lengths = [None] if isinstance(layer, Feedforward) else [None, LENGTHS]
    for example in [example for given in lengths for example in examples(layer, rng(1), given)]:
        upstream = example.upstream(rng(2))
        strict = example.to(device, "float64")
        found = strict.everything({name: device.asarray(array) for name, array in upstream.items()})
        for name, array in found.items():
            assert array.device == device, f"{name} came back on {array.device}"
        found = {name: device.to_host(array) for name, array in found.items()}
        same(example.everything(upstream), found, f"{layer!r} on the strict device", 1e-12)
