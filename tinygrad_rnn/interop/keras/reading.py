"""Each layer of Keras as one of ours, by its configuration."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from ...layers.activation import ReLU, Sigmoid, Tanh
from ...layers.embedding import Embedding
from ...layers.layer_norm import LayerNorm
from ...layers.linear import Linear
from ...layers.softmax import Softmax
from ...models.bidirectional import Bidirectional
from ...saving.safe_file import shortened
from ..filling import Weight, undrawn
from ..gates import CELLS, GATES
from .file import Weights
from .weights import parts_of, to_weights

ACTIVATIONS: dict[str, Any] = {"tanh": Tanh, "sigmoid": Sigmoid, "relu": ReLU, "softmax": Softmax}
CELL_CLASSES = {"SimpleRNN": "RNN", "LSTM": "LSTM", "GRU": "GRU"}
MERGES = {"concat": "concat", "sum": "sum", "mul": "mul", "ave": "mean"}
POOLS = {"GlobalAveragePooling1D": "mean", "GlobalMaxPooling1D": "max"}
_TRAINING = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "ActivityRegularization")
"""Layers that do nothing at inference."""
MASKS = (
    "it masks wherever a step has this value, but here rows end, by lengths. If it is padding at the end alone, give "
    'masks="lengths", and lengths to the model'
)


class Read(NamedTuple):
    """What a layer of Keras is here."""

    layers: tuple[Any, ...]
    weights: list[Weight]
    pool: str = ""
    """How the steps become one, if they do."""


def snake(name: str) -> str:
    """The name of a class in the file."""
    name = re.sub(r"\W+", "", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def makes_mask(kind: str, config: dict[str, Any]) -> bool:
    """Whether a layer says that some steps do not count."""
    return kind == "Masking" or (kind == "Embedding" and bool(config.get("mask_zero")))


def read_layer(kind: str, config: dict[str, Any], path: str, weights: Weights, masks: str) -> Read:
    """The layers of ours that compute what one of Keras does.

    Raises:
        ValueError: there is none; the message says all that differs.
    """
    if kind in _TRAINING:
        return Read((), [])
    _check_dtype(config)
    if makes_mask(kind, config):
        if masks != "lengths":
            raise ValueError(MASKS)
        if kind == "Masking":
            return Read((), [])
    if kind == "TimeDistributed":
        inner = _inner(config, "layer")
        if inner[0] != "Dense":
            raise ValueError(f"it holds a {shortened(inner[0], 40)}, where a Dense was expected")
        return read_layer(*inner, f"{path}/layer", weights, masks)
    if kind in POOLS:
        if config.get("keepdims") or config.get("data_format", "channels_last") != "channels_last":
            raise ValueError("it keeps the axis of time, or the features do not come last")
        return Read((), [], POOLS[kind])
    if kind in ("Activation", "ReLU", "Softmax"):
        return _activation(kind, config)
    if kind in CELL_CLASSES:
        cell, found = _cell(kind, config, f"{path}/cell", weights, backward=False)
        return Read((cell,), found, "" if config.get("return_sequences") else "last")
    if kind == "Bidirectional":
        return _both(config, path, weights)
    layer: Any
    if kind == "Embedding":
        arrays = weights.take(path, 1)
        layer = undrawn(Embedding, *_matrix(arrays[0]), dtype=arrays[0].dtype)
        return Read((layer,), to_weights(layer, arrays, path))
    if kind == "Dense":
        activation = config.get("activation", "linear")
        after = () if activation == "linear" else _activation("Activation", config).layers
        arrays = weights.take(path, 1 + bool(config.get("use_bias", True)))
        layer = undrawn(Linear, *_matrix(arrays[0]), dtype=arrays[0].dtype)
        return Read((layer, *after), to_weights(layer, arrays, path))
    if kind == "LayerNormalization":
        return _layer_norm(config, path, weights)
    raise ValueError("there is no layer here that computes it")


def _check_dtype(config: dict[str, Any]) -> None:
    policy = config.get("dtype")
    name = policy.get("config", {}).get("name") if isinstance(policy, dict) else policy
    if name not in (None, "float32", "float64"):
        raise ValueError(f"it computes in {shortened(name, 40)}, where float32 or float64 was expected")
    if config.get("quantization_config") or config.get("quantization_mode") or config.get("lora_rank"):
        raise ValueError("it is quantized or has LoRA weights; save the plain model")


def _inner(config: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """The class and configuration of a layer within another."""
    inner = config.get(name)
    if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict):
        raise ValueError(f"its {name} is {shortened(repr(inner), 80)}, where a layer was expected")
    return str(inner.get("class_name")), inner["config"]


def _matrix(array: Any) -> tuple[int, int]:
    if array.ndim != 2:
        raise ValueError(f"its first array is {array.shape}, where a matrix was expected")
    rows, columns = array.shape
    return rows, columns


def _activation(kind: str, config: dict[str, Any]) -> Read:
    name = config.get("activation") if kind == "Activation" or "activation" in config else kind.lower()
    plain = not any(config.get(key) for key in ("max_value", "negative_slope", "threshold"))
    if name == "linear":
        return Read((), [])
    if not isinstance(name, str) or name not in ACTIVATIONS or not plain or config.get("axis", -1) != -1:
        raise ValueError(f"its activation is {shortened(repr(name), 80)}, where {', '.join(ACTIVATIONS)} are known")
    return Read((ACTIVATIONS[name](),), [])


def _cell(
    kind: str, config: dict[str, Any], path: str, weights: Weights, *, backward: bool
) -> tuple[Any, list[Weight]]:
    name, wrong = CELL_CLASSES[kind], list[str]()
    options: dict[str, Any] = {"bias": bool(config.get("use_bias", True))}
    activation = config.get("activation", "tanh")
    if name == "RNN" and activation == "relu":
        options["nonlinearity"] = "relu"
    elif activation != "tanh":
        wrong.append(f"its activation is {shortened(repr(activation), 80)}, where tanh was expected")
    if name != "RNN" and config.get("recurrent_activation", "sigmoid") != "sigmoid":
        found = shortened(repr(config["recurrent_activation"]), 80)
        wrong.append(f"its recurrent_activation is {found}, where sigmoid was expected")
    if bool(config.get("go_backwards")) != backward:
        wrong.append("it reads backward alone, with go_backwards; put it into a Bidirectional")
    if config.get("return_state"):
        wrong.append("it gives its state too, with return_state; here each call does")
    if name == "GRU":
        options["reset"] = "after" if config.get("reset_after", True) else "before"
    arrays = []
    try:
        arrays = weights.take(path, 2 + options["bias"])
    except ValueError as error:
        wrong.append(str(error))
    gates = len(GATES[name])
    if arrays and (arrays[0].ndim != 2 or arrays[1].shape != (arrays[1].shape[0], gates * arrays[1].shape[0])):
        wrong.append(f"its arrays are {arrays[0].shape} and {arrays[1].shape}, not (D, {gates} H) and (H, {gates} H)")
    elif arrays and config.get("units", len(arrays[1])) != len(arrays[1]):
        wrong.append(f"units is {shortened(config['units'], 20)}, but its arrays are of {len(arrays[1])}")
    if wrong:
        raise ValueError("; ".join(wrong))
    cell = undrawn(CELLS[name], arrays[0].shape[0], len(arrays[1]), dtype=arrays[0].dtype, **options)
    return cell, to_weights(cell, arrays, path)


def _both(config: dict[str, Any], path: str, weights: Weights) -> Read:
    merge = config.get("merge_mode", "concat")
    if merge not in MERGES:
        raise ValueError(f"its merge_mode is {shortened(repr(merge), 40)}, where {', '.join(MERGES)} are known")
    kind, forward = _inner(config, "layer")
    other, backward = (
        _inner(config, "backward_layer") if config.get("backward_layer") else (kind, {**forward, "go_backwards": True})
    )
    cells, found = [], list[Weight]()
    for name, inner, which in ((kind, forward, "forward"), (other, backward, "backward")):
        if name not in CELL_CLASSES:
            raise ValueError(f"it holds a {shortened(name, 40)}, where {', '.join(CELL_CLASSES)} are known")
        cell, own = _cell(name, inner, f"{path}/{which}_layer/cell", weights, backward=which == "backward")
        cells.append(cell)
        found += own
    if not forward.get("return_sequences") and merge != "concat":
        raise ValueError("it adds up the last outputs of both directions; let it return sequences, or concatenate")
    return Read((Bidirectional(*cells, merge=MERGES[merge]),), found, "" if forward.get("return_sequences") else "last")


def _layer_norm(config: dict[str, Any], path: str, weights: Weights) -> Read:
    axis = config.get("axis", -1)
    if axis not in (-1, [-1], 2, [2]) or config.get("rms_scaling"):
        raise ValueError(f"it is over the axes {shortened(axis, 40)}, or an RMS norm, where the last axis was expected")
    scale, center = bool(config.get("scale", True)), bool(config.get("center", True))
    if not scale and not center:
        raise ValueError("it has neither scale nor center, so its size is not in the file; let it have one")
    arrays = weights.take(path, scale + center)
    if any(array.ndim != 1 or array.shape != arrays[0].shape for array in arrays):
        raise ValueError(f"its arrays are {[array.shape for array in arrays]}, where one axis was expected")
    if not scale:
        arrays = [np.ones_like(arrays[0]), *arrays]
    layer = LayerNorm(len(arrays[0]), eps=config.get("epsilon", 1e-3), bias=center).to(dtype=arrays[0].dtype)
    return Read((layer,), to_weights(layer, arrays, path))


def fill_from(layer: Any, path: str, weights: Weights) -> list[Weight]:
    """The weights of a layer that is there, from a file of weights alone."""
    found: list[Weight] = []
    for own, part in parts_of(layer).items():
        found += to_weights(part, weights.take(path + own, weights.count(path + own)), path + own)
    return found
