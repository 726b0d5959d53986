"""States: how a layer declares its state, and all functions that follow from the declaration.

A state is a tree of tuples of arrays, each with the batch as its first axis. A layer declares it once, as a tree of the
same structure with a `Leaf` for each array. The initial state, the check of a given state, the reset where a document
begins, and the names of the arrays follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from .arguments import check_bool, check_number, check_str
from .arrays import Array, Booleans, namespace, select
from .checks import check_array, check_device, check_integers
from .parameter import Parameter

State: TypeAlias = tuple[Any, ...]
"""A tree of tuples of arrays, each with the batch as its first axis. With a recursive type, mypy would reject every
`(h,) = state`, so the leaves are `Any`."""

StateSpec: TypeAlias = tuple[Any, ...]
"""The declaration of a state: the same tree, with a `Leaf` for each array."""


class Leaf:  # no dataclass, nor is one elsewhere in what the face imports: the first one takes 2 ms
    """The declaration of one array of a state.

    Args:
        name: the name in the equations: `"h"`, `"c"`.
        shape: the axes after the batch; None is an axis of any size, which has size 0 in the initial state.
        initial: the value before the first step: a number, or a `Parameter` of this shape, which is learnt.
        integer: whether it holds integers, which have no gradient, rather than floating-point numbers.
        kept: whether a reset leaves it as it is, because it comes from outside, such as the memory of an attention.

    Raises:
        TypeError: an argument is of another type.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int | None, ...],
        initial: float | Parameter = 0.0,
        integer: bool = False,
        kept: bool = False,
    ) -> None:
        check_str("Leaf", "name", name)
        sizes: Any = shape
        if not isinstance(sizes, tuple) or not all(size is None or isinstance(size, int) for size in sizes):
            raise TypeError(f"Leaf {name!r}: shape must be a tuple of sizes, None where any will do, not {shape!r}")
        if not isinstance(initial, Parameter):
            check_number(f"Leaf {name!r}", "initial", initial)
        self.name = name
        self.shape = shape
        self.initial = initial
        self.integer = check_bool(f"Leaf {name!r}", "integer", integer)
        self.kept = check_bool(f"Leaf {name!r}", "kept", kept)

    def __repr__(self) -> str:
        settings = (f"{name}={getattr(self, name)!r}" for name in ("initial", "integer", "kept") if getattr(self, name))
        return f"Leaf({', '.join([repr(self.name), repr(self.shape), *settings])})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Leaf):
            return NotImplemented
        return vars(self) == vars(other)


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply `function` to the leaves of one or several trees of the same structure; gives such a tree."""
    if isinstance(tree, tuple):
        return tuple([tree_map(function, *branches) for branches in zip(tree, *others, strict=True)])
    return function(tree, *others)


def leaves(tree: Any) -> list[Any]:
    """The arrays of a state, or the leaves of a declaration, in order."""
    found: list[Any] = []
    tree_map(found.append, tree)
    return found


def initial_state(spec: StateSpec, batch: int, like: Array | None) -> State:
    """The state before the first step, with the dtype and device that `zeros_of` takes from `like`."""

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
    """Zeros with dtype and device of `like`: float32 if it is ids, one-hot rows or None; on the CPU if it is None."""
    xp = np if like is None else namespace(getattr(like, "ids", like))
    if integer:
        return xp.zeros(shape, np.int64)
    return xp.zeros(shape, like.dtype if like is not None and like.dtype.kind == "f" else np.float32)


def given_or_initial(owner: object, name: str, state: Any, spec: StateSpec, batch: int, like: Array | None) -> State:
    """The checked `state`; the initial state takes the place of None, also where only a part of it is None.

    Raises:
        TypeError: it does not have the declared structure, or a dtype or device differs from that of `like`.
        ValueError: an array does not have the declared shape, or not `batch` rows; or one that is kept is None alone.
    """
    if state is None:
        if isinstance(spec, Leaf) and spec.kept:
            raise ValueError(f"{owner!r}: {name}, which is {spec.name}, is None, but is needed where the rest is given")
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
    """Whether `state` is complete and correct: a quick check of the usual case, which saves time in small models.

    If this is False, the rest of `given_or_initial` finds out why.
    """
    if not isinstance(spec, Leaf):
        if type(state) is not tuple or len(state) != len(spec):
            return False
        for part, own in zip(state, spec, strict=True):  # a loop, for `all` takes half as long again
            if part is not own and not _fits(part, own, batch, like):  # they are one object where both are `()`
                return False
        return True
    return (
        type(state) is type(like)
        and state.shape == (batch, *spec.shape)
        and state.dtype == like.dtype
        and state.dtype.kind == "f"
        and not spec.integer
        and state.device == like.device
    )


def _check_leaf(owner: object, name: str, array: Any, leaf: Leaf, batch: int, like: Array | None) -> None:
    if leaf.integer:
        check_integers(owner, name, array, like)
    elif like is None or like.dtype.kind == "f":
        check_array(owner, name, array, like)
    else:  # ids or one-hot rows, and no parameters: a state of any dtype fits
        check_array(owner, name, array, None)
        check_device(owner, name, array, like)
    if len(array.shape) != 1 + len(leaf.shape) or any(
        size not in (None, there) for size, there in zip((batch, *leaf.shape), array.shape, strict=True)
    ):
        expected = ", ".join(str("any" if size is None else size) for size in (batch, *leaf.shape))
        raise ValueError(
            f"{owner!r}: {name}, which is {leaf.name}, has shape {array.shape}, expected ({expected}): the batch "
            "first. A state fits only the batch that it came from; state=None begins from the initial state"
        )


def _structure(spec: StateSpec) -> str:
    """The structure as text: `((), (h, c), ())`."""
    if isinstance(spec, Leaf):
        return spec.name
    return f"({', '.join(map(_structure, spec))}{',' if len(spec) == 1 else ''})"


def begin(spec: StateSpec, state: State, flags: Booleans) -> State:
    """`state`, reset to the initial state in the rows where `flags` (B,) is True; arrays declared as kept stay.

    The rows are selected, not multiplied by a mask, so NaN in the old state does not pass.
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
    """Map the gradient w.r.t. the result of `begin` to the gradient w.r.t. its argument: 0 in the reset rows.

    The gradient of the reset rows is added to that of the initial state, where that is a `Parameter`.
    """

    def back(leaf: Leaf, d: Any) -> Any:
        if leaf.kept:
            return d
        if isinstance(leaf.initial, Parameter):
            leaf.initial.grad += select(flags, d, 0).sum(axis=0)
        return select(~flags, d, 0)

    dbefore: State = tree_map(back, spec, dstate)
    return dbefore


def learns(spec: StateSpec) -> bool:
    """Whether any initial state is a `Parameter`."""
    return any(isinstance(leaf.initial, Parameter) for leaf in leaves(spec))


def add_initial_gradient(spec: StateSpec, dstate: Any, began: Any) -> None:
    """Add to the gradients of initial states that are parameters; `began` is a tree, True for initial leaves."""
    if isinstance(spec, Leaf):
        if began and isinstance(spec.initial, Parameter):
            spec.initial.grad += dstate.sum(axis=0)
        return
    for i, own in enumerate(spec):
        add_initial_gradient(own, dstate[i], began if isinstance(began, bool) else began[i])


def absent(state: Any) -> Any:
    """Which parts of a given state are None: a tree of bools, or one bool for a whole branch."""
    return tuple(map(absent, state)) if isinstance(state, tuple) else state is None
