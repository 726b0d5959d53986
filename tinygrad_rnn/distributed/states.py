"""The states of the rows of a batch: cut into those of shards, and joined again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.device import device_of, on_host
from ..core.states import leaves, tree_map
from .shards import Shards


class ShardStates(list[Any]):
    """The state of each shard of a worker, None for the initial one."""


def split_state(state: Any, shards: Shards) -> ShardStates:
    """Of each shard the state: of a state of all rows, or what is split already.

    Raises:
        TypeError: it is of another kind.
        ValueError: it has not as many rows as the batch, or shards.
    """
    if state is None:
        return ShardStates([None] * (len(shards.bounds) - 1))
    if isinstance(state, ShardStates):
        if len(state) != len(shards.bounds) - 1:
            raise ValueError(f"Workers.gradients: state is of {len(state)} shards, not {len(shards.bounds) - 1}")
        return state
    if not isinstance(state, tuple):
        raise TypeError(
            "Workers.gradients: state must be None, what this gave for the batch before, or the state of a checkpoint, "
            f"not a {type(state).__name__}"
        )
    rows = {len(leaf) for leaf in leaves(state)}
    if rows - {shards.total}:
        raise ValueError(f"Workers.gradients: state has {rows.pop()} rows, and the batch {shards.total}")
    return ShardStates(tree_map(lambda leaf, a=a, b=b: leaf[a:b], state) for a, b in shards.rows())


def join_states(states: Any, gather: Callable[[Any], Sequence[Any] | None]) -> Any:
    """The state of all rows, where `gather` gives the values of all workers, and None where it gives nothing."""
    if not isinstance(states, ShardStates):
        return states
    if states[0] is None:
        return None
    first = states[0]
    mine = [np.concatenate([on_host(leaf) for leaf in found]) for found in zip(*map(leaves, states), strict=True)]
    found = gather(mine)
    if found is None:
        return None
    whole = iter([np.concatenate(parts) for parts in zip(*found, strict=True)])
    return tree_map(lambda leaf: device_of(leaf).asarray(next(whole)), first)
