"""What is checked before anything is written, so that `load` reads what `save` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.arrays import Array
from ..core.layer import Layer
from ..core.roles import Recurrent
from ..core.states import given_or_initial, leaves
from ..models.encoder_decoder import EncoderDecoder
from ..models.many_to_one import ManyToOne
from ..optim.base import Optimizer
from .safe_file import shortened

_DTYPES = {"bool", "float32", "float64", *(f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64))}


def check_tokenizer(call: str, tokenizer: Any, model: Layer) -> None:
    """`tokenizer` must be one with a `config()`, of as many ids as the model takes; or None.

    Raises:
        TypeError: it is a layer or a class, or has no `config()`.
        ValueError: the model takes ids, but not as many.
    """
    if tokenizer is None:
        return
    if isinstance(tokenizer, Layer):
        raise TypeError(f"{call}: tokenizer is a layer, {shortened(tokenizer, 80)}, where a tokenizer was expected")
    if isinstance(tokenizer, type):
        raise TypeError(f"{call}: tokenizer is the class {tokenizer.__name__}; make one, as of a text, and give that")
    if not hasattr(tokenizer, "config"):
        raise TypeError(f"{call}: tokenizer is a {type(tokenizer).__name__}, without the config() that saving needs")
    readers = (model.encoder, model.decoder) if isinstance(model, EncoderDecoder) else (model,)
    sizes = [reader.in_size for reader in readers if getattr(reader, "takes_ids", False) and hasattr(reader, "in_size")]
    if sizes and None not in sizes and hasattr(tokenizer, "__len__") and len(tokenizer) not in sizes:
        raise ValueError(
            f"{call}: tokenizer has {len(tokenizer)} ids, but the model takes {' or '.join(map(str, sizes))}; give the "
            "tokenizer of the ids on which the model was trained"
        )


def check_optimizer(call: str, optimizer: Any, model: Layer) -> None:
    """`optimizer` must be one of `model`, or None.

    Raises:
        TypeError: it is no optimizer.
        ValueError: it is of another model.
    """
    if optimizer is None:
        return
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{call}: optimizer is a {type(optimizer).__name__}, where an optimizer was expected")
    if optimizer.model is not model:
        raise ValueError(f"{call}: the optimizer belongs to another model, {optimizer.model!r}")


def check_state(call: str, state: Any, model: Layer) -> None:
    """`state` must be a tree of tuples of arrays, and one of `model` where that declares a state; or None.

    Raises:
        TypeError: it is no such tree, or does not have the structure or dtype that the model declares.
        ValueError: an array has another shape.
    """
    if state is None:
        return
    if not isinstance(state, tuple):
        raise TypeError(f"{call}: state is a {type(state).__name__}, where a tuple was expected, as `forward` gives it")
    _check_arrays(f"{call}: state", state)
    if isinstance(model, (Recurrent, ManyToOne)):
        batches = [array.shape[0] for array in leaves(state) if getattr(array, "shape", ())]
        try:
            given_or_initial(model, "state", state, model.state_spec, batches[0] if batches else 0, model._like())
        except (TypeError, ValueError) as error:
            raise type(error)(f"{call}: the state is not one of this model. {error}") from error


def check_carry(call: str, carry: Any, state: Any) -> None:
    """`carry` must be a tree of tuples of arrays, or None; it stands in the place of a state.

    Raises:
        TypeError: it is no such tree.
        ValueError: there is a state, too.
    """
    if not isinstance(carry, (tuple, type(None))):
        raise TypeError(f"{call}: carry is a {type(carry).__name__}, where a tuple was expected, as a method gives it")
    if carry is not None and state is not None:
        raise ValueError(
            f"{call}: state and carry are given, but a file holds one: the carry of a method has the state"
        )
    _check_arrays(f"{call}: carry", carry)


def _check_arrays(place: str, tree: Any) -> None:
    if isinstance(tree, tuple):
        for i, part in enumerate(tree):
            _check_arrays(f"{place}[{i}]", part)
        return
    plain = type(tree) is np.ndarray or (hasattr(tree, "device") and not isinstance(tree, (np.ndarray, np.generic)))
    if tree is not None and not (plain and str(tree.dtype.newbyteorder("=")) in _DTYPES):
        kind = f"array of {tree.dtype}" if plain else type(tree).__name__
        raise TypeError(f"{place} is a {kind}, where an array of float32, float64, integers or bools was expected")


def check_finite(call: str, tensors: Mapping[str, Array]) -> None:
    """All floating-point numbers must be finite.

    Raises:
        ValueError: one is not; the message says in which tensors, and the first place.
    """
    wrong = [name for name, array in tensors.items() if array.dtype.kind == "f" and not _is_finite(array)]
    if wrong:
        array = tensors[wrong[0]]
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        more = f", and so is a number of {shortened(', '.join(wrong[1:]))}" if wrong[1:] else ""
        raise ValueError(
            f"{call}: {wrong[0]} is {array[where]} at {where}{more}. Go back to the checkpoint before, with a lower "
            "rate or data without such numbers; allow_nonfinite=True saves it as it is"
        )


def _is_finite(array: Array) -> bool:
    with np.errstate(invalid="ignore"):  # NaN is what is looked for
        return not array.size or bool(np.isfinite(array.min()) and np.isfinite(array.max()))  # without a mask in memory


def difference(here: Any, there: Any, place: str) -> str:
    """Where two trees of JSON differ first, and how."""
    if isinstance(here, dict) and isinstance(there, dict) and here.keys() == there.keys():
        pairs = [(f"{place}.{key}", here[key], there[key]) for key in here]
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        pairs = [(f"{place}.{i}", *pair) for i, pair in enumerate(zip(here, there, strict=True))]
    else:
        pairs = []
    for inner, one, other in pairs:
        if one != other:
            return difference(one, other, inner)
    return f"{place} is {shortened(repr(here), 100)}, and would come back as {shortened(repr(there), 100)}"
