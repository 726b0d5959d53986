"""Whether workers are alike: what must be the same in all of them, so that they compute the same."""

from __future__ import annotations

import platform
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from ..core.device import on_host
from ..core.layer import Layer
from ..kernels.backends import is_compiled
from ..kernels.threads import thread_count
from ..optim.base import Optimizer

Facts = dict[str, Any]
PACKAGES = ("tinygrad-rnn", "numpy", "numba", "cupy-cuda12x", "cupy-cuda13x")


def software() -> Facts:
    """The versions of what computes, and how it is set."""
    blas = [f"{pool['internal_api']} {pool['version']} for {pool.get('architecture')}" for pool in threadpool_info()]
    found = {package: _version(package) for package in PACKAGES}
    return {
        "Python": platform.python_version(),
        **found,
        "BLAS": ", ".join(sorted(blas)),
        "the instructions that NumPy uses": _checksum(repr(np.lib.introspect.opt_func_info())),
        "set_compiled": is_compiled(np.zeros(0, np.float32)),
        "set_threads": thread_count(),
    }


def parts_of(model: Layer, criterion: Layer) -> Facts:
    """What is trained."""
    shapes = {name: (p.shape, p.value.dtype.name) for name, p in model.named_parameters()}
    loss = f"{criterion!r} {sorted((k, v) for k, v in vars(criterion).items() if isinstance(v, (str, int, float)))}"
    return {"the model": repr(model), "the parameters": shapes, "the loss": loss, **_numbers_of(model)}


def settings_of(optimizer: Optimizer) -> Facts:
    """The settings of an optimizer, and its state."""
    lr = optimizer.lr(optimizer.steps) if callable(optimizer.lr) else optimizer.lr
    hyper = {k: v for k, v in vars(optimizer).items() if isinstance(v, (int, float)) and not k.startswith("_")}
    about = {**hyper, "lr": float(lr), "clip": optimizer.clip, "nonfinite": optimizer.nonfinite}
    return {
        "the optimizer": f"{type(optimizer).__name__} {dict(sorted(about.items()))} rates {dict(optimizer.rates)}",
        "the optimizer state": _checksum(optimizer.memory().arrays),
    }


def position_of(optimizer: Optimizer) -> Facts:
    """What changes with each step."""
    return {**_numbers_of(optimizer.model), **settings_of(optimizer)}


def data_of(batches: Any) -> Facts:
    """How many batches there are, and the first one, where it can be read without taking it."""
    source = getattr(batches, "source", batches)
    epoch = source.epoch(0) if hasattr(source, "epoch") else source
    found: Facts = {"the number of batches": len(epoch) if hasattr(epoch, "__len__") else None}
    if hasattr(epoch, "__getitem__") and found["the number of batches"]:
        found["the first batch"] = _checksum(tuple(epoch[0]))
    return {**found, "the seed of the batches": getattr(source, "seed", None)}


def differences(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What differs among workers: what it is in which of them, and what it is in most."""
    told = []
    for key in found[0]:
        values = [_shown(facts.get(key)) for facts in found]
        usual, count = Counter(values).most_common(1)[0]
        others = [f"{value} in worker {rank}" for rank, value in enumerate(values) if value != usual]
        if others:
            those = "the others" if count > 1 or len(values) > 2 else f"worker {values.index(usual)}"
            told.append(f"{key}: {', '.join(others)}; {usual} in {those}")
    return told


def _numbers_of(model: Layer) -> Facts:
    streams = {name: repr(stream.bit_generator.state) for name, stream in model.generators().items()}
    return {"the weights": _checksum(model.flat_value), "the random streams": _checksum(streams)}


def _checksum(tree: Any) -> str:
    """Of arrays in tuples and dicts, or their texts."""
    total = 0
    for value in _flat(tree):
        if hasattr(value, "dtype"):
            host = np.ascontiguousarray(on_host(value))
            total = zlib.crc32(f"{host.dtype} {host.shape}".encode(), total)
            total = zlib.crc32(host.reshape(-1).view(np.uint8).data, total)
        else:
            total = zlib.crc32(repr(value).encode(), total)
    return f"checksum {total:08x}"


def _flat(tree: Any) -> list[Any]:
    if isinstance(tree, Mapping):
        return [leaf for key in sorted(tree) for leaf in (key, *_flat(tree[key]))]
    return [leaf for part in tree for leaf in _flat(part)] if isinstance(tree, tuple) else [tree]


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:160]}... (checksum {zlib.crc32(text.encode()):08x})"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
