"""A model, or the whole of a training, in one safetensors file. Nothing is ever pickled."""

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
    """What `load` gives: all that was saved; a field is None, or empty, where nothing was."""

    model: Any
    """The layer, in the dtype that it was saved in, its random streams where they stood."""
    tokenizer: Any
    """One equal to what was saved."""
    metadata: dict[str, Any]
    """As given to `save`."""
    optimizer: Any
    """What the optimizer remembered, an `OptimizerState`: `restore` of one made alike takes it."""
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
    """Write a model to one safetensors file, from any device; with an optimizer and a state, all of a training.

    The file holds the parameters by dotted name, a tied one once, and in its header, as JSON, what the model is made
    of (class and `config()` of each layer), the tokenizer, the metadata, and a checksum of it all. The same model gives
    the same bytes. They are written beside the target and then moved there: at any moment `path` is the old file or
    the new one. Random streams that layers hold are saved where they stand; one that the loop holds goes into the
    metadata, as `rng.bit_generator.state`, and so does the place in the text: a training that goes on from
    `load` then computes what it would have computed, to the bit.

    Args:
        path: the file; one that exists is replaced. The usual suffix is `.safetensors`.
        model: any layer. `load` must be given the classes that are not of this package.
        tokenizer: one with a `config()` from which its class makes an equal one, such as `CharTokenizer`.
        metadata: what JSON holds. A tuple comes back as a list.
        optimizer: one of this model; what it remembers is saved, its settings are not.
        state: that of a sequence, to go on from.

    Raises:
        TypeError: `model` is no layer, `tokenizer` has no `config()`, or the metadata or an argument of a layer is
            nothing that JSON holds.
        ValueError: two classes have one name, the parameters differ in dtype, or the optimizer is another model's.
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
        raise TypeError(f"{call}: tokenizer is a {type(tokenizer).__name__}, without a config() to make it from")
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
            raise ValueError(f"{call}: the optimizer is that of another model, {optimizer.model!r}")
        memory = optimizer.memory()
        content["optimizer"] = {"kind": memory.kind, "steps": memory.steps, "arrays": list(memory.arrays)}
        for key, arrays in memory.arrays.items():
            tensors |= {f"optimizer/{key}/{name}": _host(array) for name, array in arrays.items()}
    if state is not None:
        content["state"] = _name_leaves(state, "state", tensors)
    write(target, content, tensors)


def load(path: str | os.PathLike[str], *, classes: Iterable[type] = (), device: Device | str = "cpu") -> Checkpoint:
    """Read what `save` wrote: the model, made anew, and all that was saved with it.

    Classes are found by name among the layers and tokenizers of this package and in `classes`; no other code is run.
    The weights are written into the arrays that the layers made for themselves.

    Args:
        path: the file.
        classes: the classes of model and tokenizer that are not of this package.
        device: where the model is to be, wherever it was.

    Returns:
        `Checkpoint(model, tokenizer, metadata, optimizer, state)`.

    Raises:
        FileNotFoundError, IsADirectoryError: `path` is not a file.
        ValueError: the file is empty, truncated, damaged, of another program or a newer version of this one; a class
            is missing in `classes`, or is not what it was when the file was saved (the message lists every parameter
            that does not match); two classes have one name; `device` names none.
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
    except Exception as error:  # also whatever a header may cause that someone made up, checksum and all
        raise ValueError(f"{call}: the model cannot be made anew. {error}") from error


def _host(array: Array) -> Array:
    """On the host, in the order in which safetensors writes any array: of another it makes wrong numbers, silently."""
    return np.asarray(device_of(array).to_host(array), order="C")


def _plain(value: Any) -> Any:
    """The state of a random stream as JSON can hold it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value if isinstance(value, str) else int(value)


def _group(tensors: dict[str, Array], key: str) -> dict[str, Array]:
    """What an optimizer keeps under `key`, by parameter."""
    prefix = f"optimizer/{key}/"
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _name_leaves(tree: Any, name: str, tensors: dict[str, Array]) -> Any:
    """A state as nested lists of names; the arrays of these names go to `tensors`."""
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
