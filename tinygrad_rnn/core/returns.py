"""Checks of what an author's methods return. Of a sequence, they look closely at one step alone: that costs little."""

from __future__ import annotations

from typing import Any, NamedTuple

from .arrays import namespace
from .foreign import is_array
from .one_hot import OneHotRows
from .states import Leaf, StateSpec


class Where(NamedTuple):
    """The beginning of a message, which is written only if there is one: a repr takes longer than the step."""

    layer: Any
    method: str
    t: int | None = None

    def __str__(self) -> str:
        return f"{self.layer!r}: {self.method}" + ("" if self.t is None else f" at step {self.t}")


def check_returned(
    where: Where, made: Any, expected: str, shape: tuple[int | None, ...] | None, batch: int | None, like: Any
) -> Any:
    """`made` must be such as `expected`: an output or gradient, a state as declared, and maybe a cache; gives it back.

    Args:
        where: the method that returned it.
        made: what it returned.
        expected: `"(y, state, cache)"` or `"(dx, dstate)"`, or the same of a sequence, `"(ys, state, cache)"`.
        shape: that of the first, (B, H) or (T, B, H); None: it is not looked at, for ids have no gradient.
        batch: B; None: any.
        like: an array of the expected dtype; None: any.

    Raises:
        TypeError: it is no such tuple, or an array has another dtype.
        ValueError: a shape differs.
    """
    first, second, *_ = check_tuple(*where, made, expected)
    names = expected[1:-1].split(", ")
    if shape is not None and type(first) is not OneHotRows:
        check_array(where, names[0], first, shape, like)
    _check_state(where, names[1], second, where.layer.state_spec, batch, like)
    return made


def check_tuple(layer: Any, method: str, t: int | None, made: Any, expected: str) -> tuple[Any, ...]:
    """`made` must be a tuple such as `expected`, or, if that names one value, no tuple; gives it as a tuple.

    Raises:
        TypeError: it is not.
    """
    is_tuple = isinstance(made, tuple)
    if is_tuple and len(made) == expected.count(",") + 1 and expected[0] == "(":
        whole: tuple[Any, ...] = made
        return whole
    if not is_tuple and expected[0] != "(":
        return (made,)
    came = f"a tuple of {len(made)}" if is_tuple else f"a {type(made).__name__}"
    end = f": end it with `return {expected.strip('()')}`"
    raise TypeError(f"{Where(layer, method, t)} gave {came}, expected {expected}{end}")


def stacked(layer: Any, method: str, name: str, arrays: list[Any]) -> Any:
    """The arrays of all steps as one (T, B, ...).

    Raises:
        TypeError, ValueError: they differ in kind, dtype or shape.
    """
    first = arrays[0]
    check_array(Where(layer, method, 0), name, first, None, None)
    try:
        whole = namespace(first).stack(arrays) if len(set(map(type, arrays))) == 1 else None
    except (TypeError, ValueError):
        whole = None
    if whole is None or whole.dtype != first.dtype:
        for t, array in enumerate(arrays):
            check_array(Where(layer, method, t), name, array, first.shape, first)
    return whole


def _check_state(where: Where, name: str, state: Any, spec: StateSpec | Leaf, batch: int | None, like: Any) -> None:
    if isinstance(spec, Leaf):
        if not spec.integer:
            check_array(where, name, state, (batch, *spec.shape), like)
        return
    if not isinstance(state, tuple) or len(state) != len(spec):
        came = f"a tuple of {len(state)}" if isinstance(state, tuple) else f"a {type(state).__name__}"
        raise TypeError(
            f"{where} gave {came} as {name}, expected a tuple of {len(spec)}, as is declared; of one array it is `(h,)`"
        )
    for i, (part, own) in enumerate(zip(state, spec, strict=True)):
        _check_state(where, f"{name}[{i}]", part, own, batch, like)


def check_array(where: Where, name: str, array: Any, shape: tuple[int | None, ...] | None, like: Any) -> None:
    """`array`, which `where` gave, must be an array of this shape, None being any size, in the dtype of `like`.

    Raises:
        TypeError: it is no array, or has another dtype.
        ValueError: its shape differs.
    """
    if not is_array(array):
        raise TypeError(f"{where} gave a {type(array).__name__} as {name}, expected an array")
    if shape not in (None, array.shape) and (
        len(array.shape) != len(shape)
        or any(size not in (None, there) for size, there in zip(shape, array.shape, strict=True))
    ):
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        first = ": time first, then the batch" if name.endswith("s") else ": the batch first"
        raise ValueError(f"{where} gave {name} of shape {array.shape}, expected ({sizes}){first}")
    if like is not None and array.dtype != like.dtype and like.dtype.kind == "f":
        advice = (
            ". A number such as np.float64(0.5), or an array made without a dtype, turns what it touches into float64: "
            "write 0.5, or take the dtype of x"
        )
        raise TypeError(
            f"{where} gave {name} in {array.dtype}, expected {like.dtype}, as the parameters"
            f"{advice if array.dtype.kind == 'f' else ''}"
        )
