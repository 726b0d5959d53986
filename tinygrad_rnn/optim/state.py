"""The state of an optimizer: what a checkpoint holds of it, and whether it fits another."""

from __future__ import annotations

from collections.abc import Collection
from operator import index
from typing import Any, NamedTuple

from ..core.arguments import check_size
from ..core.arrays import Array
from ..core.device import device_of
from ..core.foreign import is_array

Arrays = dict[str, dict[str, Array]]
"""Arrays by attribute, such as `sum`, then by the parameter's dotted name."""
Counts = tuple[int, int, dict[str, int]]


class OptimizerState(NamedTuple):
    """The state of an optimizer, from the steps that it has taken."""

    kind: str
    """The name of its class."""
    steps: int
    """How many steps were taken."""
    arrays: Arrays
    """The array for each parameter, by attribute, such as `sum`, then by the parameter's dotted name."""
    skipped: int = 0
    """How many of the steps were left out."""
    missed: dict[str, int] = {}  # noqa: RUF012  # nothing writes to it
    """In how many of the steps a parameter was frozen, by its dotted name; without those that never were."""
    rates: dict[str, float] = {}  # noqa: RUF012
    """The `rates` of the optimizer, a setting: `restore` leaves those of another optimizer as they are."""


def fill(kind: str, arrays: Arrays, names: Collection[str], memory: OptimizerState) -> Counts:
    """Write the arrays of `memory` into those of an optimizer; gives its steps, how many were skipped, and `missed`.

    Args:
        kind: the class of the optimizer.
        arrays: its arrays.
        names: the names of its parameters.
        memory: the state of another one.

    Raises:
        TypeError: `memory` is not an optimizer state.
        ValueError: it is of another class or another model; the message lists all differences. Nothing is changed.
    """
    owner = f"{kind}.restore"
    _check_state(owner, memory)
    here, there = _flat(arrays), _flat(memory.arrays)
    wrong = [f"it is of {memory.kind}"] if memory.kind != kind else []
    wrong += [f"{name} is missing" for name in sorted(here.keys() - there.keys())]
    wrong += [f"{name} is unexpected" for name in sorted(there.keys() - here.keys())]
    for name in sorted(here.keys() & there.keys()):
        found, expected = (f"{array[name].dtype}{array[name].shape}" for array in (there, here))
        wrong += [f"{name} is {found}, expected {expected}"] if found != expected else []
    wrong += [f"missed/{name} is unexpected" for name in memory.missed if name not in names]
    wrong += [f"missed/{n} is {count} of {memory.steps}" for n, count in memory.missed.items() if count > memory.steps]
    if wrong:
        raise ValueError(f"{owner}: the memory does not fit: {'; '.join(wrong)}")
    for name, array in here.items():
        array[...] = device_of(array).asarray(device_of(there[name]).to_host(there[name]))
    missed = {name: index(count) for name, count in memory.missed.items()}
    return index(memory.steps), index(memory.skipped), missed


def _flat(arrays: Arrays) -> dict[str, Array]:
    """The arrays by one name each."""
    return {f"{key}/{name}": array for key, group in arrays.items() for name, array in group.items()}


def _check_state(owner: str, memory: Any) -> None:
    """`memory` must be an `OptimizerState` with what belongs in it."""
    if not isinstance(memory, OptimizerState):
        raise TypeError(
            f"{owner}: memory must be the `optimizer` of a Checkpoint that was saved with one, or what memory() gives, "
            f"not a {type(memory).__name__}"
        )
    if not isinstance(memory.kind, str):
        raise TypeError(f"{owner}: memory.kind must be the name of a class, not a {type(memory.kind).__name__}")
    check_size(owner, "memory.steps", memory.steps, 0)
    check_size(owner, "memory.skipped", memory.skipped, 0)
    missed: Any = memory.missed
    if not isinstance(missed, dict):
        raise TypeError(f"{owner}: memory.missed must hold counts by name of the parameter")
    for name, count in missed.items():
        check_size(owner, f"memory.missed[{name!r:.80}]", count, 0)
    arrays: Any = memory.arrays
    groups = arrays.values() if isinstance(arrays, dict) else [arrays]
    if not all(isinstance(group, dict) and all(map(is_array, group.values())) for group in groups):
        raise TypeError(f"{owner}: memory.arrays must hold arrays by attribute and by name of the parameter")
