"""One page of HTML that shows what a model computes while it reads a text, and answers to mouse, finger and keys."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from operator import index
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from ..core.arguments import check_size, check_str
from ..core.checks import check_ids
from ..core.device import device_of, on_own_gpu
from ..core.files import as_path, check_target, replacing
from ..core.foreign import as_array
from ..core.roles import Recurrent
from ..core.states import State
from .credit import credit_map
from .packing import activations, fractions, predictions, to_base64
from .recording import LayerRecord, record

_FOLDER = Path(__file__).parent  # where the page, its style and its script lie


class _Shown(NamedTuple):
    """Which values of the cells are on the page."""

    arrays: dict[str, dict[str, Any]]  # by layer, then by value: (T, H)
    units: list[int] | None
    first: tuple[str, str, int] | None  # layer, value and unit


@on_own_gpu
def report(
    model: Recurrent,
    text: str,
    path: str | os.PathLike[str],
    *,
    tokenizer: Any,
    layers: Collection[str] | None = None,
    values: Collection[str] | None = None,
    units: Iterable[SupportsIndex] | None = None,
    unit: tuple[str, str, int] | None = None,
    top: int = 8,
    credit: int = 1000,
    reach: int = 48,
    state: State | None = None,
    title: str | None = None,
) -> None:
    r"""Write an interactive page: what a model of the next token expects, keeps and looks back to, over a text.

    Point at a token, or move to it with the arrow keys: the page shows the distribution over the next token there, and
    the activations of all units. Choose a unit, and the text gets its colours, as in `plotting.unit`; below are its
    state and gates over time. Choose a token, and the page marks how much the loss of its prediction depends on the
    state after each token before it, the column of `credit_map`.

    The page is one file that needs no network. It has light and dark colours, and works on a phone. The model runs at
    inference, and does not change, as with `record`.

    The size of the page is limited, and the page says so if something was left out. Activations are rounded to 8 bits:
    by at most 1/508 for gates, and by at most 1/254 of the greatest magnitude of the unit for others. Each takes 1.4
    bytes of the file: 20,000 tokens and the six values of 512 units of an LSTM take 83 MB, and with `values=["h"]` 15
    MB.

    Args:
        model: any causal `Recurrent` that takes ids and gives V logits, such as a `Sequential` that ends in a `Linear`.
        text: the text to read, of at least 2 tokens.
        path: the file, such as `"report.html"`; an existing one is replaced.
        tokenizer: the one that the model was trained with; it has `encode` and `decode`.
        layers: the dotted names of the cells to show, such as `["layers.1"]`; None is all that `record` gives.
        values: the names of the values to show, such as `["h", "f"]`; None is all, states and gates.
        units: the units to show of each cell, such as `range(64)`; None is all.
        unit: the layer, the value and the unit whose activation colours the text at first, such as
            `("layers.1", "c", 3)`. With None the colour is how unexpected each token was.
        top: how many classes are shown of each distribution, the likeliest first.
        credit: the number of tokens for which the gradients are computed, from the beginning of the text on; 0 is none.
            They take most of the time: about 2 `reach` steps forward and backward for each.
        reach: how many tokens they go back, including the token itself.
        state: the state before the text, with one row; None is the initial state.
        title: the title of the page; None is the class of the model.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: the model is not causal, or does not take ids, or does not give V logits for the V tokens of the
            tokenizer; the text is shorter than 2 tokens, or has a character that the tokenizer does not know; there is
            no such layer, value or unit.
        OSError: the file could not be written. An existing file stays as it is.

    References:
        Karpathy, Johnson and Li, *Visualizing and Understanding Recurrent Networks*, 2015; Strobelt, Gehrmann, Pfister
        and Rush, *LSTMVis*, 2018.

    Example:
        >>> from tinygrad_rnn import inspection
        >>> rng, text = np.random.default_rng(0), "the cat sat on the mat"
        >>> tokenizer = CharTokenizer.from_text(text)
        >>> V = len(tokenizer)
        >>> model = Sequential(OneHot(V), LSTMCell(V, 8, rng=rng), Linear(8, V, rng=rng))
        >>> inspection.report(model, text, "report.html", tokenizer=tokenizer)  # doctest: +SKIP
    """
    where = as_path(path, "report")
    call = f"report({where!r})"
    check_target(where, call)
    top, reach = check_size(call, "top", top), check_size(call, "reach", reach)
    credit = check_size(call, "credit", credit, least=0)
    if title is not None:
        check_str(call, "title", title)
    ids = _check_text(call, model, text, tokenizer)
    xs = model.device.asarray(ids[:, None])

    recording = record(model, xs, state=state)
    to_host = device_of(recording.outputs).to_host
    names = _check_outputs(call, recording.outputs, ids, tokenizer)
    shown = _choose(call, recording.layers, layers, values, units, unit)
    T = len(ids)
    found = predictions(to_host(recording.outputs)[:, 0], ids, top)
    wide = np.uint32 if len(names) > 65536 else np.uint16
    data: dict[str, Any] = {
        "ids": ids.astype(wide),
        "next": found.classes.astype(wide),
        "probabilities": fractions(found.probabilities),
        "bits": found.bits.astype(np.float32),
    }
    kinds: list[dict[str, Any]] = []
    for i, (layer, arrays) in enumerate(shown.arrays.items()):
        H = next(iter(arrays.values())).shape[-1]
        kinds.append({"name": layer, "units": shown.units or list(range(H)), "all": H, "values": []})
        for name, array in arrays.items():
            packed = activations(to_host(array[:, 0]))
            kinds[-1]["values"].append({"name": name, "fraction": packed.fraction})
            for part in ("codes", "scale", "end"):
                whole = getattr(packed, part)
                data[f"{part}-{i}-{name}"] = whole if shown.units is None else whole[shown.units]
    n, reach = min(credit, T - 1), min(reach, T - 1)
    of = next(iter(shown.arrays), None)
    if of is not None and n:
        sizes = np.nan_to_num(_credit(model, xs, of, n, reach, state))
        most = sizes.max(axis=1, keepdims=True)
        data["credit"] = fractions(sizes / np.where(most > 0, most, 1))
        data["most"] = most.astype(np.float32)
    about = {
        "model": f"{model!r:.600}",
        "names": names,
        "tokens": T,
        "characters": all(len(names[i]) == 1 for i in np.unique(ids)),
        "top": found.classes.shape[1],
        "wide": wide is np.uint32,
        "layers": kinds,
        "first": shown.first,
        "credit": {"layer": of, "tokens": n if of is not None else 0, "reach": reach},
        "mean": float(found.bits.mean()),
    }
    with replacing(where, call) as file:
        for piece in _page(f"What {type(model).__name__} reads" if title is None else title, about, data):
            file.write(piece)


def _page(title: str, about: dict[str, Any], data: dict[str, Any]) -> Iterator[bytes]:
    """The file, piece by piece. Nothing of the text stands in it as HTML: `<` is escaped in JSON too."""

    def read(name: str) -> str:
        return (_FOLDER / name).read_text(encoding="utf-8")

    parts = {
        "title": html.escape(title).encode("utf-8", "xmlcharrefreplace").decode(),
        "style": read("report.css"),
        "script": read("report.js"),
        "about": json.dumps(about).replace("<", r"\u003c"),
    }
    # What is put in is not searched again: a text may hold such marks too.
    before, after = (
        re.sub(r"{{(\w+)}}", lambda mark: parts[mark[1]], half) for half in read("report.html").split("{{data}}")
    )
    yield before.encode()
    for name, array in data.items():
        yield f'<script type="text/plain" id="data-{html.escape(name)}">'.encode()
        yield to_base64(array)
        yield b"</script>\n"
    yield after.encode()


def _check_text(call: str, model: Any, text: Any, tokenizer: Any) -> Any:
    """The ids (T,) of the text, for a model that can read them."""
    if not isinstance(model, Recurrent):
        raise TypeError(
            f"{call}: model must be a Recurrent, such as Sequential, not {model!r:.200}. An EncoderDecoder reads two "
            "texts: use record and credit_map"
        )
    if not model.takes_ids:
        raise ValueError(f"{call}: {model!r:.200} takes vectors, but a text has ids: begin it with OneHot or Embedding")
    if not model.causal:
        raise ValueError(
            f"{call}: {model!r:.200} is not causal: it has read the next token when it predicts it. Use record and "
            "credit_map"
        )
    if not (hasattr(tokenizer, "encode") and hasattr(tokenizer, "decode")):
        raise TypeError(f"{call}: tokenizer must have encode and decode, as CharTokenizer, not {tokenizer!r:.80}")
    check_str(call, "text", text)
    ids = as_array(call, "tokenizer.encode(text)", tokenizer.encode(text)).astype(np.int64)
    if len(ids) < 2:
        raise ValueError(f"{call}: text has {len(ids)} tokens, but a token and the one after it are needed")
    if model.in_size is not None:
        check_ids(model, ids, model.in_size)
    return ids


def _check_outputs(call: str, outputs: Any, ids: Any, tokenizer: Any) -> list[str]:
    """The names of the V tokens: the outputs must be one logit for each."""
    V = outputs.shape[-1]
    known = len(tokenizer) if hasattr(tokenizer, "__len__") else max(V, int(ids.max()) + 1)
    if outputs.ndim != 3 or known != V:
        raise ValueError(
            f"{call}: the outputs have shape {outputs.shape}, expected (T, 1, {known}), a logit for each token of "
            f"{tokenizer!r:.80}. The model must end in a layer that gives these, such as Linear"
        )
    return [tokenizer.decode([i]) for i in range(V)]


def _choose(call: str, cells: dict[str, LayerRecord], layers: Any, values: Any, units: Any, unit: Any) -> _Shown:
    """What was asked for, of what was recorded."""
    every = {
        layer: {name: array for name, array in found.values.items() if array.ndim == 3}
        for layer, found in cells.items()
    }
    layers = _names(call, "layers", layers, every)
    known = {name: None for layer in layers for name in every[layer]}
    values = _names(call, "values", values, known)
    arrays = {layer: {name: every[layer][name] for name in values if name in every[layer]} for layer in layers}
    arrays = {layer: found for layer, found in arrays.items() if found}
    sizes = [array.shape[-1] for found in arrays.values() for array in found.values()]
    numbers = None
    if units is not None:
        try:
            numbers = [index(k) for k in units]
        except TypeError:
            raise TypeError(f"{call}: units must be integers, such as range(64), not {units!r:.80}") from None
        outside = [k for k in numbers if not 0 <= k < min(sizes, default=0)]
        if outside or not numbers:
            came = f"holds {outside[0]}" if outside else "is empty"
            raise ValueError(f"{call}: units {came}, but must hold integers from 0 to {min(sizes, default=0) - 1}")
    if unit is not None:
        if not (isinstance(unit, tuple) and len(unit) == 3):
            raise TypeError(
                f'{call}: unit must be a layer, a value and a number, as ("layers.1", "h", 0), not {unit!r}'
            )
        layer, value, k = unit
        _names(call, "unit", [layer], arrays)
        _names(call, "unit", [value], arrays[layer])
        k = check_size(call, "unit", k, least=0)
        H = arrays[layer][value].shape[-1]
        if k >= H or (numbers is not None and k not in numbers):
            raise ValueError(f"{call}: unit {k} is not on the page: {layer!r} has {H} units, and units is {numbers}")
        unit = (layer, value, k)
    return _Shown(arrays, numbers, unit)


def _names(call: str, argument: str, names: Any, known: Collection[str]) -> list[str]:
    """`names`, each of them one of those that are `known`; for None all of these."""
    if names is None:
        return list(known)
    if not isinstance(names, Collection) or isinstance(names, (str, bytes)):
        raise TypeError(f'{call}: {argument} must be a list of names, such as ["h"], not {names!r:.80}')
    for name in names:
        if name not in known:
            there = ", ".join(map(repr, known)) or "none was recorded"
            raise ValueError(f"{call}: {argument} has {name!r:.80}, which is not there: {there}")
    return list(dict.fromkeys(names))


def _credit(model: Any, xs: Any, layer: str, n: int, reach: int, state: Any) -> Any:
    """(n, reach), on the host: column d of row t is the gradient of the loss of step t w.r.t. the state of step t - d.

    It is computed for `reach` steps after another, on the part of the text from `reach` steps before them on.
    """
    T = min(n + 1, len(xs))
    targets = xs[1:T]
    sizes = np.zeros((n, reach))
    before = state  # the state before the part
    for a in range(0, n, reach):
        first, stop = max(a - reach, 0), min(a + reach, n)
        part = slice(first, stop)
        found = credit_map(
            model, xs[part], targets[part], layer=layer, state=before, steps=range(a - first, stop - first)
        )
        found = device_of(found).to_host(found)
        for t in range(a, stop):
            back = min(reach, t + 1)
            sizes[t, :back] = found[t - first + 1 - back : t - first + 1, t - a][::-1]
        if a:
            _, before, _ = model.forward(xs[first:a], before, training=False)
    return sizes
