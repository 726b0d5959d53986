"""Calls of every public name with one argument that makes no sense, and what each argument may be.

Each `Call` is a right one. `report` puts junk in place of one argument at a time. A call may raise an error whose
message begins with what was called, or take what its kind of argument allows; anything else is a fault.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as rnn
from tinygrad_rnn import datasets, initializers
from tinygrad_rnn.training import metrics

V, T, B = 6, 5, 2


OBJECTS = (
    "RNNCell(3, 4)",
    "Sequential(OneHot(6), RNNCell(6, 4), Linear(4, 6))",
    "SoftmaxCrossEntropy()",
    "SoftmaxCrossEntropy(reduction='sum')",
    "CharTokenizer.",
    "Device",
)
"""What a message may begin with, beside the name of what was called and of the layers that it was given."""


class Call(NamedTuple):
    """A right call."""

    name: str
    """What the message of an error begins with."""
    function: Callable[..., Any]
    arguments: dict[str, Any]
    kinds: dict[str, str]
    """What each argument is: a key of `TAKEN`."""


JUNK: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "0": 0,
    "-1": -1,
    "1": 1,
    "3": 3,
    "0.5": 0.5,
    "2.5": 2.5,
    "-0.5": -0.5,
    "nan": math.nan,
    "inf": math.inf,
    "huge": 10**400,
    "complex": 1 + 2j,
    "empty str": "",
    "str": "x",
    "bytes": b"x",
    "empty list": [],
    "list": [1, 2],
    "empty tuple": (),
    "tuple": (0.5,),
    "dict": {"a": 1},
    "set": {1},
    "object": object(),
    "class": int,
    "function": len,
    "module": math,
    "np 0.5": np.float64(0.5),
    "np float32": np.float32(0.5),
    "np 3": np.int8(3),
    "np uint8": np.uint8(3),
    "np True": np.bool(True),
    "array 3": np.array(3),
    "array 0.5": np.array(0.5),
    "ints": np.array([1, 2]),
    "floats": np.zeros((2, 3)),
    "float16": np.zeros((T, B, 3), np.float16),
    "complexes": np.zeros((T, B, 3), complex),
    "objects": np.array([None, 1], object),
    "strings": np.array(["a"]),
    "bools": np.ones(2, bool),
    "masked": np.ma.masked_array(np.zeros((T, B, 3), np.float32), True),
    "masked ids": np.ma.masked_array(np.ones((T, B), int), True),
    "records": np.zeros((T, B, 3), "f4").view(np.recarray),
    "no axes": np.zeros((), np.float32),
    "five axes": np.zeros((1, 1, 1, 1, 1), np.float32),
    "layer": rnn.Tanh(),
    "parameter": rnn.Parameter(np.zeros(2)),
    "rng": np.random.default_rng(0),
}

_WHOLE = {"3", "1", "np 3", "np uint8", "array 3"}
_PART = {"0.5", "np 0.5", "np float32"}
_FROM_0 = {*_PART, "0", "1", "3", "2.5", "inf", "np 3", "np uint8"}
_REAL = {*_FROM_0, "-1", "-0.5", "nan"}
TAKEN: dict[str, set[str]] = {
    "anything": set(JUNK),
    "nothing": set(),
    "None": {"None"},
    "bool": {"True", "False"},
    "bool or None": {"True", "False", "None"},
    "callable or None": {"None", "class", "function", "layer"},
    "tree or None": {"None", "empty tuple"},
    "no functions": {"empty list", "empty tuple"},
    "rng": {"rng"},
    "rng or None": {"rng", "None"},
    "layer": {"layer"},
    # Integers
    "size": _WHOLE,
    "size or None": {*_WHOLE, "None"},
    "size from 0": {*_WHOLE, "0"},
    "size above 1": _WHOLE - {"1"},
    "any integer": {*_WHOLE, "0", "-1", "huge"},
    "integer": {*_WHOLE, "0", "-1"},
    "id or None": {*_WHOLE, "0", "None"},
    # Numbers
    "rate": {*_PART, "0"},
    "rates": {*_PART, "0", "tuple"},
    "part": _PART,
    "part or None": {*_PART, "0", "1", "np 1", "None"},
    "part above 0 or None": {*_PART, "1", "None"},
    "above 0": _FROM_0 - {"0"},
    "finite above 0": _FROM_0 - {"0", "inf"},
    "from 0": _FROM_0,
    "from 0 or huge": {*_FROM_0, "huge"},
    "finite from 0": _FROM_0 - {"inf"},
    "factors or None": {"None", "list", "tuple", "ints"},
    "factor, factors or None": {"None", "list", "tuple", "ints", *(_FROM_0 - {"inf"})},
    "quantiles": {"tuple"},
    "finite from 0 or None": _FROM_0 - {"inf"} | {"None"},
    "number": _REAL,
    "number or parameter": {*_REAL, "parameter"},
    "loss gradient": {*_REAL, "None", "array 0.5", "no axes"},
    # Texts
    "str": {"str", "empty str"},
    "empty str": {"empty str"},
    "token or None": {"None", "str"},
    "no strings": {"empty tuple", "empty list"},
    "strings": {"empty tuple", "empty list", "empty set"},
    "numbers": {"tuple"},
    "size or sized": _WHOLE - {"1"}
    | {"list", "ints", "floats", "float16", "complexes", "objects", "bools"}
    | {"masked", "masked ids", "records"},
    # Arrays
    "one array": {"float16"},
    "ints or None": {"None", "ints"},
    "labels or None": {"None", "list", "ints", "bools"},
    "float array": {"no axes", "five axes", "np 0.5", "np float32", "array 0.5", "floats"},
    "int array": {"ints", "array 3", "np 3", "np uint8"},
    "ids": {"ints"},
    "floats": {"floats"},
    "prompt": {"list", "ints"},
    "no rows": {"empty list", "empty tuple", "empty str"},
    "no ids": {"empty list", "empty tuple"},
    "stops": {"empty tuple", "empty list", "list", "set", "ints"},
    "texts or ids": {"empty tuple", "empty list", "list", "set", "ints", "dict", "strings"},
    "bias of texts": {"None", "dict"},
    "sequences": {"empty tuple", "empty list", "floats", "float16"},
    "lengths": {"empty list", "empty tuple", "list", "ints"},
    "two or None": {"None", "ints"},
    "flags": {"None", "bools"},
    "path": {"str", "bytes"},
    "path or None": {"str", "bytes", "None"},
    "dict or None": {"dict", "None"},
    "no classes": {"empty tuple", "empty list", "empty set"},
    "shape": {"list"},
    "any shape": {"list", "empty tuple", "empty list"},
    "empty tuple": {"empty tuple"},
    "empty state": {"None", "empty tuple"},
}
"""The junk that an argument of each kind may be."""


def constructors() -> Iterator[Call]:
    """Layers, losses, tokenizers and so on, by their classes."""
    rng = np.random.default_rng(0)
    D: dict[str, Any] = {"in_size": 3, "out_size": 4, "rng": rng}
    cell = {"in_size": "size", "out_size": "size", "rng": "rng"}
    of_numbers = {"reduction": "nothing", "missing": "None"}
    for kind, arguments, kinds in (
        (rnn.OneHot, {"vocab_size": V}, {"vocab_size": "size"}),
        (
            rnn.Embedding,
            {"vocab_size": V, "out_size": 3, "rng": rng},
            {"vocab_size": "size", "out_size": "size", "rng": "rng"},
        ),
        (rnn.Linear, D, cell),
        (rnn.TiedLinear, {"embedding": rnn.Embedding(V, 3, rng=rng)}, {"embedding": "nothing"}),
        (rnn.LayerNorm, {"size": 3}, {"size": "size", "eps": "above 0", "bias": "bool"}),
        (
            rnn.Standardize,
            {"mean": (1.0,), "scale": (2.0,)},
            {"mean": "numbers", "scale": "numbers", "gaps": "nothing"},
        ),
        (rnn.AttentionPool, {"size": 3, "rng": rng}, {"size": "size", "rng": "rng"}),
        (rnn.Dropout, {"rate": 0.5, "rng": rng}, {"rate": "rate", "rng": "rng"}),
        (rnn.LockedDropout, {"rate": 0.5, "rng": rng}, {"rate": "rate", "rng": "rng"}),
        (
            rnn.GeneralAttention,
            {"query_size": 3, "memory_size": 4, "rng": rng},
            {"query_size": "size", "memory_size": "size", "rng": "rng"},
        ),
        (
            rnn.AdditiveAttention,
            {"query_size": 3, "memory_size": 4, "hidden_size": 2, "rng": rng},
            {"query_size": "size", "memory_size": "size", "hidden_size": "size", "rng": "rng"},
        ),
        (rnn.RNNCell, D, {**cell, "nonlinearity": "nothing", "recurrent_initializer": "nothing"}),
        (rnn.LSTMCell, D, cell),
        (rnn.GRUCell, D, {**cell, "reset": "nothing"}),
        (rnn.LayerNormLSTMCell, D, {**cell, "eps": "above 0"}),
        (rnn.SLSTMCell, D, cell),
        (rnn.MinGRUCell, D, {**cell, "candidate": "nothing"}),
        (rnn.MinLSTMCell, D, {**cell, "candidate": "nothing"}),
        (rnn.IndRNNCell, D, {**cell, "nonlinearity": "nothing"}),
        (rnn.SRUCell, D, cell),
        (
            rnn.LRUCell,
            {**D, "units": 2, "r_min": 0.3, "r_max": 0.9, "max_phase": 1.0},
            {**cell, "units": "size or None", "r_min": "rate", "r_max": "part", "max_phase": "finite above 0"},
        ),
        (
            rnn.Bridge,
            {"in_size": 3, "out_sizes": (2, 3), "rng": rng},
            {"in_size": "size", "out_sizes": "nothing", "rng": "rng"},
        ),
        (
            rnn.Zoneout,
            {"cell": rnn.RNNCell(**D), "rates": 0.5, "rng": rng},
            {"cell": "nothing", "rates": "rates", "rng": "rng"},
        ),
        (
            rnn.DropConnect,
            {"cell": rnn.RNNCell(**D), "rate": 0.5, "rng": rng},
            {"cell": "nothing", "rate": "rate", "rng": "rng"},
        ),
        (
            rnn.Bidirectional,
            {"forward_cell": rnn.RNNCell(**D), "backward_cell": rnn.RNNCell(**D)},
            {"forward_cell": "nothing", "backward_cell": "nothing", "merge": "nothing"},
        ),
        (rnn.ManyToOne, {"encoder": rnn.RNNCell(**D)}, {"encoder": "nothing", "pool": "nothing"}),
        (
            rnn.EncoderDecoder,
            {"encoder": rnn.RNNCell(**D), "decoder": rnn.RNNCell(**D)},
            {"encoder": "nothing", "decoder": "nothing", "bridge": "None"},
        ),
        (
            rnn.VanillaRNN,
            {"n_x": 3, "n_h": 4, "n_y": 2, "rng": rng},
            {"n_x": "size", "n_h": "size", "n_y": "size", "lr": "from 0", "clip": "from 0", "rng": "rng"},
        ),
        (
            rnn.SoftmaxCrossEntropy,
            {},
            {
                "reduction": "nothing",
                "ignore_index": "integer",
                "label_smoothing": "rate",
                "class_weights": "factors or None",
            },
        ),
        (rnn.MeanSquaredError, {}, of_numbers),
        (rnn.MeanAbsoluteError, {}, of_numbers),
        (rnn.BinaryCrossEntropy, {}, {**of_numbers, "pos_weight": "factor, factors or None"}),
        (rnn.Huber, {}, {**of_numbers, "delta": "above 0"}),
        (rnn.Quantile, {}, {**of_numbers, "quantiles": "quantiles"}),
        (rnn.GaussianNLL, {}, {**of_numbers, "least_variance": "finite above 0"}),
        (rnn.CharTokenizer, {"characters": "ab"}, {"characters": "str", "special": "no strings", "unknown": "None"}),
        (rnn.ByteTokenizer, {}, {"special": "no strings"}),
        (
            rnn.WordTokenizer,
            {"words": ["a"]},
            {"words": "no strings", "special": "no strings", "unknown": "token or None"},
        ),
        (
            rnn.TokenStream,
            {"ids": np.arange(20), "batch": 2, "steps": 3},
            {"ids": "nothing", "batch": "size", "steps": "size"},
        ),
        (
            rnn.SequenceBatches,
            {"sequences": [np.zeros((2, 3), np.float32), np.zeros((1, 3), np.float32)], "targets": None, "batch": 2},
            {
                "sequences": "one array",
                "targets": "ints or None",
                "batch": "size",
                "rng": "rng or None",
                "weights": "None",
                "by_length": "bool",
            },
        ),
        (rnn.Parameter, {"value": np.zeros(2, np.float32)}, {"value": "float array"}),
        (rnn.Device, {"name": "cpu"}, {"name": "nothing"}),
        (rnn.OneHotRows, {"ids": np.arange(3), "size": 3}, {"ids": "int array", "size": "size"}),
        (
            rnn.Leaf,
            {"name": "h", "shape": (3,)},
            {
                "name": "str",
                "shape": "empty tuple",
                "initial": "number or parameter",
                "integer": "bool",
                "kept": "bool",
            },
        ),
        (
            datasets.CopySource,
            {"symbols": 3, "length": 2, "delay": 2},
            {"symbols": "size above 1", "length": "size", "delay": "size"},
        ),
        (datasets.DyckSource, {"kinds": 2}, {"kinds": "size", "max_depth": "size or None"}),
        (datasets.ReberGrammar, {}, {"embedded": "bool"}),
    ):
        yield Call(kind.__name__, kind, arguments, kinds)
    for row in (rnn.Sequential, rnn.Residual):
        yield Call(row.__name__, lambda layer, row=row: row(layer), {"layer": rnn.Tanh()}, {"layer": "layer"})


def entered(first: Any, total: Any) -> None:
    with rnn.part_of_batch(first, total):
        pass


def functions() -> Iterator[Call]:
    """Functions of the face."""
    rng = np.random.default_rng(0)
    model = rnn.Sequential(rnn.OneHot(V), rnn.RNNCell(V, 4, rng=rng), rnn.Linear(4, V, rng=rng))
    ids = np.arange(T * B).reshape(T, B) % V
    filters = {
        "temperature": "from 0",
        "top_k": "size or None",
        "top_p": "part above 0 or None",
        "min_p": "part or None",
        "bias": "None",
        "repetition_penalty": "finite above 0",
        "min_length": "size from 0",
    }
    prompt = {"model": model, "ids": [1, 2], "length": 2}
    kinds = {"model": "nothing", "ids": "prompt", "length": "size from 0", "state": "None", "stop": "stops"}
    yield Call(
        "generate",
        lambda **a: list(rnn.generate(**a)),
        {**prompt, "rng": rng},
        {**kinds, **filters, "banned": "stops", "rng": "rng"},
    )
    yield Call(
        "generate_samples",
        lambda **a: list(rnn.generate_samples(**a)),
        {**prompt, "samples": 2, "rng": rng},
        {**kinds, **filters, "banned": "stops", "rng": "rng", "samples": "size"},
    )
    yield Call("greedy_search", rnn.greedy_search, prompt, kinds)
    yield Call(
        "beam_search",
        rnn.beam_search,
        {**prompt, "width": 2},
        {**kinds, "width": "size", "length_penalty": "finite from 0"},
    )
    tokenizer = rnn.CharTokenizer("abcdef")
    yield Call(
        "generate_text",
        lambda **a: list(rnn.generate_text(**a)),
        {"model": model, "tokenizer": tokenizer, "prompt": "ab", "length": 2, "rng": rng},
        {
            "model": "nothing",
            "tokenizer": "nothing",
            "prompt": "nothing",
            "length": "size from 0",
            "start": "id or None",
            "end": "id or None",
            "stop": "strings",
            **filters,
            "banned": "texts or ids",
            "bias": "bias of texts",
            "rng": "rng",
        },
    )
    yield Call(
        "forecast",
        rnn.forecast,
        {"model": rnn.RNNCell(3, 3, rng=rng), "xs": np.zeros((T, B, 3), "f4"), "steps": 2},
        {
            "model": "nothing",
            "xs": "nothing",
            "steps": "size",
            "state": "None",
            "future": "None",
            "criterion": "None",
            "samples": "None",
            "rng": "anything",
        },
    )
    yield Call(
        "evaluate",
        rnn.evaluate,
        {"model": model, "stream": rnn.TokenStream(ids.ravel(), batch=1, steps=3)},
        {"model": "nothing", "stream": "nothing"},
    )
    yield Call(
        "record",
        rnn.record,
        {"model": model, "xs": ids, "targets": ids},
        {
            "model": "nothing",
            "xs": "nothing",
            "targets": "None",
            "criterion": "None",
            "state": "None",
            "starts": "None",
            "tokenizer": "None",
        },
    )
    yield Call(
        "credit_map",
        rnn.credit_map,
        {"model": model, "xs": ids[:, :1], "targets": ids[:, :1]},
        {
            "model": "nothing",
            "xs": "nothing",
            "targets": "nothing",
            "layer": "None",
            "of": "None",
            "criterion": "None",
            "state": "None",
            "starts": "None",
        },
    )
    yield Call(
        "pad", rnn.pad, {"sequences": [np.arange(3), np.arange(2)]}, {"sequences": "sequences", "fill": "integer"}
    )
    yield Call(
        "length_batches",
        rnn.length_batches,
        {"lengths": [3, 2, 5], "batch": 2},
        {"lengths": "lengths", "batch": "size", "rng": "rng or None"},
    )
    yield Call(
        "windows",
        rnn.windows,
        {"series": np.zeros((9, 2)), "steps": 2},
        {"series": "nothing", "steps": "size", "horizon": "size", "stride": "size", "shifted": "bool"},
    )
    yield Call(
        "split",
        rnn.split,
        {"data": 2, "fractions": (0.5, 0.5), "rng": rng},
        {
            "data": "size or sized",
            "fractions": "nothing",
            "rng": "rng",
            "groups": "labels or None",
            "stratify": "flags",
        },
    )
    yield Call(
        "Standardize.fit",
        rnn.Standardize.fit,
        {"sequences": [np.zeros((2, 3))]},
        {"sequences": "one array", "gaps": "nothing"},
    )
    yield Call(
        "split_documents",
        rnn.split_documents,
        {"ids": np.arange(9), "token": 4},
        {"ids": "int array", "token": "any integer"},
    )
    yield Call("part_of_batch", entered, {"first": 2, "total": 4}, {"first": "size from 0", "total": "size from 0"})
    yield Call("set_threads", rnn.set_threads, {"count": 1}, {"count": "size"})
    yield Call("set_compiled", rnn.set_compiled, {"on": False}, {"on": "bool"})
    yield Call("set_gpu_kernels", rnn.set_gpu_kernels, {"kind": "auto"}, {"kind": "nothing"})
    for name, arguments, own in (
        ("uniform", {"shape": (2, 3), "rng": rng}, {"limit": "finite from 0 or None"}),
        ("glorot", {"shape": (2, 3), "rng": rng}, {}),
        ("he", {"shape": (2, 3), "rng": rng}, {}),
        ("normal", {"shape": (2, 3), "rng": rng}, {"std": "number"}),
        ("orthogonal", {"shape": (2, 3), "rng": rng}, {"gain": "number"}),
        ("identity", {"shape": (2, 3)}, {"scale": "number"}),
        ("zeros", {"shape": (2, 3)}, {}),
    ):
        kinds = {
            "shape": "any shape" if name == "zeros" else "shape",
            **({"rng": "rng"} if "rng" in arguments else {}),
            **own,
        }
        yield Call(name, getattr(initializers, name), arguments, kinds)


def calls_of_layers() -> Iterator[Call]:
    """`forward`, `backward`, `step` and the call of layers and losses; the state and the flags too."""
    rng = np.random.default_rng(0)
    f4, f8 = rng.standard_normal((T, B, 3)).astype("f4"), rng.standard_normal((T, B, 3))
    ids = np.arange(T * B).reshape(T, B) % V
    feedforwards: list[tuple[Any, Any]] = [
        (rnn.Linear(3, 4, rng=rng), f4),
        (rnn.LayerNorm(3), f4),
        (rnn.Tanh(), f8),
        (rnn.Sigmoid(), f8),
        (rnn.ReLU(), f8),
        (rnn.Softmax(), f8),
        (rnn.Dropout(0.5, rng=rng), f8),
        (rnn.Bridge(3, (2, 2), rng=rng), f4),
        (rnn.Standardize((1.0,) * 3, (2.0,) * 3), f8),
        (rnn.Embedding(V, 3, rng=rng), ids),
        (rnn.OneHot(V), ids),
        (rnn.TiedLinear(rnn.Embedding(V, 3, rng=rng)), f4),
    ]
    for layer, x in feedforwards:
        y, cache = layer.forward(x)
        kind = "int array" if x is ids else "float array" if x is f8 else "nothing"
        yield Call(repr(layer), layer.forward, {"x": x}, {"x": kind})
        yield Call(repr(layer), layer, {"x": x}, {"x": kind})
        if not isinstance(layer, rnn.OneHot):
            yield Call(
                repr(layer),
                layer.backward,
                {"dy": y, "cache": cache},
                {"dy": "nothing", "cache": "None" if isinstance(layer, rnn.Dropout) else "nothing"},
            )
    recurrents: list[tuple[Any, Any]] = [
        (rnn.RNNCell(3, 4, rng=rng), f4),
        (rnn.LSTMCell(3, 4, rng=rng), f4),
        (rnn.GRUCell(3, 4, rng=rng), f4),
        (rnn.LayerNormLSTMCell(3, 4, rng=rng), f4),
        (rnn.SLSTMCell(3, 4, rng=rng), f4),
        (rnn.MinGRUCell(3, 4, rng=rng), f4),
        (rnn.MinLSTMCell(3, 4, rng=rng), f4),
        (rnn.LRUCell(3, 4, units=2, rng=rng), f4),
        (rnn.IndRNNCell(3, 4, rng=rng), f4),
        (rnn.SRUCell(3, 4, rng=rng), f4),
        (rnn.Zoneout(rnn.RNNCell(3, 4, rng=rng), 0.5, rng=rng), f4),
        (rnn.DropConnect(rnn.RNNCell(3, 4, rng=rng), 0.5, rng=rng), f4),
        (rnn.LockedDropout(0.5, rng=rng), f4),
        (rnn.Sequential(rnn.OneHot(V), rnn.LSTMCell(V, 4, rng=rng), rnn.Linear(4, V, rng=rng)), ids),
        (rnn.Residual(rnn.RNNCell(3, 3, rng=rng)), f4),
        (rnn.Bidirectional(rnn.RNNCell(3, 4, rng=rng), rnn.RNNCell(3, 4, rng=rng)), f4),
    ]
    for layer, xs in recurrents:
        ys, state, cache = layer.forward(xs)
        own = "None" if layer.state_spec else "empty state"
        kinds = {"xs": "nothing", "state": own, "lengths": "two or None", "starts": "None"}
        yield Call(repr(layer), layer.forward, {"xs": xs}, kinds)
        yield Call(repr(layer), layer, {"xs": xs}, kinds)
        yield Call(
            repr(layer),
            layer.backward,
            {"dys": ys, "dstate": None, "cache": cache},
            {"dys": "None", "dstate": own, "cache": "nothing"},
        )
        yield Call(repr(layer), layer.initial_state, {"batch": 2}, {"batch": "size from 0"})
        step = "ids" if layer.takes_ids else "floats" if layer.in_size is None else "nothing"
        if layer.causal:
            yield Call(
                repr(layer),
                layer.step,
                {"x": xs[0], "state": state},
                {"x": step, "state": own, "starts": "flags"},
            )
    losses: list[tuple[rnn.Loss, Any]] = [
        (rnn.SoftmaxCrossEntropy(), ids % 3),
        (rnn.MeanSquaredError(), f8),
        (rnn.BinaryCrossEntropy(), np.abs(f8) % 1),
        (rnn.SoftmaxCrossEntropy(class_weights=[1, 2, 3]), ids % 3),
        (rnn.Huber(), f8),
        (rnn.Quantile(), f8[..., :1]),
    ]
    for criterion, targets in losses:
        _, cache = criterion.forward(f8, targets)
        kinds = {"ys": "nothing", "targets": "nothing", "lengths": "two or None", "weights": "None"}
        yield Call(repr(criterion), criterion.forward, {"ys": f8, "targets": targets}, kinds)
        yield Call(repr(criterion), criterion.count, {"cache": cache}, {"cache": "nothing"})
        yield Call(
            repr(criterion), criterion.backward, {"cache": cache}, {"cache": "nothing", "dloss": "loss gradient"}
        )
    bands = rnn.Quantile()
    yield Call(repr(bands), bands.mean, {"ys": f8}, {"ys": "floats"})
    yield Call(repr(bands), bands.sample, {"ys": f8, "rng": rng}, {"ys": "floats", "rng": "rng"})
    attention, memory = rnn.GeneralAttention(3, 3, rng=rng), f4
    context, weights, cache = attention.forward(f4, memory)
    yield Call(
        repr(attention),
        attention.forward,
        {"queries": f4, "memory": memory},
        {"queries": "nothing", "memory": "nothing", "lengths": "two or None"},
    )
    yield Call(
        repr(attention),
        attention.backward,
        {"dcontext": context, "dweights": weights, "cache": cache},
        {"dcontext": "None", "dweights": "None", "cache": "nothing"},
    )
    one = rnn.ManyToOne(rnn.RNNCell(3, 4, rng=rng), rnn.Linear(4, 2, rng=rng))
    y, state, cache = one.forward(f4)
    kinds = {"xs": "nothing", "state": "None", "lengths": "two or None"}
    yield Call(repr(one), one.forward, {"xs": f4}, kinds)
    yield Call(
        repr(one),
        one.backward,
        {"dy": y, "dstate": None, "cache": cache},
        {"dy": "None", "dstate": "None", "cache": "nothing"},
    )
    yield Call(repr(one), one.step, {"x": f4[0], "state": state}, {"x": "nothing", "state": "None"})
    pool = rnn.AttentionPool(3, rng=rng)
    y, cache = pool.forward(f4)
    yield Call(repr(pool), pool.forward, {"xs": f4}, {"xs": "nothing", "lengths": "two or None"})
    yield Call(repr(pool), pool.backward, {"dy": y, "cache": cache}, {"dy": "None", "cache": "nothing"})
    layer = rnn.RNNCell(3, 4, rng=rng)
    yield Call(repr(layer), layer.to, {}, {"device": "None", "dtype": "None"})
    tokenizer = rnn.CharTokenizer("ab")
    yield Call("CharTokenizer.encode", tokenizer.encode, {"text": "ab"}, {"text": "empty str"})
    yield Call("CharTokenizer.decode", tokenizer.decode, {"ids": [0]}, {"ids": "no ids"})
    yield Call(
        "CharTokenizer",
        rnn.CharTokenizer.from_text,
        {"text": "ab"},
        {"text": "str", "special": "no strings", "unknown": "None"},
    )
    yield Call(
        "WordTokenizer",
        rnn.WordTokenizer.from_text,
        {"text": "ab c"},
        {"text": "str", "size": "size or None", "special": "no strings"},
    )


def calls_of_decoders() -> Iterator[Call]:
    """Decoders with attention, and a whole encoder and decoder."""
    rng = np.random.default_rng(0)
    f4 = rng.standard_normal((T, B, 3)).astype("f4")
    cell, dot = rnn.RNNCell(3, 3, rng=rng), rnn.DotAttention()
    parts: dict[str, Any] = {"decoder": cell, "attention": dot, "output": rnn.Linear(6, 4, rng=rng)}
    attending = rnn.AttentionDecoder(cell, dot, parts["output"])
    yield Call(
        "AttentionDecoder",
        lambda decoder, attention, output: rnn.AttentionDecoder(decoder, attention, output),
        parts,
        {"decoder": "nothing", "attention": "nothing", "output": "layer"},
    )
    fed: dict[str, Any] = {
        "embedding": rnn.Linear(3, 2, rng=rng),
        "decoder": rnn.RNNCell(2 + 4, 3, rng=rng),
        "attention": dot,
    }
    fed |= {"combine": rnn.Linear(6, 4, rng=rng), "output": rnn.Tanh()}
    yield Call(
        "InputFeedingDecoder",
        lambda embedding, decoder, attention, combine, output: rnn.InputFeedingDecoder(
            embedding, decoder, attention, combine, output
        ),
        fed,
        {**dict.fromkeys(fed, "nothing"), "embedding": "layer", "output": "layer"},
    )
    feeding = rnn.InputFeedingDecoder(*fed.values())
    for layer in (attending, feeding):
        state = layer.attach(None, f4)
        ys, after, cache = layer.forward(f4, state)
        kinds = {"xs": "nothing", "state": "None", "lengths": "two or None", "starts": "None"}
        yield Call(repr(layer), layer.forward, {"xs": f4, "state": state}, kinds)
        yield Call(repr(layer), layer, {"xs": f4, "state": state}, kinds)
        yield Call(repr(layer), layer.alignments, {"xs": f4, "state": state}, kinds)
        yield Call(
            repr(layer),
            layer.backward,
            {"dys": ys, "dstate": None, "cache": cache},
            {"dys": "None", "dstate": "None", "cache": "nothing"},
        )
        yield Call(
            repr(layer), layer.step, {"x": f4[0], "state": state}, {"x": "nothing", "state": "None", "starts": "flags"}
        )
        yield Call(
            repr(layer),
            layer.attach,
            {"state": after, "memory": f4},
            {"state": "None", "memory": "nothing", "lengths": "two or None"},
        )
        yield Call(repr(layer), layer.initial_state, {"batch": 2}, {"batch": "size from 0"})
    model = rnn.EncoderDecoder(rnn.RNNCell(3, 3, rng=rng), attending)
    ys, kept = model.forward(f4, f4)
    both = {"sources": f4, "targets": f4}
    lengths = {"source_lengths": "two or None", "target_lengths": "two or None"}
    kinds = {"sources": "nothing", "targets": "nothing", **lengths}
    yield Call(repr(model), model.forward, both, kinds)
    yield Call(repr(model), model, both, kinds)
    yield Call(repr(model), model.alignments, both, kinds)
    yield Call(repr(model), model.encode, {"sources": f4}, {"sources": "nothing", "lengths": "two or None"})
    yield Call(repr(model), model.backward, {"dys": ys, "cache": kept}, {"dys": "None", "cache": "nothing"})


def calls_of_training() -> Iterator[Call]:
    """`fit` and its parts: metrics, callbacks, the history, schedules and what follows an optimizer."""
    rng = np.random.default_rng(0)
    model = rnn.Sequential(rnn.OneHot(V), rnn.RNNCell(V, 4, rng=rng), rnn.Linear(4, V, rng=rng))
    criterion, optimizer = rnn.SoftmaxCrossEntropy(), rnn.SGD(model, 0.0)
    ids = np.arange(T * B).reshape(T, B) % V
    parts: dict[str, Any] = {"model": model, "criterion": criterion}
    fixed = dict.fromkeys(parts, "nothing")
    yield Call(
        "gradients",
        rnn.gradients,
        {**parts, "batch": rnn.Batch(ids, ids)},
        {**fixed, "batch": "nothing", "state": "None", "dloss": "loss gradient"},
    )
    for name in rnn.Batch._fields:
        of = {"xs": "nothing", "targets": "nothing", "lengths": "two or None"}.get(name, "None")
        batch: dict[str, Any] = {"xs": ids, "targets": ids, name: {"xs": ids, "targets": ids}.get(name)}
        yield Call("gradients", lambda **a: rnn.gradients(model, criterion, rnn.Batch(**a)), batch, {name: of})
    yield Call(
        "measure",
        rnn.measure,
        {**parts, "batches": [rnn.Batch(ids, ids)]},
        {**fixed, "batches": "nothing", "metrics": "None"},
    )
    yield Call(
        "fit",
        rnn.fit,
        {**parts, "optimizer": optimizer, "batches": [rnn.Batch(ids, ids)], "steps": 1},
        {
            **fixed,
            "optimizer": "nothing",
            "batches": "nothing",
            "steps": "size",
            "epochs": "None",
            "seconds": "None",
            "every": "size or None",
            "validation": "None",
            "metrics": "None",
            "callbacks": "no functions",
            "accumulate": "size",
            "tokenizer": "None",
            "metadata": "dict or None",
            "resume": "None",
            "progress": "bool or None",
        },
    )
    rows = [{"step": 1, "loss": 1.0}]
    yield Call("History", rnn.training.history.History, {"rows": rows}, {"rows": "no rows"})
    history = rnn.training.history.History(rows)
    yield Call("History.column", history.column, {"name": "loss"}, {"name": "nothing"})
    yield Call("History.best", history.best, {"name": "loss"}, {"name": "nothing", "mode": "nothing"})
    yield Call(
        "EarlyStopping",
        rnn.EarlyStopping,
        {},
        {"patience": "size", "of": "str", "mode": "nothing", "least": "finite from 0"},
    )
    yield Call("BestCheckpoint", rnn.BestCheckpoint, {"path": "x"}, {"path": "path", "of": "str", "mode": "nothing"})
    yield Call("JSONLines", rnn.JSONLines, {"path": "x"}, {"path": "path"})
    yield Call(
        "Sample",
        rnn.Sample,
        {"tokenizer": rnn.CharTokenizer("ab"), "prompt": "a", "rng": rng},
        {"tokenizer": "nothing", "prompt": "str", "rng": "rng", "every": "size", "show": "callable or None"},
    )
    average = "macro"
    of_metrics: tuple[tuple[type, dict[str, Any], dict[str, str]], ...] = (
        (metrics.Accuracy, {}, {"top": "size", "ignore_index": "integer"}),
        (metrics.ConfusionMatrix, {"classes": V}, {"classes": "size", "ignore_index": "integer"}),
        (metrics.F1, {"classes": V, "average": average}, {"classes": "size", "average": "None"}),
        (metrics.Perplexity, {}, {"ignore_index": "integer"}),
    )
    for kind, arguments, kinds in of_metrics:
        yield Call(kind.__name__, kind, arguments, kinds)
    f8 = rng.standard_normal((T, B, V))
    for metric, targets in (
        (metrics.Accuracy(), ids),
        (metrics.F1(V), ids),
        (metrics.Perplexity(), ids),
        (metrics.AbsoluteError(), f8),
        (metrics.R2(), f8),
    ):
        kinds = {"ys": "nothing", "targets": "nothing", "lengths": "two or None", "weights": "None"}
        yield Call(repr(metric), metric.update, {"ys": f8, "targets": targets}, kinds)
    schedules = rnn.schedules
    rate = {"lr": "from 0"}
    falling = {**rate, "steps": "size", "final": "from 0"}
    of_schedules: tuple[tuple[Callable[..., Any], dict[str, Any], dict[str, str]], ...] = (
        (schedules.constant, {}, rate),
        (schedules.step_decay, {"every": 2, "factor": 0.5}, {**rate, "every": "size", "factor": "from 0"}),
        (schedules.piecewise, {"then": {2: 0.1}}, {**rate, "then": "nothing"}),
        (schedules.exponential, {"rate": 0.5}, {**rate, "rate": "from 0"}),
        (schedules.linear, {"steps": 9}, {**falling, "warmup": "size from 0"}),
        (schedules.polynomial, {"steps": 9, "power": 2.0}, {**falling, "power": "above 0", "warmup": "size from 0"}),
        (schedules.cosine, {"steps": 9}, {**falling, "warmup": "size from 0"}),
        (schedules.warm_restarts, {"steps": 9}, {**falling, "growth": "size"}),
        (schedules.one_cycle, {"steps": 9}, {**rate, "steps": "size"}),
    )
    for schedule, arguments, kinds in of_schedules:
        yield Call(schedule.__name__, schedule, {"lr": 0.1, **arguments}, kinds)
    yield Call(
        "MovingAverage", rnn.MovingAverage, {"model": model}, {"model": "nothing", "decay": "rate", "average": "None"}
    )
    yield Call(
        "ReduceOnPlateau",
        rnn.ReduceOnPlateau,
        {"optimizer": optimizer},
        {
            "optimizer": "nothing",
            "factor": "part",
            "patience": "size from 0",
            "threshold": "from 0",
            "cooldown": "size from 0",
            "mode": "nothing",
        },
    )
    yield Call("ClipNorm", rnn.ClipNorm, {"max_norm": 1.0}, {"max_norm": "from 0 or huge"})
    yield Call("ClipValue", rnn.ClipValue, {"limit": 1.0}, {"limit": "from 0 or huge"})
    tokenizer = rnn.CharTokenizer("ab")
    yield Call("CharTokenizer.extended", tokenizer.extended, {"characters": "c"}, {"characters": "str"})


def calls_of_files() -> Iterator[Call]:
    """What reads and writes files, each call in a folder of its own."""
    rng = np.random.default_rng(0)
    model = rnn.Sequential(rnn.OneHot(V), rnn.RNNCell(V, 4, rng=rng), rnn.Linear(4, V, rng=rng))
    with tempfile.TemporaryDirectory() as folder:
        rnn.save(f"{folder}/model", model)
        saved = Path(folder, "model").read_bytes()

    def within(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                Path("text").write_text("abba")
                Path("model").write_bytes(saved)
                return function(**arguments)

        return call

    yield Call(
        "save",
        within(rnn.save),
        {"path": "other", "model": model},
        {
            "path": "path",
            "model": "layer",
            "tokenizer": "None",
            "metadata": "dict or None",
            "optimizer": "None",
            "state": "None",
            "carry": "tree or None",
            "allow_nonfinite": "bool",
        },
    )
    ids = np.arange(T * B).reshape(T, B) % V
    given = {"model": model, "criterion": rnn.SoftmaxCrossEntropy(), "optimizer": rnn.SGD(model, 0.0)}
    given |= {"batches": [rnn.Batch(ids, ids)], "steps": 1}
    yield Call("fit", within(rnn.fit), given, {"checkpoint": "path or None"})
    yield Call(
        "load_parameters",
        within(rnn.load_parameters),
        {"path": "model", "model": model},
        {"path": "nothing", "model": "nothing", "strict": "bool"},
    )
    yield Call(
        "load", within(rnn.load), {"path": "model"}, {"path": "nothing", "classes": "no classes", "device": "nothing"}
    )
    yield Call(
        "encode_file",
        within(rnn.encode_file),
        {"path": "text", "tokenizer": rnn.CharTokenizer("ab"), "out": "ids"},
        {"path": "nothing", "tokenizer": "nothing", "out": "path", "encoding": "nothing"},
    )
    yield Call("read_text", within(datasets.read_text), {"path": "text"}, {"path": "nothing", "encoding": "nothing"})


def fault_of(call: Call, argument: str, junk: str) -> str:
    """What is wrong with the outcome of `call` with `junk` as `argument`; empty where nothing is."""
    try:
        call.function(**{**call.arguments, argument: JUNK[junk]})
    except (TypeError, ValueError, OSError) as error:
        if str(error).startswith((call.name, *OBJECTS)):
            return ""
        owner = getattr(call.function, "__self__", call.function)  # a layer, whose parts may be those that complain
        named = (*call.arguments.values(), *getattr(owner, "__dict__", {}).values())
        given = tuple(repr(value) for value in named if isinstance(value, (rnn.Layer, rnn.CharTokenizer)))
        return "" if str(error).startswith(given) else f"bare {type(error).__name__}: {str(error)[:150]}"
    except Exception as error:
        return f"bare {type(error).__name__}: {str(error)[:150]}"
    return "" if junk in TAKEN[call.kinds[argument]] else "taken"


def report(calls: list[Call]) -> tuple[int, list[str]]:
    """How many trials there were, and a line for each fault."""
    count, lines = 0, []
    for call in calls:
        unknown = {*call.kinds.values()} - TAKEN.keys()
        assert not unknown, f"{call.name}: {unknown} are none of {sorted(TAKEN)}"
        for argument in call.kinds:
            for junk in JUNK:
                with np.errstate(all="ignore"):
                    fault = fault_of(call, argument, junk)
                count += 1
                if fault:
                    method = getattr(call.function, "__name__", "")
                    lines.append(f"{call.name} {method}({argument}={junk}): {fault}")
    return count, lines


GROUPS = constructors, functions, calls_of_layers, calls_of_decoders, calls_of_training, calls_of_files

if __name__ == "__main__":
    for compiled in (False, True):
        rnn.set_compiled(compiled)
        count, lines = report([call for group in GROUPS for call in group()])
        print(*lines, f"{count} calls, {'compiled' if compiled else 'NumPy'}: {len(lines)} faults", sep="\n")
