"""States: how one is declared, and all that follows from the declaration.

A state is a tree of tuples of arrays, the batch being the first axis of each. A layer declares it once, as a tree of
the same structure with a `Leaf` for each array. The initial state, the check of a given one, beginning anew where a
document starts, and the names of the arrays follow from that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from .arrays import Array, Booleans, namespace, select
from .checks import check_array, check_integers
from .parameter import Parameter

State: TypeAlias = tuple[Any, ...]
"""A tree of tuples of arrays, the batch on the first axis of each. A recursive type would make every
`(h,) = state` an error for mypy, so the leaves are `Any`."""

StateSpec: TypeAlias = tuple[Any, ...]
"""The declaration of a state: the same tree, with a `Leaf` for each array."""


@dataclass(frozen=True)
class Leaf:
    """The declaration of one array of a state."""

    name: str
    """As in the equations: `"h"`, `"c"`."""
    shape: tuple[int | None, ...]
    """The axes behind the batch; None is one of any size, which the initial state has 0 of."""
    initial: float | Parameter = 0.0
    """Before the first step: a number, or a `Parameter` of this shape, which learns."""
    integer: bool = False
    """Whether it holds integers, which have no gradient, rather than floating-point numbers."""
    kept: bool = False
    """Whether it stays where a row begins anew, as what is given from outside does: the memory of an attention."""


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`function` of the leaves of one or several trees of the same structure, as such a tree."""
    if isinstance(tree, tuple):
        return tuple(tree_map(function, *branches) for branches in zip(tree, *others, strict=True))
    return function(tree, *others)


def leaves(tree: Any) -> list[Any]:
    """The arrays of a state, or the leaves of a declaration, in order."""
    found: list[Any] = []
    tree_map(found.append, tree)
    return found


def initial_state(spec: StateSpec, batch: int, like: Array | None) -> State:
    """The state before the first step, in the dtype and on the device of `like`, as `zeros_of`."""

    def make(leaf: Leaf) -> Any:
        shape = (batch, *(size or 0 for size in leaf.shape))
        if isinstance(leaf.initial, Parameter):
            return namespace(leaf.initial.value).broadcast_to(leaf.initial.value, shape).copy()
        array = zeros_of(shape, like, integer=leaf.integer)
        if leaf.initial:
            array[...] = leaf.initial
        return array

    state: State = tree_map(make, spec)
    return state


def zeros_of(shape: tuple[int, ...], like: Any, *, integer: bool = False) -> Any:
    """Zeros in the dtype (float32 where that is integers) and on the device of `like`; None is the CPU."""
    xp = np if like is None else namespace(like)
    if integer:
        return xp.zeros(shape, np.int64)
    return xp.zeros(shape, like.dtype if like is not None and like.dtype.kind == "f" else np.float32)


def given_or_initial(owner: object, name: str, state: Any, spec: StateSpec, batch: int, like: Array | None) -> State:
    """`state`, checked, with the initial state in place of None, also where a part of it is None.

    Raises:
        TypeError: it is not of the structure that was declared; or a dtype or device differs from that of `like`.
        ValueError: an array has another shape than was declared, or another number of rows than `batch`.
    """
    if state is None:
        return initial_state(spec, batch, like)
    if like is not None and _fits(state, spec, batch, like):
        whole: State = state
        return whole
    if isinstance(spec, Leaf):
        _check_leaf(owner, name, state, spec, batch, like)
        given: State = state
        return given
    if not isinstance(state, tuple) or len(state) != len(spec):
        came = f"a tuple of {len(state)}" if isinstance(state, tuple) else f"a {type(state).__name__}"
        raise TypeError(f"{owner!r}: {name} must be {_structure(spec)}, a tuple of {len(spec)}, not {came}")
    parts = enumerate(zip(state, spec, strict=True))
    return tuple(given_or_initial(owner, f"{name}[{i}]", part, own, batch, like) for i, (part, own) in parts)


def _fits(state: Any, spec: StateSpec, batch: int, like: Array) -> bool:
    """Whether `state` is whole and right, as it nearly always is: quick, for a step of a small model notices.

    False says nothing: what follows in `given_or_initial` finds out.
    """
    if isinstance(spec, Leaf):
        return (
            type(state) is type(like)
            and state.shape == (batch, *spec.shape)
            and state.dtype == like.dtype
            and state.device == like.device
        )
    if type(state) is not tuple or len(state) != len(spec):
        return False
    for part, own in zip(state, spec, strict=True):
        if not _fits(part, own, batch, like):
            return False
    return True


def _check_leaf(owner: object, name: str, array: Any, leaf: Leaf, batch: int, like: Array | None) -> None:
    check = check_integers if leaf.integer else check_array
    check(owner, name, array, like)
    if len(array.shape) != 1 + len(leaf.shape) or any(
        size not in (None, there) for size, there in zip((batch, *leaf.shape), array.shape, strict=True)
    ):
        expected = ", ".join(str("any" if size is None else size) for size in (batch, *leaf.shape))
        raise ValueError(
            f"{owner!r}: {name}, which is {leaf.name}, has shape {array.shape}, expected ({expected}): the batch "
            "first. A state belongs to its batch; None begins anew"
        )


def _structure(spec: StateSpec) -> str:
    """As a reader would write it: `((), (h, c), ())`."""
    if isinstance(spec, Leaf):
        return spec.name
    return f"({', '.join(map(_structure, spec))}{',' if len(spec) == 1 else ''})"


def begin(spec: StateSpec, state: State, flags: Booleans) -> State:
    """`state` with the initial one in the rows where `flags` (B,) is True; what is declared as kept stays.

    By selection: NaN in the old state does not pass.
    """
    goes_on = ~flags

    def fresh(leaf: Leaf, old: Any) -> Any:
        if leaf.kept:
            return old
        if isinstance(leaf.initial, Parameter):
            return select(goes_on, old, leaf.initial.value)
        return select(goes_on, old, int(leaf.initial) if leaf.integer else leaf.initial)

    begun: State = tree_map(fresh, spec, state)
    return begun


def begin_backward(spec: StateSpec, dstate: State, flags: Booleans) -> State:
    """The gradient w.r.t. the state given to `begin`, from that w.r.t. what it returned: 0 in the rows that began.

    What these rows had goes to the initial state: where that is a `Parameter`, it is added to its gradient.
    """

    def back(leaf: Leaf, d: Any) -> Any:
        if leaf.kept or d is None:
            return d
        if isinstance(leaf.initial, Parameter):
            leaf.initial.grad += select(flags, d, 0).sum(axis=0)
        return select(~flags, d, 0)

    dbefore: State = tree_map(back, spec, dstate)
    return dbefore


def learns(spec: StateSpec) -> bool:
    """Whether an initial state is a `Parameter`."""
    return any(isinstance(leaf.initial, Parameter) for leaf in leaves(spec))


def add_initial_gradient(spec: StateSpec, dstate: Any, began: Any) -> None:
    """Add to the gradients of initial states that are parameters; `began` says which leaves were initial, a tree."""
    if isinstance(spec, Leaf):
        if began and isinstance(spec.initial, Parameter):
            spec.initial.grad += dstate.sum(axis=0)
        return
    for i, own in enumerate(spec):
        add_initial_gradient(own, dstate[i], began if isinstance(began, bool) else began[i])


def absent(state: Any) -> Any:
    """Where a given state is None: a tree of bools, or one bool for a whole branch."""
    return tuple(map(absent, state)) if isinstance(state, tuple) else state is None
