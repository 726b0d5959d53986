"""Checkpoints: a model, or all of the training state, in one safetensors file. Nothing is ever pickled."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..core.arrays import Array
from ..core.device import Device, as_device, device_of
from ..core.layer import Layer
from ..core.states import State
from ..optim.base import Optimizer, OptimizerState
from .architecture import by_name, decode, encode, fill, tie, tied, to_json
from .safe_file import read, write


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
    """The state of a sequence, on the device of the layer."""


def save(
    path: str | os.PathLike[str],
    model: Layer,
    *,
    tokenizer: Any = None,
    metadata: dict[str, Any] | None = None,
    optimizer: Optimizer | None = None,
    state: State | None = None,
) -> None:
    """Write a model to one safetensors file, from any device; with optimizer and state, all of the training state.

    The file holds the parameters by dotted name, a tied one once. Its header holds, as JSON, the architecture (class
    and `config()` of each layer), the tokenizer, the metadata, and a checksum of everything. The same model gives the
    same bytes. They are written beside the target and then moved there: at any moment `path` is the old file or the new
    one. The random streams of layers are saved as they are. The random stream of a training loop, as
    `rng.bit_generator.state`, and the position in the text belong in the metadata: training resumed from `load` then
    computes what it would have computed without the interruption, to the bit.

    Args:
        path: the file; an existing one is replaced. The usual suffix is `.safetensors`.
        model: any layer. `load` needs its classes that are not of this package.
        tokenizer: one with a `config()` from which its class makes an equal one, such as `CharTokenizer`.
        metadata: a dict that JSON can hold. A tuple comes back as a list.
        optimizer: an optimizer of this model; its state is saved, its settings are not.
        state: the state of a sequence, to continue from.

    Raises:
        TypeError: `model` is not a layer, `tokenizer` has no `config()`, or JSON cannot hold the metadata or an
            argument of a layer.
        ValueError: two classes have the same name, the parameters differ in dtype, or the optimizer is another model's.
        FileNotFoundError, IsADirectoryError: there can be no file at `path`.
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
    call = f"save({str(path)!r})"
    target = os.path.realpath(path)  # through a link, as open() writes
    if os.path.isdir(target):
        raise IsADirectoryError(f"{call}: this is a directory; give the path of a file in it")
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"{call}: there is no directory {os.path.dirname(target)!r}; make it first")
    if not isinstance(model, Layer):
        raise TypeError(f"{call}: model is a {type(model).__name__}, where a layer was expected")
    if tokenizer is not None and not hasattr(tokenizer, "config"):
        raise TypeError(f"{call}: tokenizer is a {type(tokenizer).__name__}, without the config() that saving needs")
    if not isinstance(metadata, (dict, type(None))):
        raise TypeError(f"{call}: metadata is a {type(metadata).__name__}, where a dict was expected")
    parts: list[Any] = []
    content = {
        "model": encode(model, f"{call}: model", parts),
        "tied": tied(model),
        "tokenizer": None if tokenizer is None else encode(tokenizer, f"{call}: tokenizer", parts),
        "metadata": to_json(metadata or {}, f"{call}: metadata"),
        "classes": sorted({type(part).__name__ for part in parts}),
        "generators": {name: _plain(stream.bit_generator.state) for name, stream in model.generators().items()},
    }
    by_name({type(part) for part in parts}, call)
    tensors = {name: _host(parameter.value) for name, parameter in model.named_parameters()}
    if len({array.dtype for array in tensors.values()}) > 1:
        raise ValueError(f"{call}: the parameters differ in dtype: call model.to(dtype=...) first")
    if optimizer is not None:
        if optimizer.model is not model:
            raise ValueError(f"{call}: the optimizer belongs to another model, {optimizer.model!r}")
        memory = optimizer.memory()
        content["optimizer"] = {"kind": memory.kind, "steps": memory.steps, "arrays": list(memory.arrays)}
        for key, arrays in memory.arrays.items():
            tensors |= {f"optimizer/{key}/{name}": _host(array) for name, array in arrays.items()}
    if state is not None:
        content["state"] = _name_leaves(state, "state", tensors)
    write(target, content, tensors)


def load(path: str | os.PathLike[str], *, classes: Iterable[type] = (), device: Device | str = "cpu") -> Checkpoint:
    """Read what `save` wrote: the rebuilt model, and all that was saved with it.

    Classes are found by name among the layers and tokenizers of this package and in `classes`; no other code is run.
    The weights are written into the arrays that the layers made at construction.

    Args:
        path: the file.
        classes: the classes of model and tokenizer that are not of this package.
        device: the device for the model, wherever it was when saved.

    Returns:
        `Checkpoint(model, tokenizer, metadata, optimizer, state)`.

    Raises:
        FileNotFoundError, IsADirectoryError: `path` is not a file.
        ValueError: the file is empty, truncated, damaged, of another program or a newer version of this one; a class
            is missing in `classes`, or has changed since the file was saved (the message lists every parameter that
            does not match); two classes have the same name; `device` is not the name of a device.
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
    call, there = f"load({str(path)!r})", as_device(device)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{call}: this is a directory; give the path of a file in it")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{call}: there is no such file (looked for {os.path.abspath(path)!r})")
    if not os.path.getsize(path):
        raise ValueError(f"{call}: the file is empty, so its writing was cut short; take another copy")
    known = by_name(classes, call)
    content, tensors = read(path, call)
    try:
        missing = ", ".join(name for name in content["classes"] if name not in known)
        if missing:
            raise ValueError(f"It has classes that are not of this package: call load(..., classes=({missing},))")
        parts: list[Any] = []
        model, tokenizer = (decode(content[name], known, parts) for name in ("model", "tokenizer"))
        tie(model, content["tied"])
        fill(model, {name: array for name, array in tensors.items() if "/" not in name})
        for name, stream in model.generators().items():
            stream.bit_generator.state = content["generators"][name]
        memory = content.get("optimizer")
        if memory is not None:
            memory = OptimizerState(
                memory["kind"], memory["steps"], {key: _group(tensors, key) for key in memory["arrays"]}
            )
        state = _with_leaves(content["state"], tensors, there) if "state" in content else None
        return Checkpoint(model.to(there), tokenizer, content["metadata"], memory, state)
    except Exception as error:  # also any error that a forged header, with a right checksum, may cause
        raise ValueError(f"{call}: the model cannot be made anew. {error}") from error


def _host(array: Array) -> Array:
    """On the host, and contiguous: safetensors would silently write wrong numbers for an array of another order."""
    return np.asarray(device_of(array).to_host(array), order="C")


def _plain(value: Any) -> Any:
    """The state of a random stream in a form that JSON can hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value if isinstance(value, str) else int(value)


def _group(tensors: dict[str, Array], key: str) -> dict[str, Array]:
    """The optimizer state under `key`, by parameter name."""
    prefix = f"optimizer/{key}/"
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _name_leaves(tree: Any, name: str, tensors: dict[str, Array]) -> Any:
    """A state as nested lists of names; its arrays are added to `tensors` under these names."""
    if tree is None:
        return None
    if isinstance(tree, tuple):
        return [_name_leaves(part, f"{name}/{i}", tensors) for i, part in enumerate(tree)]
    tensors[name] = _host(tree)
    return name


def _with_leaves(tree: Any, tensors: dict[str, Array], device: Device) -> Any:
    """The inverse of `_name_leaves`."""
    if isinstance(tree, list):
        return tuple(_with_leaves(part, tensors, device) for part in tree)
    return None if tree is None else device.asarray(tensors[tree])
