"""Checkpoints: a model, or all of the training state, in one safetensors file. Nothing is ever pickled."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..core.arguments import check_bool
from ..core.arrays import Array
from ..core.device import Device, as_device, device_of
from ..core.files import check_target
from ..core.layer import Layer, check_found
from ..core.states import State
from ..optim.base import Optimizer
from .architecture import by_name, encode, to_json
from .before_saving import check_carry, check_finite, check_optimizer, check_state, check_tokenizer, difference
from .optimizers import describe_optimizer, optimizer_state
from .reading import check_kinds, named_call, read_file
from .rebuilding import fill, rebuild, tied
from .safe_file import shortened, write


class Checkpoint(NamedTuple):
    """What `load` gives: all that was saved; a field is None, or empty, if it was not saved."""

    model: Any
    """The layer, in the dtype in which it was saved, with its random streams as they were."""
    tokenizer: Any
    """A tokenizer equal to the saved one."""
    metadata: dict[str, Any]
    """The metadata as given to `save`."""
    optimizer: Any
    """The optimizer state, an `OptimizerState`, for `restore` of an optimizer of the same class."""
    state: Any
    """The state of a sequence, or the carry of a method, on the device of the layer."""


def save(
    path: str | os.PathLike[str],
    model: Layer,
    *,
    tokenizer: Any = None,
    metadata: dict[str, Any] | None = None,
    optimizer: Optimizer | None = None,
    state: State | None = None,
    carry: Any = None,
    allow_nonfinite: bool = False,
) -> None:
    """Write a model to one safetensors file, from any device; with optimizer and state, all of the training state.

    The file holds the parameters by dotted name, a tied one once. Its header holds, as JSON, the architecture (class
    and `config()` of each layer), the tokenizer, the metadata, and a checksum of everything. The same model gives the
    same bytes. The file is written beside the target and then moved there: at any moment `path` is the old file or the
    new one. The random streams of layers are saved as they are. The random stream of a training loop, as
    `rng.bit_generator.state`, and the position in the text belong in the metadata: training resumed from `load` then
    computes what it would have computed without the interruption, to the bit.

    Args:
        path: the file; an existing one is replaced, and keeps its permissions. The usual suffix is `.safetensors`.
        model: any layer. `load` needs those of its classes that are not in this package.
        tokenizer: the tokenizer of the model's ids, with a `config()` from which its class makes an equal one, such as
            a `CharTokenizer`.
        metadata: a dict that JSON can hold. A tuple comes back as a list.
        optimizer: an optimizer of this model; its state is saved, and its `rates`; its other settings are not.
        state: the state of a sequence, to continue from.
        carry: what a method of `through_time` gave, a tree of tuples of arrays, in place of the state: `load` gives it
            as `state`.
        allow_nonfinite: whether weights, optimizer state and state may hold NaN or infinity.

    Raises:
        TypeError: `path` is not a path, `model` not a layer, `tokenizer` not a tokenizer, `optimizer` not an optimizer,
            `state` not a state, `carry` not such a tree, or JSON cannot hold the metadata or an argument of a layer.
        ValueError: state and carry are both given; a number is not finite (the message says in which parameter); the
            tokenizer has another vocabulary than the model; the optimizer or the state is another model's; the
            parameters differ in dtype; two classes have the same name, or a class does not make the same layer of its
            `config()`; `path` is a device, a pipe or a socket.
        FileNotFoundError, IsADirectoryError, PermissionError: there can be no file at `path`.
        OSError: it could not be written.

    Example:
        >>> import tempfile
        >>> model = RNNCell(3, 4, rng=np.random.default_rng(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/cell.safetensors", model, metadata={"epochs": 3})
        ...     checkpoint = load(f"{folder}/cell.safetensors")
        >>> checkpoint.model, checkpoint.metadata, bool((checkpoint.model.w_x.value == model.w_x.value).all())
        (RNNCell(3, 4), {'epochs': 3}, True)
    """
    where, call = named_call(path, "save")
    check_target(where, call)
    write(where, call, *content_of(call, model, tokenizer, metadata, optimizer, state, carry, allow_nonfinite))


def content_of(
    call: str,
    model: Any,
    tokenizer: Any,
    metadata: Any,
    optimizer: Any,
    state: Any,
    carry: Any,
    allow_nonfinite: Any,
) -> tuple[dict[str, Any], dict[str, Array]]:
    """The JSON and the arrays of a file, of which `load` makes again what was given.

    Raises:
        TypeError, ValueError: as in `save`; the message begins with `call`.
    """
    if not isinstance(model, Layer):
        raise TypeError(f"{call}: model is a {type(model).__name__}, where a layer was expected")
    if not isinstance(metadata, (dict, type(None))):
        raise TypeError(f"{call}: metadata is a {type(metadata).__name__}, where a dict was expected")
    check_bool(call, "allow_nonfinite", allow_nonfinite)
    check_found(call, model)
    check_tokenizer(call, tokenizer, model)
    check_optimizer(call, optimizer, model)
    check_state(call, state, model)
    check_carry(call, carry, state)
    try:
        content, known = _describe(call, model, tokenizer, metadata or {})
        tensors = {name: _host(parameter.value) for name, parameter in model.named_parameters()}
        if len({array.dtype for array in tensors.values()}) > 1:
            raise ValueError(f"{call}: the parameters differ in dtype: call model.to(dtype=...) first")
        _check_comes_back(call, content, known, tensors)
    except RecursionError as error:
        raise ValueError(f"{call}: layers or metadata are nested too deeply, or hold themselves; nest less") from error
    if optimizer is not None:
        content["optimizer"] = describe_optimizer(optimizer.memory(), _host, tensors)
    if state is not None:
        content["state"] = _name_leaves(state, "state", tensors)
    elif carry is not None:
        content["state"] = _name_leaves(carry, "state", tensors)
    if not allow_nonfinite:
        check_finite(call, tensors)
    return content, tensors


def _describe(call: str, model: Layer, tokenizer: Any, metadata: Any) -> tuple[dict[str, Any], dict[str, type]]:
    """The JSON of a file, and the classes in it by name."""
    parts: list[Any] = []
    content = {
        "model": encode(model, f"{call}: model", parts),
        "tied": tied(model),
        "tokenizer": None if tokenizer is None else encode(tokenizer, f"{call}: tokenizer", parts),
        "metadata": to_json(metadata, f"{call}: metadata"),
        "classes": sorted({type(part).__name__ for part in parts}),
        "generators": {name: _plain(stream.bit_generator.state) for name, stream in model.generators().items()},
    }
    return content, by_name({type(part) for part in parts}, call)


def _check_comes_back(call: str, content: dict[str, Any], known: dict[str, type], tensors: Mapping[str, Array]) -> None:
    """What `load` will make of `content` must be the model and the tokenizer that it was made of."""
    reserved = next((name for name in tensors if "/" in name or name == "__metadata__"), None)
    if reserved is not None:
        raise ValueError(f"{call}: a parameter is named {reserved!r}, which means something else in a file; rename it")
    try:
        model, tokenizer = rebuild(content, known, _shapes(tensors), outline=True)
        again, _ = _describe(call, model, tokenizer, {})
    except ValueError as error:
        raise ValueError(f"{call}: `load` would not make the model anew. {error}") from error
    for key in ("model", "tied", "tokenizer"):
        if again[key] != content[key]:
            raise ValueError(
                f"{call}: {difference(content[key], again[key], key)}. __init__ must keep its arguments as they are, "
                "each under its own name"
            )


def load(path: str | os.PathLike[str], *, classes: Collection[type] = (), device: Device | str = "cpu") -> Checkpoint:
    """Read what `save` wrote: the rebuilt model, and all that was saved with it.

    Classes are found by name among the layers and tokenizers of this package and in `classes`; no other code is run.
    The shapes of the layers are compared with those in the file before any array of such a size is made. During
    construction the initializers of this package draw nothing; then the weights are written into the arrays of the
    layers.

    Args:
        path: the file.
        classes: the classes of the model and the tokenizer that are not in this package.
        device: the device for the model, wherever it was when saved.

    Returns:
        `Checkpoint(model, tokenizer, metadata, optimizer, state)`.

    Raises:
        TypeError: `path` is not a path, or `classes` are not classes.
        FileNotFoundError, IsADirectoryError, PermissionError: `path` is not a file that can be read.
        ValueError: `path` is a device, a pipe or a socket; the file is empty, truncated, damaged, of another program or
            a newer version of this one; a class is missing in `classes`, or has changed since the file was saved (the
            message lists every parameter that does not match); two classes have the same name; `device` is not the
            name of a device.
        RuntimeError: there is no such device.

    Example:
        >>> import tempfile
        >>> model = RNNCell(3, 4, rng=np.random.default_rng(0))
        >>> optimizer = Adagrad(model, lr=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/cell.safetensors", model, optimizer=optimizer, state=model.initial_state(2))
        ...     checkpoint = load(f"{folder}/cell.safetensors")
        >>> again = Adagrad(checkpoint.model, lr=0.1)
        >>> again.restore(checkpoint.optimizer)
        >>> checkpoint.state[0].shape
        (2, 4)
    """
    where, call = named_call(path, "load")
    there, known = as_device(device), by_name(classes, call)
    content, tensors = read_file(where, call)
    try:
        check_kinds(content)
        missing = ", ".join(name for name in content["classes"] if name not in known)
        if missing:
            names = shortened(missing)
            raise ValueError(f"It has classes that are not of this package: call load(..., classes=({names},))")
        weights = {name: array for name, array in tensors.items() if "/" not in name}
        memory = optimizer_state(content["optimizer"], tensors) if "optimizer" in content else None
        state = _with_leaves(content["state"], tensors, there) if "state" in content else None
        rebuild(content, known, _shapes(weights), outline=True)  # what does not fit takes no memory, and no time
        model, tokenizer = rebuild(content, known, _shapes(weights), outline=False)
        fill(model, weights)
        return Checkpoint(model.to(there), tokenizer, content["metadata"], memory, state)
    except RecursionError as error:
        raise ValueError(f"{call}: the model cannot be made anew. Its layers are nested too deeply") from error
    except Exception as error:  # also any error that a forged header, with a right checksum, may cause
        raise ValueError(f"{call}: the model cannot be made anew. {shortened(error, 5000)}") from error


def _shapes(tensors: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in tensors.items()}


def _host(array: Array) -> Array:
    """On the host, and contiguous: safetensors would silently write wrong numbers for an array of another order."""
    host = device_of(array).to_host(array)
    return np.asarray(host, host.dtype.newbyteorder("="), order="C")


def _plain(value: Any) -> Any:
    """The state of a random stream in a form that JSON can hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value if isinstance(value, str) else int(value)


def _name_leaves(tree: Any, name: str, tensors: dict[str, Array]) -> Any:
    """A state as nested lists of names; its arrays are added to `tensors` under these names."""
    if tree is None:
        return None
    if isinstance(tree, tuple):
        return [_name_leaves(part, f"{name}/{i}", tensors) for i, part in enumerate(tree)]
    tensors[name] = _host(tree)
    return name


def _with_leaves(tree: Any, tensors: dict[str, Array], device: Device) -> Any:
    """The inverse of `_name_leaves`.

    Raises:
        ValueError: `tree` is not what that gives, or names an array that is not there.
    """
    if isinstance(tree, list):
        return tuple([_with_leaves(part, tensors, device) for part in tree])
    if tree is None:
        return None
    if not isinstance(tree, str) or tree not in tensors:
        raise ValueError(f"The state has {shortened(repr(tree))}, where the name of one of its arrays was expected")
    return device.asarray(tensors[tree])
