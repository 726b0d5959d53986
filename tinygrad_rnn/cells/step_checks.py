"""Checks of what an author's step gives. They look at one step of a sequence, so they cost next to nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.foreign import is_array
from ..core.states import Leaf, StateSpec


class Where(NamedTuple):
    """The beginning of a message, which is written only if there is one: a repr takes longer than the step."""

    cell: Any
    method: str
    t: int

    def __str__(self) -> str:
        return f"{self.cell!r}: {self.method} at step {self.t}"


def check_step(where: Where, made: Any, expected: str, batch: int, like: Any) -> None:
    """`made` must be `(y, state, cache)` or `(dx, dstate)`, with arrays as declared, in the dtype of `like`.

    Raises:
        TypeError: it is no such tuple, or an array has another dtype.
        ValueError: a shape differs.
    """
    first, second, *_ = expected[1:-1].split(", ")
    _check_tuple(where, made, expected)
    if first == "y":
        _check_array(where, first, made[0], (batch, where.cell.out_size), like)
    _check_state(where, second, made[1], where.cell.state_spec, batch, like)


def _check_tuple(where: Where, made: Any, expected: str) -> None:
    if not isinstance(made, tuple) or len(made) != expected.count(",") + 1:
        came = f"a tuple of {len(made)}" if isinstance(made, tuple) else f"a {type(made).__name__}"
        raise TypeError(f"{where} gave {came}, expected {expected}: end it with `return {expected[1:-1]}`")


def _check_state(where: Where, name: str, state: Any, spec: StateSpec | Leaf, batch: int, like: Any) -> None:
    if isinstance(spec, Leaf):
        if not spec.integer:
            _check_array(where, name, state, (batch, *spec.shape), like)
        return
    if not isinstance(state, tuple) or len(state) != len(spec):
        came = f"a tuple of {len(state)}" if isinstance(state, tuple) else f"a {type(state).__name__}"
        raise TypeError(
            f"{where} gave {came} as {name}, expected a tuple of {len(spec)}, as is declared; of one array it is `(h,)`"
        )
    for i, (part, own) in enumerate(zip(state, spec, strict=True)):
        _check_state(where, f"{name}[{i}]", part, own, batch, like)


def _check_array(where: Where, name: str, array: Any, shape: tuple[int | None, ...], like: Any) -> None:
    if not is_array(array):
        raise TypeError(f"{where} gave a {type(array).__name__} as {name}, expected an array")
    if array.shape != shape and (
        len(array.shape) != len(shape)
        or any(size not in (None, there) for size, there in zip(shape, array.shape, strict=True))
    ):
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{where} gave {name} of shape {array.shape}, expected ({sizes}): the batch first")
    if like is not None and array.dtype != like.dtype and like.dtype.kind == "f":
        advice = (
            ". A number such as np.float64(0.5), or an array made without a dtype, turns what it touches into float64: "
            "write 0.5, or take the dtype of x"
        )
        raise TypeError(
            f"{where} gave {name} in {array.dtype}, expected {like.dtype}, as the parameters"
            f"{advice if array.dtype.kind == 'f' else ''}"
        )
