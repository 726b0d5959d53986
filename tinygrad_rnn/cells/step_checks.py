"""Checks of what an author's step gives. They look at one step of a sequence, so they cost next to nothing."""

from __future__ import annotations

from typing import Any

from ..core.states import Leaf, State, StateSpec, leaves


def check_forward(cell: Any, t: int, made: Any, batch: int, like: Any) -> None:
    """`made` must be `(y, state, cache)`, with y (B, H) and a state as declared, in the dtype of `like`.

    Raises:
        TypeError: it is no such tuple, or an array has another dtype.
        ValueError: a shape differs.
    """
    where = f"{cell!r}: step_forward at step {t}"
    _check_tuple(where, made, "(y, state, cache)", 3)
    y, state, _ = made
    _check_array(where, "y", y, (batch, cell.out_size), like)
    _check_state(where, "state", state, cell.state_spec, batch, like)


def check_backward(cell: Any, t: int, made: Any, dstate: State) -> None:
    """`made` must be `(dx, dstate)`, with gradients of the shapes and dtypes of those that came in.

    Raises:
        TypeError: it is no such tuple, or an array has another dtype.
        ValueError: a shape differs.
    """
    where = f"{cell!r}: step_backward at step {t}"
    _check_tuple(where, made, "(dx, dstate)", 2)
    batch = next((d.shape[0] for d in leaves(dstate) if d is not None), None)
    like = next((d for d in leaves(dstate) if d is not None), None)
    if batch is not None:
        _check_state(where, "dstate", made[1], cell.state_spec, batch, like)


def _check_tuple(where: str, made: Any, expected: str, size: int) -> None:
    if not isinstance(made, tuple) or len(made) != size:
        came = f"a tuple of {len(made)}" if isinstance(made, tuple) else f"a {type(made).__name__}"
        raise TypeError(f"{where} gave {came}, expected {expected}: end it with `return {expected[1:-1]}`")


def _check_state(where: str, name: str, state: Any, spec: StateSpec | Leaf, batch: int, like: Any) -> None:
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


def _check_array(where: str, name: str, array: Any, shape: tuple[int | None, ...], like: Any) -> None:
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        raise TypeError(f"{where} gave a {type(array).__name__} as {name}, expected an array")
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    if len(array.shape) != len(shape) or any(
        size not in (None, there) for size, there in zip(shape, array.shape, strict=True)
    ):
        raise ValueError(f"{where} gave {name} of shape {array.shape}, expected ({sizes}): the batch first")
    if like is not None and like.dtype.kind == array.dtype.kind == "f" and array.dtype != like.dtype:
        raise TypeError(
            f"{where} gave {name} in {array.dtype}, expected {like.dtype}, as the parameters. A number such as "
            "np.float64(0.5), or an array made without a dtype, turns what it touches into float64: write 0.5, or take "
            "the dtype of x"
        )
