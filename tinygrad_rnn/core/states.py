"""States: trees of tuples of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

State: TypeAlias = tuple[Any, ...]
"""A tree of tuples of arrays, the batch on the first axis of each. A recursive type would make every
`(h,) = state` an error for mypy, so the leaves are `Any`."""


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`function` of the leaves of one or several states of the same structure, as such a state."""
    if isinstance(tree, tuple):
        return tuple(tree_map(function, *branches) for branches in zip(tree, *others, strict=True))
    return function(tree, *others)
