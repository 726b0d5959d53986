"""Models from files of Keras 3 and back, without Keras."""

from __future__ import annotations

import os
from typing import Any

from ...core.arguments import check_choice
from ...core.files import as_path, check_target
from ...core.layer import Layer
from ...core.roles import Recurrent
from ...models.many_to_one import ManyToOne
from ...saving.safe_file import shortened
from ..filling import refuse_all
from .file import read_keras, write_keras
from .model import build, fill_model
from .reading import POOLS
from .writing import arrays_of, entry_of, flat, layer_of, names_of


def from_keras(path: str | os.PathLike[str], *, masks: str = "refuse", model: Layer | None = None) -> Any:
    """The model in a file of Keras 3; only `h5py` is needed.

    It reads Sequential models, and Functional models that are a chain, of Embedding, SimpleRNN, LSTM, GRU,
    Bidirectional, Dense, TimeDistributed Dense, LayerNormalization and activations. Layers that do nothing at
    inference, such as Dropout, are left out. The axes here are (T, B, D), where Keras has (B, T, D).

    Args:
        path: a `.keras` file, or with `model` also a `.weights.h5` file.
        masks: `"refuse"`, or `"lengths"` if masked steps are padding at the end of rows; then pass `lengths` at each
            call.
        model: a model of this package to fill instead, with layers like those of the file, in their order.

    Returns:
        A `Sequential`; a `ManyToOne` where the last recurrent layer does not return sequences, or steps are pooled; or
        `model`, which keeps its dtype and device.

    Raises:
        ImportError: the package `h5py` is missing; the message has the line that installs it.
        TypeError: an argument is of the wrong class.
        FileNotFoundError, IsADirectoryError, PermissionError: there is no file to be read.
        ValueError: the file is not one of Keras 3, or damaged; or layers have no counterpart here: the message lists
            all of them. Nothing is changed.
    """
    check_choice("from_keras", "masks", masks, "refuse", "lengths")
    if model is not None and not isinstance(model, Layer):
        raise TypeError(f"from_keras: model is a {type(model).__name__}, where a layer was expected")
    call, config, weights = read_keras(path)
    if model is not None:
        fill_model(call, model, weights)
        return model
    if config is None:
        raise ValueError(f"{call}: a file of weights alone does not name its layers; give a model to fill by model=")
    return build(call, config, weights, masks)


def to_keras(model: Layer, path: str | os.PathLike[str]) -> None:
    """Write a `.keras` file, which Keras 3 loads by `keras.models.load_model`; only `h5py` is needed.

    Args:
        model: a cell, a `Bidirectional`, or a `Sequential` or `ManyToOne` of these, `Embedding`, `Linear`,
            `TiedLinear`, `LayerNorm`, activations, `Softmax`, `Dropout` and `LockedDropout`. A `Sequential` within it
            becomes its layers.
        path: the file; an existing one is replaced. Keras wants a name that ends in `.keras`.

    Raises:
        ImportError: the package `h5py` is missing; the message has the line that installs it.
        TypeError: an argument is of the wrong class.
        ValueError: layers have no counterpart in Keras: the message lists them, and why. No file is changed.
        OSError: it could not be written.
    """
    where = as_path(path, "to_keras")
    call = f"to_keras({where!r})"
    if not isinstance(model, (Recurrent, ManyToOne)):
        raise TypeError(f"{call}: model is a {type(model).__name__}, where a Recurrent or a ManyToOne was expected")
    check_target(where, call)
    row, pool = flat(model)
    problems: list[str] = []
    entries: list[dict[str, Any]] = []
    for i, layer in enumerate(row):
        last = pool == "last" and not any(isinstance(later, Recurrent) for later in row[i + 1 :])
        try:
            entries.append(entry_of(layer, str(model.dtype), sequences=not (last and isinstance(layer, Recurrent))))
        except ValueError as error:
            problems.append(f"{shortened(layer, 100)}: {error}")
        if pool in POOLS.values() and isinstance(model, ManyToOne) and i == len(row) - len(model.layers) - 1:
            name = next(name for name, kind in POOLS.items() if kind == pool)
            entries.append(layer_of(name, {}))
    if pool not in ("", "last", *POOLS.values()):
        problems.append(f'pool, {shortened(pool, 100)}: it has no counterpart; take "last", "mean" or "max"')
    if pool == "last" and isinstance(model, ManyToOne) and not isinstance(flat(model.encoder)[0][-1], Recurrent):
        problems.append("the encoder does not end in a recurrent layer, whose last step Keras could take")
    refuse_all(call, problems, "these layers cannot be written:")
    shape = [None, None] if model.takes_ids else [None, None, model.in_size]
    dtype = "int32" if model.takes_ids else str(model.dtype)
    start = layer_of("InputLayer", {"batch_shape": shape, "dtype": dtype, "name": "input_layer"})
    for entry, name in zip(entries, names_of([entry["class_name"] for entry in entries]), strict=True):
        entry["config"]["name"] = name
    config = {"name": "model", "trainable": True, "layers": [start, *entries], "build_input_shape": shape}
    whole = {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}
    whole["build_config"] = {"input_shape": shape}
    write_keras(where, call, whole, arrays_of(row))
